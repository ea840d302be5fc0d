//! The listener: TCP connections, and HTTP on them.

use std::{io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{Semaphore, watch},
    time::Instant,
};

use super::{
    activity::{Activity, Timeouts},
    router::{ConnectionService, Router},
    socket::Socket,
};
use crate::config::ProgramConfig;

/// How many bytes the system holds that it has not sent yet: few, so that what it has taken
/// is what a reader is about to get, and so that it takes more in short steps.
const NOT_SENT_BYTES_MAX: u32 = 64 << 10;

/// After how long without data, and how often from then on, the system asks whether the
/// client is still there.
const KEEPALIVE_TIME: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);

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
    /// Tells connections to end when they have sent what they have begun to send. Each has
    /// a receiver.
    draining: watch::Sender<bool>,
    connections_max: usize,
    /// One permit for each connection that may come.
    permits: Arc<Semaphore>,
    /// How long data may stay unacknowledged before a connection counts as dead: as long as
    /// a session waits for its reader.
    user_timeout: Option<Duration>,
}

impl Listener {
    pub(super) fn bind(config: &ProgramConfig) -> io::Result<Self> {
        let listener = listen(config.listen)?;
        let mut http = http1::Builder::new();
        // `Socket` has the timeouts: hyper's own cannot tell an idle connection from one in
        // the middle of a request.
        http.header_read_timeout(None).max_buf_size(BUFFER_BYTES_MAX);
        let timeouts =
            Timeouts { idle: config.connection_idle_timeout, header: config.header_timeout };
        let places = Arc::new(Semaphore::new(config.connections_max.min(Semaphore::MAX_PERMITS)));
        Ok(Self {
            tcp: listener,
            http,
            timeouts,
            draining: watch::Sender::new(false),
            connections_max: config.connections_max,
            permits: places,
            user_timeout: config.sessions.session.stall_disconnect_timeout,
        })
    }

    pub(super) fn address(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    /// Accepts connections for ever.
    pub(super) async fn accept(&self, router: &Router) {
        let mut warned = None;
        loop {
            if self.permits.available_permits() == 0 {
                self.warn_connection_limit(&mut warned);
            }
            let Ok(place) = Arc::clone(&self.permits).acquire_owned().await else { return };
            let (stream, peer) = match self.tcp.accept().await {
                Ok(accepted) => accepted,
                Err(error) if is_connection_error(&error) => continue,
                Err(error) => {
                    tracing::error!(%error, "cannot accept connections");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            if let Err(error) = set_socket_options(&stream, self.user_timeout) {
                tracing::debug!(%peer, %error, "cannot prepare a connection");
                continue;
            }
            let activity = Arc::new(Activity::new(self.timeouts));
            let socket = Socket::new(stream, Arc::clone(&activity));
            let connected = router.service_for(Arc::clone(&activity), peer);
            let connection = self.http.serve_connection(TokioIo::new(socket), connected);
            let draining = self.draining.subscribe();
            tokio::spawn(async move {
                if let Err(error) = serve_until_drained(connection, &activity, draining).await {
                    tracing::debug!(%peer, %error, "connection broke off");
                }
                drop(place);
            });
        }
    }

    /// Says, now and then, why clients wait.
    fn warn_connection_limit(&self, warned: &mut Option<Instant>) {
        if warned.is_none_or(|warned| warned.elapsed() > WARNING_INTERVAL) {
            *warned = Some(Instant::now());
            let connections = self.connections_max;
            tracing::warn!(connections, "new clients wait: --max-connections connections are open");
        }
    }

    /// Lets connections send what they have begun to send, for `timeout` at most. Returns
    /// whether all was sent.
    ///
    /// Requests that came in part are not served any more.
    pub(super) async fn drain(self, timeout: Duration) -> bool {
        drop(self.tcp);
        self.draining.send_replace(true);
        tokio::time::timeout(timeout, self.draining.closed()).await.is_ok()
    }
}

type Connection = http1::Connection<TokioIo<Socket>, ConnectionService>;

/// Serves a connection until it ends, which it does soon once all connections are to end.
async fn serve_until_drained(
    connection: Connection,
    activity: &Activity,
    mut draining: watch::Receiver<bool>,
) -> hyper::Result<()> {
    let mut connection = pin!(connection);
    tokio::select! {
        served = &mut connection => return served,
        // An error says that there is no listener any more.
        _ = draining.wait_for(|is_draining| *is_draining) => {}
    }
    let may_be_flushing = activity.drain();
    if !may_be_flushing {
        // Says so in the head of an answer that has not begun. A connection without a request
        // in progress would be closed, whatever it still has to send.
        connection.as_mut().graceful_shutdown();
    }
    connection.await
}

/// Sends at once what is written, and finds out when nobody is there any more.
fn set_socket_options(stream: &TcpStream, user_timeout: Option<Duration>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    #[cfg(target_os = "linux")]
    {
        let socket = SockRef::from(stream);
        socket.set_tcp_notsent_lowat(NOT_SENT_BYTES_MAX)?;
        socket.set_tcp_user_timeout(user_timeout.map(|timeout| timeout.min(USER_TIMEOUT_MAX)))?;
    }
    let keep_alive =
        TcpKeepalive::new().with_time(KEEPALIVE_TIME).with_interval(KEEPALIVE_INTERVAL);
    SockRef::from(stream).set_tcp_keepalive(&keep_alive)
}

/// The longest that Linux can count to, in a signed number of milliseconds.
#[cfg(target_os = "linux")]
const USER_TIMEOUT_MAX: Duration = Duration::from_millis(i32::MAX as u64);

fn is_connection_error(error: &io::Error) -> bool {
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

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn accepted_sockets_have_their_options_set() {
        let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap());
        let (_client, accepted) = tokio::join!(client, listener.accept());
        let (stream, _) = accepted.unwrap();
        let minute = Some(Duration::from_secs(60));
        set_socket_options(&stream, minute).unwrap();
        let socket = SockRef::from(&stream);
        assert!(stream.nodelay().unwrap() && socket.keepalive().unwrap());
        assert_eq!(socket.tcp_notsent_lowat().unwrap(), NOT_SENT_BYTES_MAX);
        assert_eq!(socket.tcp_user_timeout().unwrap(), minute);
        set_socket_options(&stream, Some(Duration::MAX)).unwrap();
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(USER_TIMEOUT_MAX));
    }
}
