//! HTTP server in the test process, whose backends the test controls.

use hyper::server::conn::http1;
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use rejoin::{HttpConfig, ManagerConfig, SessionHandle, StreamableHttp};
use rejoin_test_support::Client;
use tokio::{net::TcpListener, task::JoinHandle};

use crate::support::Server;

pub(crate) struct HttpServer {
    pub(crate) manager: Server,
    pub(crate) address: String,
    acceptor: JoinHandle<()>,
}

impl HttpServer {
    pub(crate) async fn start() -> Self {
        Self::start_with(ManagerConfig::default(), HttpConfig::default()).await
    }

    pub(crate) async fn start_with(config: ManagerConfig, http: HttpConfig) -> Self {
        let manager = Server::with(config);
        let service = StreamableHttp::new(manager.sessions.clone(), http).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let acceptor = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                let service = TowerToHyperService::new(service.clone());
                let connection =
                    http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                tokio::spawn(async move { drop(connection.await) });
            }
        });
        Self { manager, address, acceptor }
    }

    /// Creates a session of the newest revision and a client for it.
    pub(crate) async fn session(&self) -> (SessionHandle, Client) {
        let session = self.manager.initialized().await;
        let client = Client::new(&self.address).with_session(&session.id().to_string());
        (session, client)
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.acceptor.abort();
    }
}
