//! The listener: TCP connections, and HTTP on them.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use socket2::SockRef;
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::Semaphore,
};

use super::router::Router;
use crate::config::Config;

/// How long data may stay unacknowledged before a connection counts as dead.
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(30);

/// The largest head of a request, in bytes, and the largest part of a body that is read
/// at once.
const BUFFER_BYTES_MAX: usize = 64 << 10;

/// How long to wait after an error that is no connection's own, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

pub(super) struct Listener {
    tcp: TcpListener,
    http: http1::Builder,
    graceful: GracefulShutdown,
    /// One permit for each connection that may come.
    places: Arc<Semaphore>,
}

impl Listener {
    pub(super) fn bind(config: &Config) -> io::Result<Self> {
        let listener = listen(config.listen)?;
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(config.header_timeout)
            .max_buf_size(BUFFER_BYTES_MAX);
        let places = Arc::new(Semaphore::new(config.tcp_max.min(Semaphore::MAX_PERMITS)));
        Ok(Self { tcp: listener, http, graceful: GracefulShutdown::new(), places })
    }

    pub(super) fn address(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    /// Accepts connections for ever.
    pub(super) async fn accept(&self, router: &Router) {
        loop {
            let Ok(place) = Arc::clone(&self.places).acquire_owned().await else { return };
            let stream = match self.tcp.accept().await {
                Ok((stream, _)) => stream,
                Err(error) if is_of_connection(&error) => continue,
                Err(error) => {
                    tracing::error!(%error, "cannot accept connections");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            if let Err(error) = prepare(&stream) {
                tracing::debug!(%error, "connection was lost at once");
                continue;
            }
            let connection = self.http.serve_connection(TokioIo::new(stream), router.clone());
            let connection = self.graceful.watch(connection);
            tokio::spawn(async move {
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "connection broke off");
                }
                drop(place);
            });
        }
    }

    /// Lets connections end what they have begun. Returns whether they did, in time.
    pub(super) async fn drain(self, timeout: Duration) -> bool {
        drop(self.tcp);
        tokio::time::timeout(timeout, self.graceful.shutdown()).await.is_ok()
    }
}

/// Sends at once what is written, and finds out when nobody is there any more.
fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    #[cfg(target_os = "linux")]
    SockRef::from(stream).set_tcp_user_timeout(Some(TCP_USER_TIMEOUT))?;
    Ok(())
}

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
