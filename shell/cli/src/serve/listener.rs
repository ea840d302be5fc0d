//! The TCP listener, and the protocols of its connections: TLS, HTTP/1.1 and HTTP/2.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use hyper_util::rt::TokioExecutor;
use rejoin::PeerAddress;
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{Semaphore, watch},
    time::{Instant, sleep_until},
};

use super::{
    activity,
    client_certificate::ClientCertificate,
    http1, http2,
    router::{ConnectedClient, Router},
    tls::{self, Tls},
    transport::Transport,
};
use crate::config::ProgramConfig;

/// Maximum number of unsent bytes in the kernel (`TCP_NOTSENT_LOWAT`). Low, so that an event
/// counts as acknowledged shortly before it is sent, and slow readers show steady progress.
const NOT_SENT_BYTES_MAX: u32 = 64 << 10;

/// TCP keepalive: idle time before the first probe, and interval between probes.
const KEEPALIVE_TIME: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);

/// Minimum time between two warnings about the connection limit.
const WARNING_INTERVAL: Duration = Duration::from_secs(60);

/// Delay after an accept error that does not concern one connection, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

pub(super) struct Listener {
    tcp: TcpListener,
    protocols: Arc<Protocols>,
    /// Tells connections to end after their current response. Each connection has a receiver.
    draining: watch::Sender<bool>,
    connections_max: usize,
    /// One permit per connection.
    permits: Arc<Semaphore>,
    /// How long sent data may stay unacknowledged by TCP before the connection is closed
    /// (`TCP_USER_TIMEOUT`). Same as the session's timeout for a stalled reader.
    user_timeout: Option<Duration>,
}

/// How connections are served.
struct Protocols {
    tls: Option<Tls>,
    http1: hyper::server::conn::http1::Builder,
    http2: hyper::server::conn::http2::Builder<TokioExecutor>,
    http1_timeouts: activity::Timeouts,
    http2_timeouts: http2::Timeouts,
}

impl Listener {
    pub(super) fn bind(config: &ProgramConfig, tls: Option<Tls>) -> io::Result<Self> {
        let listener = listen(config.listen)?;
        let idle = config.connection_idle_timeout;
        let stall = config.sessions.session.stall_disconnect_timeout;
        let permits =
            Arc::new(Semaphore::new(config.tcp_connections_max.min(Semaphore::MAX_PERMITS)));
        Ok(Self {
            tcp: listener,
            protocols: Arc::new(Protocols {
                tls,
                http1: http1::builder(),
                http2: http2::builder(),
                http1_timeouts: activity::Timeouts { idle, header: config.header_timeout },
                http2_timeouts: http2::Timeouts { idle, stall },
            }),
            draining: watch::Sender::new(false),
            connections_max: config.tcp_connections_max,
            permits,
            user_timeout: stall,
        })
    }

    pub(super) fn address(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    /// Accepts connections until the future is dropped.
    pub(super) async fn accept(&self, router: &Router) {
        let mut warned_at = None;
        loop {
            if self.permits.available_permits() == 0 {
                self.warn_connection_limit(&mut warned_at);
            }
            let Ok(permit) = Arc::clone(&self.permits).acquire_owned().await else { return };
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
                tracing::debug!(%peer, %error, "cannot set socket options");
                continue;
            }
            let (protocols, router) = (Arc::clone(&self.protocols), router.clone());
            let draining = self.draining.subscribe();
            tokio::spawn(async move {
                if let Err(error) = protocols.serve(stream, router, peer, draining).await {
                    tracing::debug!(%peer, %error, "connection error");
                }
                drop(permit);
            });
        }
    }

    /// Warns, at most once per interval, that new clients have to wait.
    fn warn_connection_limit(&self, warned_at: &mut Option<Instant>) {
        if warned_at.is_none_or(|at| at.elapsed() > WARNING_INTERVAL) {
            *warned_at = Some(Instant::now());
            let connections = self.connections_max;
            tracing::warn!(
                connections,
                "connection limit reached (--max-connections): new clients wait"
            );
        }
    }

    /// Stops accepting connections, and waits up to `timeout` until the current responses are
    /// sent. Returns whether all were sent.
    ///
    /// Requests that were received in part are not served.
    pub(super) async fn drain(self, timeout: Duration) -> bool {
        drop(self.tcp);
        self.draining.send_replace(true);
        tokio::time::timeout(timeout, self.draining.closed()).await.is_ok()
    }
}

impl Protocols {
    /// Serves a connection until it ends.
    async fn serve(
        &self,
        stream: TcpStream,
        router: Router,
        peer: SocketAddr,
        mut draining: watch::Receiver<bool>,
    ) -> anyhow::Result<()> {
        let mut client = ConnectedClient { peer: PeerAddress(peer), certificate: None };
        let transport = match &self.tls {
            None => Transport::Tcp(stream),
            Some(tls) => {
                let handshake = tls.accept(stream, self.http1_timeouts.header);
                let stream = tokio::select! {
                    stream = handshake => stream?,
                    _ = draining.wait_for(|is_draining| *is_draining) => return Ok(()),
                };
                let certificate = tls::client_certificate(&stream);
                client.certificate = certificate.map(ClientCertificate::new).transpose()?;
                Transport::Tls(Box::new(stream))
            }
        };
        // Lives until the connection ends, which a shutdown waits for.
        let end = end(&mut draining, client.certificate.as_ref().map(|known| known.expires_at));
        let service = (router, client);
        match &transport {
            Transport::Tls(stream) if tls::is_http2(stream) => {
                http2::serve(&self.http2, transport, service, self.http2_timeouts, end).await?;
            }
            Transport::Tls(_) | Transport::Tcp(_) => {
                http1::serve(&self.http1, transport, service, self.http1_timeouts, end).await?;
            }
        }
        Ok(())
    }
}

/// Waits until a connection must end after its current requests.
async fn end(draining: &mut watch::Receiver<bool>, expires_at: Option<Instant>) {
    let drained = async {
        // An error means that the listener was dropped.
        let _ = draining.wait_for(|is_draining| *is_draining).await;
    };
    match expires_at {
        None => drained.await,
        Some(expires_at) => {
            tokio::select! {
                () = drained => {}
                () = sleep_until(expires_at) => {}
            }
        }
    }
}

/// Disables Nagle's algorithm, limits buffering in the kernel, and enables detection of dead peers.
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

/// Maximum of `TCP_USER_TIMEOUT` on Linux: a signed number of milliseconds.
#[cfg(target_os = "linux")]
const USER_TIMEOUT_MAX: Duration = Duration::from_millis(i32::MAX as u64);

/// Returns whether an accept error concerns one connection only.
fn is_connection_error(error: &io::Error) -> bool {
    let kinds = [
        io::ErrorKind::ConnectionAborted,
        io::ErrorKind::ConnectionRefused,
        io::ErrorKind::ConnectionReset,
    ];
    kinds.contains(&error.kind())
}

/// Listens with a long backlog, for many clients that connect at once, such as after a restart.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Maximum number of connections that wait to be accepted; the kernel may lower it.
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
