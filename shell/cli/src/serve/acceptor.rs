//! A listening socket, and the limit of its connections.

use std::{future::pending, io, net::SocketAddr, sync::Arc, time::Duration};

use socket2::{SockRef, TcpKeepalive};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

/// A listening socket, which accepts a limited number of connections.
pub(crate) struct Acceptor {
    tcp: TcpListener,
    limits: Limits,
    /// One permit per connection.
    permits: Arc<Semaphore>,
    /// When the log was last told that the limit is reached.
    warned_at: Option<Instant>,
}

/// Limits of the connections of a socket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Maximum number of connections. Further ones wait.
    pub(crate) connections_max: usize,
    /// Who connects to the socket, for the log.
    pub(crate) listener: &'static str,
    /// How long sent data may stay unacknowledged by TCP before the connection is closed
    /// (`TCP_USER_TIMEOUT`).
    pub(crate) user_timeout: Option<Duration>,
}

/// A connection that was accepted.
pub(crate) struct Accepted {
    pub(crate) stream: TcpStream,
    pub(crate) peer: SocketAddr,
    /// To be held until the connection has ended.
    pub(crate) permit: OwnedSemaphorePermit,
}

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

impl Acceptor {
    pub(crate) fn bind(address: SocketAddr, limits: Limits) -> io::Result<Self> {
        let permits = Semaphore::new(limits.connections_max.min(Semaphore::MAX_PERMITS));
        let tcp = listen(address)?;
        Ok(Self { tcp, limits, permits: Arc::new(permits), warned_at: None })
    }

    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    /// Waits for the next connection. Cancel-safe.
    pub(crate) async fn accept(&mut self) -> Accepted {
        loop {
            if self.permits.available_permits() == 0 {
                self.warn_connection_limit();
            }
            // The semaphore is never closed.
            let Ok(permit) = Arc::clone(&self.permits).acquire_owned().await else {
                return pending().await;
            };
            let (stream, peer) = match self.tcp.accept().await {
                Ok(accepted) => accepted,
                Err(error) if is_connection_error(&error) => continue,
                Err(error) => {
                    let listener = self.limits.listener;
                    tracing::error!(%error, listener, "cannot accept connections");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            match set_socket_options(&stream, self.limits.user_timeout) {
                Ok(()) => return Accepted { stream, peer, permit },
                Err(error) => tracing::debug!(%peer, %error, "cannot set socket options"),
            }
        }
    }

    /// Warns, at most once per interval, that new clients have to wait.
    fn warn_connection_limit(&mut self) {
        if self.warned_at.is_none_or(|at| at.elapsed() > WARNING_INTERVAL) {
            self.warned_at = Some(Instant::now());
            let Limits { connections_max: connections, listener, .. } = self.limits;
            tracing::warn!(connections, listener, "connection limit reached: new connections wait");
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
