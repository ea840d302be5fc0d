//! Sessions that are restored after a restart, by the session store of rmcp.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use axum::http::StatusCode;
use rejoin::rmcp::LocalSessionManager;
use rmcp::transport::streamable_http_server::{
    SessionManager as _, StreamableHttpServerConfig,
    session::{SessionState, SessionStore, SessionStoreError},
};
use serde_json::json;
use tokio::{sync::Semaphore, time::timeout};

use crate::{client::Client, server::Server, service::Report, wrappers::Counting};

/// Survives the restart.
#[derive(Clone, Default)]
struct Store(Arc<Mutex<HashMap<String, SessionState>>>);

#[async_trait]
impl SessionStore for Store {
    async fn load(&self, id: &str) -> Result<Option<SessionState>, SessionStoreError> {
        Ok(self.0.lock().unwrap().get(id).cloned())
    }

    async fn store(&self, id: &str, state: &SessionState) -> Result<(), SessionStoreError> {
        self.0.lock().unwrap().insert(id.to_owned(), state.clone());
        Ok(())
    }

    async fn delete(&self, id: &str) -> Result<(), SessionStoreError> {
        self.0.lock().unwrap().remove(id);
        Ok(())
    }
}

impl Store {
    /// Stores a session that no manager has created.
    fn insert(&self, id: &str) {
        let state = serde_json::from_value(json!({ "initialize_params": {
            "protocolVersion": "2025-11-25",
            "capabilities": {},
            "clientInfo": { "name": "test", "version": "0" },
        }}));
        self.0.lock().unwrap().insert(id.to_owned(), state.unwrap());
    }

    /// Starts a server with a manager of its own.
    async fn start(&self) -> Server {
        Server::start_with_config(LocalSessionManager::default(), self.config()).await
    }

    fn config(&self) -> StreamableHttpServerConfig {
        let mut config = StreamableHttpServerConfig::default();
        config.session_store = Some(Arc::new(self.clone()));
        config
    }
}

#[tokio::test]
async fn old_event_ids_name_no_event_after_a_restart() {
    let store = Store::default();
    let before = store.start().await;
    let client = before.connect().await;
    let mut standalone = client.get(None).await;
    let mut events = client.call(1, "count", json!({ "count": 3 })).await;
    let last = events.message().await.unwrap();
    assert_eq!((last.id(), last.number()), ("1/0", 1));
    for n in 1..=2 {
        client.call(2, "announce", json!({ "n": n })).await.response().await;
    }
    let announced = standalone.message().await.unwrap();
    assert_eq!((announced.id(), announced.number()), ("1", 1));
    drop(before);

    let after = store.start().await;
    let client = Client::of_session(&after.address, client.id());
    // As many streams and events as before.
    let mut standalone = client.get(None).await;
    assert_eq!(standalone.next().await.unwrap().id(), "0");
    for id in 1..=3 {
        let mut events = client.call(id, "count", json!({ "count": 3 })).await;
        assert_eq!(events.text(id).await, "counted");
    }
    for n in 101..=104 {
        client.call(n, "announce", json!({ "n": n })).await.response().await;
        assert_eq!(standalone.message().await.unwrap().number(), n);
    }
    drop(standalone);
    assert_eq!(after.manager.session_count(), 1);

    let mut events = client.get(Some(last.id())).await;
    assert!(events.next().await.is_none(), "an event of another stream");
    let mut events = client.get(Some(announced.id())).await;
    let gap = events.message().await.unwrap();
    assert_eq!(gap.message["method"], "notifications/message", "{gap:?}");
    assert_eq!(events.message().await.unwrap().number(), 101);
}

#[tokio::test]
async fn restored_session_begins_without_a_gap() {
    let store = Store::default();
    let before = store.start().await;
    let client = before.connect().await;
    drop(before);
    let after = store.start().await;
    let client = Client::of_session(&after.address, client.id());
    let mut events = client.get(None).await;
    assert_eq!(events.next().await.unwrap().id(), "0");
    let position = events.next().await.unwrap();
    assert!(position.message.is_null(), "{position:?}");
    drop(events);
    client.call(1, "announce", json!({ "n": 1 })).await.response().await;
    let mut events = client.get(position.id.as_deref()).await;
    assert_eq!(events.message().await.unwrap().number(), 1);
}

#[tokio::test]
async fn only_uuids_are_restored() {
    let store = Store::default();
    let server = store.start().await;
    let uuids = ["550e8400-e29b-41d4-a716-446655440000", "00000000-0000-0000-0000-000000000000"];
    for id in uuids {
        store.insert(id);
        Client::of_session(&server.address, id).echo(1).await;
        Client::of_session(&server.address, id).echo(2).await;
    }
    assert_eq!(server.manager.session_count(), 2);
    for id in [
        "session-1",
        "550e8400-e29b-41d4-a716_446655440002",
        "550E8400-E29B-41D4-A716-446655440003",
        "550e8400e29b41d4a716446655440004",
    ] {
        store.insert(id);
        let events = Client::of_session(&server.address, id).get(None).await;
        assert_eq!(events.status, StatusCode::NOT_FOUND, "{id}");
    }
    let unknown = Client::of_session(&server.address, "550e8400-e29b-41d4-a716-446655440009");
    assert_eq!(unknown.get(None).await.status, StatusCode::NOT_FOUND);
    assert_eq!(server.manager.session_count(), 2);
}

#[tokio::test]
async fn concurrent_requests_restore_a_session_once() {
    let store = Store::default();
    let mut server = store.start().await;
    let id = "550e8400-e29b-41d4-a716-446655440000";
    store.insert(id);
    let client = Client::of_session(&server.address, id);
    server.tools.initialize_gate.forget_permits(Semaphore::MAX_PERMITS);
    let first = client.echo(1);
    let rest = async {
        server.wait_for(&Report::Initializing).await;
        let mut rest = std::pin::pin!(async {
            tokio::join!(client.echo(2), client.echo(3), async {
                let status = client.notify("notifications/custom", json!({}), &[]).await;
                assert_eq!(status, StatusCode::ACCEPTED);
            })
        });
        // They find the session while it is being restored.
        let early = timeout(Duration::from_millis(100), &mut rest).await;
        assert!(early.is_err(), "no response before the session is initialized");
        server.tools.initialize_gate.add_permits(1);
        rest.await;
    };
    tokio::join!(first, rest);
    assert_eq!(server.manager.session_count(), 1);
    while let Ok(report) = server.reports.try_recv() {
        assert_ne!(report, Report::Initializing);
    }
}

#[tokio::test]
async fn close_of_the_earlier_session_spares_the_restored_one() {
    let store = Store::default();
    let mut server = Server::start_with_config(Counting::default(), store.config()).await;
    let client = server.connect().await;
    drop(client.call(1, "wait", json!({})).await);
    server.wait_for_call("wait").await;
    // The handler goes on, and the service waits for it.
    server.manager.close_session(&client.id().into()).await.unwrap();
    client.echo(2).await;
    let mut closed = server.manager.closed.subscribe();
    server.tools.gate.add_permits(1);
    timeout(Duration::from_secs(20), closed.wait_for(|closed| *closed >= 2))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(server.manager.inner.session_count(), 1);
    server.manager.close_session(&client.id().into()).await.unwrap();
    assert_eq!(server.manager.inner.session_count(), 0);
}
