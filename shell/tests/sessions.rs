//! Sessions as the manager drives them, in paused time.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "sessions/support.rs"]
mod support;

use std::time::Duration;

use rejoin::{ManagerError, SseEvent};
use rejoin_core::{AnswerFormat, EventId, StreamId};
use support::{Server, message, next, post};

#[tokio::test(start_paused = true)]
async fn a_call_is_answered_on_its_own_connection() {
    let server = Server::begin();
    let session = server.initialized().await;
    let mut connection =
        session.request(post(r#""id":1,"method":"a""#), AnswerFormat::Sse).await.unwrap();
    assert_eq!(connection.stream_id(), Some(StreamId::Request(0)));
    let mut backend = server.backend().await;
    assert_eq!(backend.hear().await, message(r#""id":1,"method":"a""#));
    backend.say(r#""id":1,"result":{}"#).await;
    let id = Some(EventId::new(StreamId::Request(0), 1));
    assert!(matches!(next(&mut connection).await, Some(SseEvent::Priming { .. })));
    assert_eq!(
        next(&mut connection).await,
        Some(SseEvent::Message { id, data: message(r#""id":1,"result":{}"#) })
    );
    assert_eq!(next(&mut connection).await, None);
}

#[tokio::test(start_paused = true)]
async fn what_was_missed_is_replayed() {
    let server = Server::begin();
    let session = server.initialized().await;
    drop(session.request(post(r#""id":1,"method":"a""#), AnswerFormat::Sse).await.unwrap());
    let mut backend = server.backend().await;
    backend.say(r#""id":1,"result":{}"#).await;
    let mut connection = session.resume("0/0".parse().unwrap()).unwrap();
    let id = Some(EventId::new(StreamId::Request(0), 1));
    assert_eq!(
        next(&mut connection).await,
        Some(SseEvent::Message { id, data: message(r#""id":1,"result":{}"#) })
    );
    assert_eq!(next(&mut connection).await, None);
}

#[tokio::test(start_paused = true)]
async fn an_idle_session_goes_by_itself() {
    let server = Server::begin();
    let session = server.initialized().await;
    tokio::time::sleep(Duration::from_secs(299)).await;
    assert!(server.sessions.has_session(session.id()));
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(!server.sessions.has_session(session.id()));
    assert!(matches!(server.sessions.session(session.id()), Err(ManagerError::NotFound)));
    assert_eq!(server.backend().await.hear_end().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_wait_for_initialize_leaves_no_session() {
    let server = Server::begin();
    let post = post(r#""id":0,"method":"initialize""#);
    let opened = server.sessions.initialize_session(post, AnswerFormat::Sse).await.unwrap();
    assert_eq!(server.sessions.sessions(), 1);
    drop(opened);
    assert_eq!(server.sessions.sessions(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_is_gone_ends_its_session() {
    let server = Server::begin();
    let session = server.initialized().await;
    let mut connection =
        session.request(post(r#""id":1,"method":"a""#), AnswerFormat::Sse).await.unwrap();
    drop(server.backend().await);
    assert!(matches!(next(&mut connection).await, Some(SseEvent::Priming { .. })));
    let Some(SseEvent::Message { data, .. }) = next(&mut connection).await else { panic!() };
    assert!(data.starts_with(br#"{"error":{"code":-32603"#), "{data:?}");
    assert_eq!(next(&mut connection).await, None);
    assert_eq!(server.sessions.sessions(), 0);
}
