//! The listener: TCP connections, and HTTP on them.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use hyper::server::conn::http1;
use hyper_util::{rt::TokioIo, server::graceful::GracefulShutdown};
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::Semaphore,
    time::Instant,
};

use super::{
    access::InProgress,
    activity::{Activity, Timeouts},
    router::Router,
    socket::Socket,
};
use crate::config::Config;

/// How many bytes the system holds that it has not sent yet: few, so that what it has taken
/// is what a reader is about to get, and so that it takes more in short steps.
const NOT_SENT_BYTES_MAX: u32 = 64 << 10;

/// After how long without data, and how often from then on, the system asks whether the
/// client is still there.
const PROBE_AFTER: Duration = Duration::from_secs(30);
const PROBE_INTERVAL: Duration = Duration::from_secs(10);

/// The largest head of a request, in bytes, and the largest part of a body that is read
/// at once.
const BUFFER_BYTES_MAX: usize = 64 << 10;

/// How often a warning is repeated.
const WARNING_INTERVAL: Duration = Duration::from_secs(60);

/// How long to wait after an error that is no connection's own, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

pub(super) struct Listener {
    tcp: TcpListener,
    http: http1::Builder,
    timeouts: Timeouts,
    graceful: GracefulShutdown,
    tcp_max: usize,
    /// One permit for each connection that may come.
    places: Arc<Semaphore>,
    /// How long data may stay unacknowledged before a connection counts as dead: as long as
    /// a session waits for its reader.
    user_timeout: Option<Duration>,
}

impl Listener {
    pub(super) fn bind(config: &Config) -> io::Result<Self> {
        let listener = listen(config.listen)?;
        let mut http = http1::Builder::new();
        // `Socket` has the timeouts: hyper's own cannot tell an idle connection from one in
        // the middle of a request.
        http.header_read_timeout(None).max_buf_size(BUFFER_BYTES_MAX);
        let timeouts =
            Timeouts { idle: config.connection_idle_timeout, header: config.header_timeout };
        let places = Arc::new(Semaphore::new(config.tcp_max.min(Semaphore::MAX_PERMITS)));
        Ok(Self {
            tcp: listener,
            http,
            timeouts,
            graceful: GracefulShutdown::new(),
            tcp_max: config.tcp_max,
            places,
            user_timeout: config.sessions.session.stall_limit,
        })
    }

    pub(super) fn address(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    /// Accepts connections for ever.
    pub(super) async fn accept(&self, router: &Router) {
        let mut warned = None;
        loop {
            if self.places.available_permits() == 0 {
                self.warn_of_full(&mut warned);
            }
            let Ok(place) = Arc::clone(&self.places).acquire_owned().await else { return };
            let (stream, peer) = match self.tcp.accept().await {
                Ok(accepted) => accepted,
                Err(error) if is_of_connection(&error) => continue,
                Err(error) => {
                    tracing::error!(%error, "cannot accept connections");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            if let Err(error) = prepare(&stream, self.user_timeout) {
                tracing::debug!(%peer, %error, "cannot prepare a connection");
                continue;
            }
            let activity = Arc::new(Activity::new(self.timeouts));
            let socket = Socket::new(stream, Arc::clone(&activity));
            let connected = router.connected(activity, peer);
            let connection = self.http.serve_connection(TokioIo::new(socket), connected);
            let connection = self.graceful.watch(connection);
            tokio::spawn(async move {
                if let Err(error) = connection.await {
                    tracing::debug!(%peer, %error, "connection broke off");
                }
                drop(place);
            });
        }
    }

    /// Says, now and then, why clients wait.
    fn warn_of_full(&self, warned: &mut Option<Instant>) {
        if warned.is_none_or(|warned| warned.elapsed() > WARNING_INTERVAL) {
            *warned = Some(Instant::now());
            let connections = self.tcp_max;
            tracing::warn!(connections, "new clients wait: --max-tcp connections are open");
        }
    }

    /// Lets connections send what they have begun to send, for `timeout` at most. Returns
    /// whether all was sent.
    ///
    /// Nobody waits for connections on which no response is being sent: a request that came
    /// in part is not served any more.
    pub(super) async fn drain(self, in_progress: &InProgress, timeout: Duration) -> bool {
        drop(self.tcp);
        let sent = async {
            in_progress.none().await;
            tokio::time::sleep(FLUSH_TIME).await;
        };
        tokio::select! {
            () = self.graceful.shutdown() => true,
            () = sent => true,
            () = tokio::time::sleep(timeout) => false,
        }
    }
}

/// How long the end of a response may be on its way from this program to the system.
const FLUSH_TIME: Duration = Duration::from_millis(250);

/// Sends at once what is written, and finds out when nobody is there any more.
fn prepare(stream: &TcpStream, user_timeout: Option<Duration>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    #[cfg(target_os = "linux")]
    {
        let socket = SockRef::from(stream);
        socket.set_tcp_notsent_lowat(NOT_SENT_BYTES_MAX)?;
        socket.set_tcp_user_timeout(user_timeout.map(|timeout| timeout.min(USER_TIMEOUT_MAX)))?;
    }
    let keep_alive = TcpKeepalive::new().with_time(PROBE_AFTER).with_interval(PROBE_INTERVAL);
    SockRef::from(stream).set_tcp_keepalive(&keep_alive)
}

/// The longest that Linux can count to, in a signed number of milliseconds.
#[cfg(target_os = "linux")]
const USER_TIMEOUT_MAX: Duration = Duration::from_millis(i32::MAX as u64);

fn is_of_connection(error: &io::Error) -> bool {
    let kinds = [
        io::ErrorKind::ConnectionAborted,
        io::ErrorKind::ConnectionRefused,
        io::ErrorKind::ConnectionReset,
    ];
    kinds.contains(&error.kind())
}

/// Listens with room for many clients that come at once, as after a restart.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// How many connections wait to be accepted, as far as the system allows it.
const BACKLOG: u32 = 4_096;
