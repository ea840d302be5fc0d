//! Draining of a manager: sessions finish what they have begun.

use std::time::Duration;

use rejoin::{ManagerError, SessionError, SessionHandle, SseEvent};
use rejoin_core::{AnswerFormat, EventId, Rejection, SessionCloseReason};

use crate::{
    index_of,
    support::{Server, next, post},
};

const RETRY: Duration = Duration::from_secs(5);
const DRAINING: SessionError = SessionError::Rejected(Rejection::Draining);

async fn call(session: &SessionHandle) -> Result<rejoin::Connection, SessionError> {
    session.request(post(r#""id":1,"method":"a""#), AnswerFormat::Sse).await
}

/// Waits, and checks that the sessions are still drained.
async fn still_drains(drain: &mut (impl Future<Output = ()> + Unpin)) {
    let drained = tokio::time::timeout(Duration::from_secs(1), drain).await;
    assert!(drained.is_err(), "a session is still open");
}

#[tokio::test(start_paused = true)]
async fn idle_sessions_end_at_once_and_tell_their_clients_when_to_come_back() {
    let server = Server::start();
    let session = server.initialized().await;
    let mut standalone = session.standalone().unwrap();
    assert!(next(&mut standalone).await.is_some());
    server.sessions.drain(RETRY).await;
    assert_eq!(session.close_reason(), Some(SessionCloseReason::ServerShutdown));
    let primed = next(&mut standalone).await;
    assert!(matches!(primed, Some(SseEvent::Priming { retry: Some(RETRY), .. })), "{primed:?}");
    assert_eq!(next(&mut standalone).await, None);
    let refused = server.sessions.create_session().await;
    assert!(matches!(refused, Err(ManagerError::Closing)), "{refused:?}");
}

#[tokio::test(start_paused = true)]
async fn pending_requests_finish_and_others_are_refused() {
    let server = Server::start();
    let session = server.initialized().await;
    let reserved = session.reserve().unwrap();
    let mut connection = call(&session).await.unwrap();
    let mut drain = Box::pin(server.sessions.drain(RETRY));
    still_drains(&mut drain).await;
    let second = post(r#""id":2,"method":"a""#);
    assert_eq!(session.request(second.clone(), AnswerFormat::Sse).await.unwrap_err(), DRAINING);
    let refused = session.request_on(&reserved, second, AnswerFormat::Sse).await;
    assert_eq!(refused.unwrap_err(), DRAINING);
    session.notify(post(r#""method":"n""#)).await.unwrap();
    let mut backend = server.backend().await;
    backend.receive().await;
    assert!(backend.receive().await.ends_with(br#""method":"n"}"#));
    backend.send(r#""id":1,"result":{}"#).await;
    still_drains(&mut drain).await;
    assert_eq!(next(&mut connection).await.as_ref().and_then(index_of), Some(0));
    assert_eq!(next(&mut connection).await.as_ref().and_then(index_of), Some(1));
    drain.await;
    assert_eq!(session.close_reason(), Some(SessionCloseReason::ServerShutdown));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_lost_its_connection_before_comes_back_for_its_response() {
    let server = Server::start();
    let session = server.initialized().await;
    let mut connection = call(&session).await.unwrap();
    let Some(SseEvent::Priming { id, .. }) = next(&mut connection).await else { panic!() };
    drop(connection);
    let mut backend = server.backend().await;
    backend.send(r#""id":1,"result":{}"#).await;
    let mut drain = Box::pin(server.sessions.drain(RETRY));
    still_drains(&mut drain).await;
    let mut resumed = session.resume(id).unwrap();
    let response = next(&mut resumed).await.unwrap();
    assert_eq!(index_of(&response), Some(1));
    drain.await;
    assert_eq!(next(&mut resumed).await, None);
}

#[tokio::test(start_paused = true)]
async fn what_is_left_fails_when_all_sessions_are_closed() {
    let server = Server::start();
    let session = server.initialized().await;
    let mut connection = call(&session).await.unwrap();
    still_drains(&mut Box::pin(server.sessions.drain(RETRY))).await;
    server.sessions.close_all();
    assert!(matches!(next(&mut connection).await, Some(SseEvent::Priming { .. })));
    let Some(SseEvent::Message { id: Some(EventId { index: 1, .. }), data, .. }) =
        next(&mut connection).await
    else {
        panic!("no failure")
    };
    assert!(data.starts_with(br#"{"error":{"code":-32603"#), "{data:?}");
}

#[tokio::test(start_paused = true)]
async fn other_managers_go_on() {
    let (drained, other) = (Server::start(), Server::start());
    drained.initialized().await;
    let session = other.initialized().await;
    drained.sessions.drain(RETRY).await;
    assert!(call(&session).await.is_ok());
}
