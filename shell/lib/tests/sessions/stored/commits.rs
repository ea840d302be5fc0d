//! Commits: what waits for the store, and what does not.

use std::time::Duration;

use rejoin::{ManagerError, SseEvent};
use rejoin_core::AnswerFormat;
use tokio::time::timeout;

use super::{server, store::TestStore};
use crate::support::{message, next, post};

const SHORT: Duration = Duration::from_millis(100);

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_before_it_is_committed() {
    let store = TestStore::new();
    let server = server(&store);
    let session = server.initialized().await;
    let mut backend = server.backend().await;
    store.delay_entries(true);
    let call = post(r#""id":1,"method":"a""#);
    let mut connection = session.request(call, AnswerFormat::Sse).await.unwrap();
    assert_eq!(backend.receive().await, message(r#""id":1,"method":"a""#), "it is forwarded");
    backend.send(r#""id":1,"result":{}"#).await;
    assert!(timeout(SHORT, next(&mut connection)).await.is_err());
    store.delay_entries(false);
    assert!(matches!(next(&mut connection).await, Some(SseEvent::Priming { .. })));
    let response = next(&mut connection).await.unwrap();
    assert!(
        matches!(response, SseEvent::Message { data, .. } if data == message(r#""id":1,"result":{}"#))
    );
    assert_eq!(next(&mut connection).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_json_response_waits_for_its_commit() {
    let store = TestStore::new();
    let server = server(&store);
    let session = server.initialized().await;
    let mut backend = server.backend().await;
    store.delay_entries(true);
    let call = post(r#""id":1,"method":"a""#);
    let mut connection = session.request(call, AnswerFormat::Json).await.unwrap();
    backend.send(r#""id":1,"result":{}"#).await;
    assert!(timeout(SHORT, next(&mut connection)).await.is_err());
    store.delay_entries(false);
    assert!(matches!(next(&mut connection).await, Some(SseEvent::Message { id: None, .. })));
}

#[tokio::test(start_paused = true)]
async fn a_quick_response_is_in_one_entry_with_its_request() {
    let store = TestStore::new();
    let server = server(&store);
    let session = server.initialized().await;
    let mut backend = server.backend().await;
    for id in 1..10 {
        let before = store.log(&session).await.len();
        let call = post(&format!(r#""id":{id},"method":"a""#));
        let mut connection = session.request(call, AnswerFormat::Sse).await.unwrap();
        backend.receive().await;
        backend.send(&format!(r#""id":{id},"result":{{}}"#)).await;
        while next(&mut connection).await.is_some() {}
        // An acknowledgement has no entry of its own, also later.
        tokio::time::sleep(SHORT).await;
        assert_eq!(store.log(&session).await.len(), before + 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_does_not_learn_of_a_session_before_it_is_stored() {
    let store = TestStore::new();
    let server = server(&store);
    drop(server.initialized().await);
    store.delay_entries(true);
    let initialize = post(r#""id":0,"method":"initialize""#);
    let opened = server.sessions.initialize_session(initialize, AnswerFormat::Sse).await.unwrap();
    let (_session, mut connection) = opened;
    let mut backend = server.opened().await;
    backend.receive().await;
    backend.send(r#""id":0,"result":{"protocolVersion":"2025-11-25"}"#).await;
    assert!(timeout(SHORT, next(&mut connection)).await.is_err());
    store.delay_entries(false);
    assert!(next(&mut connection).await.is_some());
}

#[tokio::test(start_paused = true)]
async fn without_the_store_there_are_no_new_sessions() {
    let store = TestStore::new();
    store.cut(true);
    let server = server(&store);
    let refused = server.sessions.create_session().await;
    assert!(matches!(refused, Err(ManagerError::StoreAway)), "{refused:?}");
    store.cut(false);
    tokio::time::sleep(Duration::from_secs(3)).await;
    server.initialized().await;
}

/// Whether many small calls are committed together: the store has their records in the end.
#[tokio::test(start_paused = true)]
async fn a_long_session_is_written_as_a_whole_again() {
    let store = TestStore::new();
    let server = server(&store);
    let session = server.initialized().await;
    let mut backend = server.backend().await;
    let large = "x".repeat(10_000);
    for id in 1..200 {
        let call = post(&format!(r#""id":{id},"method":"a""#));
        let mut connection = session.request(call, AnswerFormat::Sse).await.unwrap();
        backend.receive().await;
        backend.send(&format!(r#""id":{id},"result":{{"text":"{large}"}}"#)).await;
        while next(&mut connection).await.is_some() {}
    }
    // What the session keeps itself, twice, and 256 KiB.
    let bytes = store.bytes(&session).await;
    assert!(bytes < 2 * server.sessions.kept_bytes() + (256 << 10) + 20_000, "{bytes}");
}
