//! The TCP listener, and the protocols of its connections: TLS, HTTP/1.1 and HTTP/2.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use hyper_util::rt::TokioExecutor;
use rejoin::PeerAddress;
use tokio::{
    net::TcpStream,
    sync::watch,
    time::{Instant, sleep_until},
};

use super::{
    acceptor::{Accepted, Acceptor, Limits},
    activity,
    client_certificate::ClientCertificate,
    http1, http2,
    router::{ConnectedClient, Router},
    tls::{self, Tls},
    transport::Transport,
};
use crate::config::ProgramConfig;

pub(super) struct Listener {
    acceptor: Acceptor,
    protocols: Arc<Protocols>,
    /// Tells connections to end after their current response. Each connection has a receiver.
    draining: watch::Sender<bool>,
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
        let idle = config.connection_idle_timeout;
        // Also when a reader counts as stalled.
        let stall = config.sessions.session.stall_disconnect_timeout;
        let limits = Limits {
            connections_max: config.tcp_connections_max,
            listener: "clients",
            user_timeout: stall,
        };
        Ok(Self {
            acceptor: Acceptor::bind(config.listen, limits)?,
            protocols: Arc::new(Protocols {
                tls,
                http1: http1::builder(),
                http2: http2::builder(),
                http1_timeouts: activity::Timeouts { idle, header: config.header_timeout },
                http2_timeouts: http2::Timeouts { idle, stall },
            }),
            draining: watch::Sender::new(false),
        })
    }

    pub(super) fn address(&self) -> io::Result<SocketAddr> {
        self.acceptor.address()
    }

    /// Accepts connections until the future is dropped.
    pub(super) async fn accept(&mut self, router: &Router) {
        loop {
            let Accepted { stream, peer, permit } = self.acceptor.accept().await;
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

    /// Stops accepting connections, and waits up to `timeout` until the current responses are
    /// sent. Returns whether all were sent.
    ///
    /// Requests that were received in part are not served.
    pub(super) async fn drain(self, timeout: Duration) -> bool {
        drop(self.acceptor);
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
        match &transport {
            Transport::Tls(stream) if tls::is_http2(stream) => {
                let service = (router, client);
                http2::serve(&self.http2, transport, service, self.http2_timeouts, end).await?;
            }
            Transport::Tls(_) | Transport::Tcp(_) => {
                let respond = |request| router.respond(request, &client);
                http1::serve(&self.http1, transport, respond, self.http1_timeouts, end).await?;
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
