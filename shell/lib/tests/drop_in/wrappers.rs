//! Wrappers of the manager, and how it is constructed.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use axum::http::StatusCode;
use futures_core::Stream;
use rejoin::rmcp::LocalSessionManager;
use rmcp::{
    model::{ClientJsonRpcMessage, ServerJsonRpcMessage},
    transport::streamable_http_server::{
        RestoreOutcome, SessionId, SessionManager, StreamableHttpServerConfig,
        StreamableHttpService,
        session::{EventStore, ServerSseMessage},
    },
};
use serde_json::json;
use tokio::sync::watch;

use crate::{server::Server, service::Tools};

/// Delegates every method, and counts the calls that create and close sessions.
#[derive(Debug, Default)]
pub(crate) struct Counting {
    pub(crate) inner: LocalSessionManager,
    created: AtomicUsize,
    pub(crate) closed: watch::Sender<usize>,
}

type Error = <LocalSessionManager as SessionManager>::Error;

impl SessionManager for Counting {
    type Error = Error;
    type Transport = <LocalSessionManager as SessionManager>::Transport;

    async fn create_session(&self) -> Result<(SessionId, Self::Transport), Error> {
        self.created.fetch_add(1, Ordering::SeqCst);
        self.inner.create_session().await
    }

    async fn initialize_session(
        &self,
        id: &SessionId,
        message: ClientJsonRpcMessage,
    ) -> Result<ServerJsonRpcMessage, Error> {
        self.inner.initialize_session(id, message).await
    }

    async fn has_session(&self, id: &SessionId) -> Result<bool, Error> {
        self.inner.has_session(id).await
    }

    async fn close_session(&self, id: &SessionId) -> Result<(), Error> {
        let result = self.inner.close_session(id).await;
        self.closed.send_modify(|closed| *closed += 1);
        result
    }

    async fn create_stream(
        &self,
        id: &SessionId,
        message: ClientJsonRpcMessage,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, Error> {
        self.inner.create_stream(id, message).await
    }

    async fn accept_message(
        &self,
        id: &SessionId,
        message: ClientJsonRpcMessage,
    ) -> Result<(), Error> {
        self.inner.accept_message(id, message).await
    }

    async fn create_standalone_stream(
        &self,
        id: &SessionId,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, Error> {
        self.inner.create_standalone_stream(id).await
    }

    async fn resume(
        &self,
        id: &SessionId,
        last_event_id: String,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, Error> {
        self.inner.resume(id, last_event_id).await
    }

    async fn restore_session(
        &self,
        id: SessionId,
    ) -> Result<RestoreOutcome<Self::Transport>, Error> {
        self.inner.restore_session(id).await
    }

    fn event_store(&self) -> Option<Arc<dyn EventStore>> {
        self.inner.event_store()
    }
}

#[tokio::test]
async fn wrapper_that_delegates_every_method_works() {
    let mut server = Server::start_with(Counting::default()).await;
    let client = server.connect().await;
    let mut standalone = client.get(None).await;
    let mut events = client.call(1, "wait", json!({})).await;
    let priming = events.next().await.unwrap();
    drop(events);
    server.wait_for_call("wait").await;
    server.tools.gate.add_permits(1);
    assert_eq!(client.get(Some(priming.id())).await.text(1).await, "waited");
    let mut events = client.call(2, "announce", json!({ "n": 5 })).await;
    assert_eq!(events.text(2).await, "announced");
    assert_eq!(standalone.message().await.unwrap().number(), 5);
    assert_eq!(client.delete().await, StatusCode::ACCEPTED);
    assert!(standalone.next().await.is_none());
    assert_eq!(server.manager.created.load(Ordering::SeqCst), 1);
    assert!(*server.manager.closed.borrow() > 0);
    assert_eq!(server.manager.inner.session_count(), 0);
}

/// Without a runtime.
#[test]
fn manager_is_constructed_as_that_of_rmcp() {
    let mut manager = LocalSessionManager::default();
    manager.session_config.keep_alive = None;
    let debug = format!("{manager:?}");
    assert!(debug.starts_with("LocalSessionManager {"), "{debug}");
    assert!(debug.contains("keep_alive: None"), "{debug}");

    let factory = || Ok(Tools::new().0);
    let shared: Arc<LocalSessionManager> = Arc::new(LocalSessionManager::default());
    let service: StreamableHttpService<Tools, LocalSessionManager> =
        StreamableHttpService::new(factory, shared.clone(), StreamableHttpServerConfig::default());
    drop(service);
    assert_eq!((shared.session_count(), Arc::strong_count(&shared)), (0, 1));
    StreamableHttpService::<_, LocalSessionManager>::new(
        factory,
        LocalSessionManager::default().into(),
        StreamableHttpServerConfig::default(),
    );
}
