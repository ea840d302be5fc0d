//! A server in this process, whose backends are the test itself.

use hyper::server::conn::http1;
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use rejoin::{HttpConfig, ManagerConfig, SessionHandle, StreamableHttp};
use tokio::{net::TcpListener, task::JoinHandle};

use crate::{client::Client, support::Server};

pub(crate) struct Host {
    pub(crate) server: Server,
    pub(crate) address: String,
    accepting: JoinHandle<()>,
}

impl Host {
    pub(crate) async fn begin() -> Self {
        Self::with(ManagerConfig::default(), HttpConfig::default()).await
    }

    pub(crate) async fn with(settings: ManagerConfig, http: HttpConfig) -> Self {
        let server = Server::with(settings);
        let service = StreamableHttp::new(server.sessions.clone(), http).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let accepting = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                let service = TowerToHyperService::new(service.clone());
                let connection =
                    http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                tokio::spawn(async move { drop(connection.await) });
            }
        });
        Self { server, address, accepting }
    }

    /// A session of the newest revision, and a client of it.
    pub(crate) async fn session(&self) -> (SessionHandle, Client) {
        let session = self.server.initialized().await;
        let client = Client::new(&self.address).with_session(&session.id().to_string());
        (session, client)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}
