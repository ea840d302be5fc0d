//! The end of sessions: for which reasons, and what is left of them.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::http::StatusCode;
use rejoin::{ManagerConfig, rmcp::LocalSessionManager};
use rejoin_core::SessionCloseReason;
use rejoin_test_support::{LATEST_REVISION, initialize};
use serde_json::json;
use tokio::{sync::mpsc, time::timeout};

use crate::{
    client::{Client, PATIENCE},
    server::Server,
};

type Closed = (String, SessionCloseReason);

/// Adds a hook to a manager that reports each session that ends.
fn with_hook(
    manager: LocalSessionManager,
) -> (LocalSessionManager, mpsc::UnboundedReceiver<Closed>) {
    let (sender, closed) = mpsc::unbounded_channel();
    let manager = manager.on_close(move |id, reason| {
        let _ = sender.send((id.to_string(), reason));
    });
    (manager, closed)
}

async fn next(closed: &mut mpsc::UnboundedReceiver<Closed>) -> Closed {
    timeout(PATIENCE, closed.recv()).await.unwrap().unwrap()
}

fn ids(server: &Server) -> Vec<String> {
    server.manager.session_ids().iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn running_call_keeps_its_session_and_an_idle_one_ends() {
    let mut manager = LocalSessionManager::default();
    manager.session_config.keep_alive = Some(Duration::from_millis(300));
    let (manager, mut closed) = with_hook(manager);
    let mut server = Server::start_with(manager).await;
    let busy = server.connect().await;
    let mut events = busy.call(1, "wait", json!({})).await;
    let priming = events.next().await.unwrap();
    // The client is away: only the call keeps the session.
    drop(events);
    server.wait_for_call("wait").await;

    for _ in 0..3 {
        let idle = server.connect().await;
        idle.echo(1).await;
        assert!(ids(&server).contains(&idle.id().to_owned()));
        assert_eq!(next(&mut closed).await, (idle.id().to_owned(), SessionCloseReason::Idle));
        assert_eq!(ids(&server), [busy.id()]);
        assert_eq!(server.manager.session_count(), 1);
        let mut refused = idle.call(2, "echo", json!({ "text": "" })).await;
        assert_eq!(refused.status, StatusCode::NOT_FOUND);
        assert!(refused.next().await.is_none());
    }

    server.tools.gate.add_permits(1);
    assert_eq!(busy.get(Some(priming.id())).await.text(1).await, "waited");
    assert_eq!(next(&mut closed).await, (busy.id().to_owned(), SessionCloseReason::Idle));
    assert_eq!((server.manager.session_count(), ids(&server).len()), (0, 0));
    assert!(closed.is_empty(), "each session ends once");
}

#[tokio::test]
async fn session_is_deleted_once() {
    let (manager, mut closed) = with_hook(LocalSessionManager::default());
    let server = Server::start_with(manager).await;
    let (client, other) = (server.connect().await, server.connect().await);
    for _ in 0..3 {
        assert_eq!(client.delete().await, StatusCode::ACCEPTED);
    }
    let unknown = Client::of_session(&server.address, "no-such-session");
    assert_eq!(unknown.delete().await, StatusCode::ACCEPTED);
    assert_eq!(next(&mut closed).await, (client.id().to_owned(), SessionCloseReason::Deleted));
    assert_eq!(client.get(None).await.status, StatusCode::NOT_FOUND);
    other.echo(1).await;
    assert_eq!(ids(&server), [other.id()]);
    assert_eq!(other.delete().await, StatusCode::ACCEPTED);
    // The hook is called in order: a second call for the first session would be received here.
    assert_eq!(next(&mut closed).await, (other.id().to_owned(), SessionCloseReason::Deleted));
}

#[tokio::test]
async fn end_of_the_server_side_ends_the_session() {
    let (manager, mut closed) = with_hook(LocalSessionManager::default());
    let config = rmcp::transport::streamable_http_server::StreamableHttpServerConfig::default();
    let token = config.cancellation_token.clone();
    let server: Server = Server::start_with_config(manager, config).await;
    let client = server.connect().await;
    client.echo(1).await;
    token.cancel();
    let (id, _) = next(&mut closed).await;
    assert_eq!((id.as_str(), server.manager.session_count()), (client.id(), 0));
}

#[tokio::test]
async fn session_limit_refuses_until_a_session_is_deleted() {
    let mut config = ManagerConfig::default();
    config.sessions_max = 2;
    let server = Server::start_with(LocalSessionManager::with_config(config).unwrap()).await;
    let (first, second) = (server.connect().await, server.connect().await);
    for client in [&first, &second] {
        client.echo(1).await;
    }
    let http = rejoin_test_support::Client::new(&server.address);
    for _ in 0..2 {
        let mut refused = http.post(&initialize(LATEST_REVISION, &json!({}))).await;
        assert_eq!(refused.status, StatusCode::INTERNAL_SERVER_ERROR);
        let body = refused.chunk().await.unwrap().unwrap();
        assert!(String::from_utf8_lossy(&body).contains("session limit reached (2)"));
    }
    assert_eq!(server.manager.session_count(), 2);
    assert_eq!(first.delete().await, StatusCode::ACCEPTED);
    let third = server.connect().await;
    third.echo(1).await;
    second.echo(2).await;
}

#[tokio::test]
async fn panic_of_the_hook_hurts_nothing() {
    let ended = Arc::new(Mutex::new(0));
    let counter = Arc::clone(&ended);
    let manager = LocalSessionManager::default().on_close(move |_, _| {
        *counter.lock().unwrap() += 1;
        panic!("a panic of the hook, as expected");
    });
    // The lock is released before the panic, so that it is not poisoned.
    let server = Server::start_with(manager).await;
    let other = server.connect().await;
    for deleted in 1..=3 {
        let client = server.connect().await;
        client.echo(1).await;
        assert_eq!(client.delete().await, StatusCode::ACCEPTED);
        assert_eq!(*ended.lock().unwrap(), deleted);
        assert_eq!(ids(&server), [other.id()]);
        other.echo(deleted).await;
    }
}

#[tokio::test]
async fn initialize_that_is_refused_leaves_no_session() {
    let mut manager = LocalSessionManager::default();
    manager.session_config.init_timeout = None;
    let server = Server::start_with(manager).await;
    let mut initialize = initialize(LATEST_REVISION, &json!({}));
    initialize["id"] = "a".repeat(300).into();
    let response = rejoin_test_support::Client::new(&server.address).post(&initialize).await;
    assert_eq!(response.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(server.manager.session_count(), 0);
}

#[tokio::test]
async fn invalid_session_config_is_an_error() {
    let mut manager = LocalSessionManager::default();
    manager.session_config.channel_capacity = 0;
    let server = Server::start_with(manager).await;
    let initialize = initialize(LATEST_REVISION, &json!({}));
    let response = rejoin_test_support::Client::new(&server.address).post(&initialize).await;
    assert_eq!(response.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(server.manager.session_count(), 0);
}

#[tokio::test]
async fn session_is_found_by_its_exact_id_only() {
    let server = Server::start().await;
    let client = server.connect().await;
    let id = client.id().to_owned();
    for other in [id.to_uppercase(), id.replace('-', ""), format!(" {id}0")] {
        let other = Client::of_session(&server.address, other.trim());
        assert_eq!(other.get(None).await.status, StatusCode::NOT_FOUND);
        other.delete().await;
    }
    client.echo(1).await;
}
