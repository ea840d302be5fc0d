//! Creation, expiry and closing of sessions.

use std::time::Duration;

use rejoin::{
    Backend, ClientMessages, ClientSender, ManagerConfig, ManagerError, OpenError, SessionError,
    SessionManager, SseEvent,
};
use rejoin_core::{AnswerFormat, Rejection, SessionCloseReason};

use tokio::time::sleep;

use crate::support::{Server, message, next, post};

/// Time after which a response is not retained any more, for a client that has not acknowledged it.
const RETENTION: Duration = Duration::from_secs(61);

#[tokio::test(start_paused = true)]
async fn unused_session_expires_unless_it_has_a_connection_or_a_request() {
    let server = Server::start();
    let (unused, connected) = (server.initialized().await, server.initialized().await);
    let requested = server.initialized().await;
    let mut standalone = connected.standalone().unwrap();
    assert!(next(&mut standalone).await.is_some());
    drop(requested.request(post(r#""id":1,"method":"a""#), AnswerFormat::Sse).await.unwrap());
    sleep(Duration::from_secs(59)).await;
    unused.notify(post(r#""method":"notifications/initialized""#)).await.unwrap();
    sleep(Duration::from_secs(2)).await;
    assert_eq!(unused.close_reason(), Some(SessionCloseReason::Idle));
    sleep(Duration::from_secs(600)).await;
    assert_eq!((connected.close_reason(), requested.close_reason()), (None, None));
}

#[tokio::test(start_paused = true)]
async fn idle_session_expires() {
    let mut config = ManagerConfig::default();
    config.unused_timeout = None;
    let server = Server::with(config);
    let session = server.initialized().await;
    sleep(Duration::from_secs(299)).await;
    assert!(server.sessions.has_session(session.id()));
    sleep(Duration::from_secs(2)).await;
    assert!(!server.sessions.has_session(session.id()));
    assert!(matches!(server.sessions.session(session.id()), Err(ManagerError::NotFound)));
    assert_eq!(server.backend().await.receive_or_end().await, None);
}

#[tokio::test(start_paused = true)]
async fn deadline_earlier_than_all_scheduled_ones_is_kept() {
    let mut config = ManagerConfig::default();
    config.unused_timeout = None;
    let server = Server::with(config);
    let _session = server.initialized().await;
    let mut backend = server.backend().await;
    // The next deadline is the idle timeout, or later.
    sleep(Duration::from_secs(61)).await;
    backend.send(r#""id":"q","method":"ping""#).await;
    // No client is connected to receive the request.
    let error = tokio::time::timeout(Duration::from_secs(11), backend.receive()).await.unwrap();
    assert!(error.starts_with(br#"{"error":"#), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn dropping_the_initialize_connection_closes_the_session() {
    let server = Server::start();
    let post = post(r#""id":0,"method":"initialize""#);
    let opened = server.sessions.initialize_session(post, AnswerFormat::Sse).await.unwrap();
    assert_eq!(server.sessions.sessions(), 1);
    drop(opened);
    assert_eq!(server.sessions.sessions(), 0);
}

#[tokio::test(start_paused = true)]
async fn session_ends_with_its_backend() {
    let server = Server::start();
    let session = server.initialized().await;
    let mut connection =
        session.request(post(r#""id":1,"method":"a""#), AnswerFormat::Sse).await.unwrap();
    drop(server.backend().await);
    assert!(matches!(next(&mut connection).await, Some(SseEvent::Priming { .. })));
    let Some(SseEvent::Message { data, .. }) = next(&mut connection).await else { panic!() };
    assert!(data.starts_with(br#"{"error":{"code":-32603"#), "{data:?}");
    assert_eq!(next(&mut connection).await, None);
    drop(connection);
    sleep(RETENTION).await;
    assert_eq!(server.sessions.sessions(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_a_backend_has_sent_is_retained_after_its_end() {
    let server = Server::start();
    let session = server.initialized().await;
    let mut connection =
        session.request(post(r#""id":1,"method":"a""#), AnswerFormat::Sse).await.unwrap();
    let Some(SseEvent::Priming { id, .. }) = next(&mut connection).await else { panic!() };
    let mut backend = server.backend().await;
    backend.receive().await;
    backend.send(r#""id":1,"result":"kept""#).await;
    drop((connection, backend));
    assert!(session.standalone().is_err());
    let mut resumed = session.resume(id).unwrap();
    let Some(SseEvent::Message { data, .. }) = next(&mut resumed).await else { panic!() };
    assert_eq!(data, message(r#""id":1,"result":"kept""#));
    assert_eq!(next(&mut resumed).await, None);
    assert_eq!(server.sessions.sessions(), 1);
    drop(resumed);
    sleep(RETENTION).await;
    assert_eq!(session.close_reason(), Some(SessionCloseReason::BackendGone));
    assert_eq!(server.sessions.sessions(), 0);
}

#[tokio::test(start_paused = true)]
async fn dropping_the_last_manager_closes_its_sessions() {
    let server = Server::start();
    let session = server.initialized().await;
    let mut backend = server.backend().await;
    drop(server);
    assert_eq!(session.close_reason(), Some(SessionCloseReason::ServerShutdown));
    assert_eq!(backend.receive_or_end().await, None);
}

#[tokio::test(start_paused = true)]
async fn session_closes_unless_its_first_request_is_initialize() {
    let server = Server::start();
    let closed = SessionError::Rejected(Rejection::Closed(SessionCloseReason::ExpectedInitialize));
    let session = server.sessions.create_session().await.unwrap();
    assert_eq!(session.standalone().unwrap_err(), closed);
    let session = server.sessions.create_session().await.unwrap();
    assert_eq!(session.notify(post(r#""method":"n""#)).await.unwrap_err(), closed);
    let session = server.sessions.create_session().await.unwrap();
    let call = post(r#""id":1,"method":"a""#);
    assert_eq!(session.request(call, AnswerFormat::Sse).await.unwrap_err(), closed);
    assert_eq!(server.sessions.sessions(), 0);
}

#[tokio::test(start_paused = true)]
async fn no_session_is_created_after_close_all() {
    let server = Server::start();
    server.initialized().await;
    server.sessions.close_all();
    let refused = server.sessions.create_session().await;
    assert!(matches!(refused, Err(ManagerError::Closing)), "{refused:?}");
    assert_eq!(server.sessions.sessions(), 0);
}

#[tokio::test(start_paused = true)]
async fn backend_exit_during_initialize_is_reported_as_such() {
    let sessions = SessionManager::new(ExitsAtOnce, ManagerConfig::default()).unwrap();
    let initialize = post(r#""id":0,"method":"initialize""#);
    let result = sessions.initialize_session(initialize, AnswerFormat::Sse).await;
    assert!(
        matches!(
            result,
            Err(ManagerError::ClosedDuringInitialize(SessionCloseReason::BackendGone))
        ),
        "{result:?}"
    );
}

/// Exits at once: drops both halves of its channel to the client.
struct ExitsAtOnce;

impl Backend for ExitsAtOnce {
    async fn open(&self, _: ClientSender, _: ClientMessages) -> Result<(), OpenError> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn opening_a_backend_times_out() {
    struct Never;

    impl Backend for Never {
        async fn open(&self, _: ClientSender, _: ClientMessages) -> Result<(), OpenError> {
            std::future::pending().await
        }
    }

    let mut config = ManagerConfig::default();
    config.start_timeout = Duration::from_secs(1);
    let sessions = SessionManager::new(Never, config).unwrap();
    let start = tokio::time::Instant::now();
    let initialize = post(r#""id":0,"method":"initialize""#);
    let opened = sessions.initialize_session(initialize, AnswerFormat::Sse).await;
    assert!(matches!(opened, Err(ManagerError::Open(_))), "{opened:?}");
    assert_eq!(start.elapsed(), Duration::from_secs(1));
}
