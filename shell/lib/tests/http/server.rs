//! HTTP server in the test process, whose backends the test controls.

use http::Request;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use rejoin::{
    CredentialExpiry, HttpConfig, ManagerConfig, Principal, SessionHandle, StreamableHttp,
};
use rejoin_test_support::Client;
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};
use tower_service::Service as _;

use crate::support::Server;

pub(crate) struct HttpServer {
    pub(crate) manager: Server,
    pub(crate) address: String,
    acceptor: JoinHandle<()>,
    /// Dropped when the credential [`EXPIRING`] expires.
    valid: Option<watch::Sender<()>>,
}

/// The header that names the subject of a request, as a layer that authenticates it would.
pub(crate) const SUBJECT: &str = "x-subject";

/// A subject whose credential can expire, and one that is the same with a fresh credential.
pub(crate) const EXPIRING: &str = "ada with a stale credential";
pub(crate) const FRESH: &str = "ada";

impl HttpServer {
    pub(crate) async fn start() -> Self {
        Self::start_with(ManagerConfig::default(), HttpConfig::default()).await
    }

    pub(crate) async fn start_with(config: ManagerConfig, http: HttpConfig) -> Self {
        let manager = Server::with(config);
        let service = StreamableHttp::new(manager.sessions.clone(), http).unwrap();
        Self::serve(manager, service).await
    }

    /// Serves a service, behind a layer that takes the principal of a request from a header.
    pub(crate) async fn serve(manager: Server, service: StreamableHttp) -> Self {
        let (valid, validity) = watch::channel(());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let acceptor = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                let (service, validity) = (service.clone(), validity.clone());
                let service = service_fn(move |mut request| {
                    identify(&mut request, &validity);
                    service.clone().call(request)
                });
                let connection =
                    http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                tokio::spawn(async move { drop(connection.await) });
            }
        });
        Self { manager, address, acceptor, valid: Some(valid) }
    }

    /// Lets the credential [`EXPIRING`] expire.
    pub(crate) fn expire(&mut self) {
        self.valid = None;
    }

    /// Creates a session of the newest revision and a client for it.
    pub(crate) async fn session(&self) -> (SessionHandle, Client) {
        let session = self.manager.initialized().await;
        let client = Client::new(&self.address).with_session(&session.id().to_string());
        (session, client)
    }
}

fn identify<B>(request: &mut Request<B>, validity: &watch::Receiver<()>) {
    let Some(subject) = request.headers().get(SUBJECT) else { return };
    let subject = subject.to_str().unwrap().to_owned();
    let extensions = request.extensions_mut();
    if subject == EXPIRING {
        let validity = validity.clone();
        extensions.insert(CredentialExpiry::when(move || {
            let mut validity = validity.clone();
            async move { while validity.changed().await.is_ok() {} }
        }));
        extensions.insert(Principal::new("issuer", FRESH));
    } else {
        extensions.insert(Principal::new("issuer", &subject));
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.acceptor.abort();
    }
}
