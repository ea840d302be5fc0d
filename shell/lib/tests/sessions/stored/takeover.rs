//! Sessions that another manager takes over.

use std::time::Duration;

use rejoin::{
    ManagerConfig, ManagerError, Principal, SessionError, SessionHandle, SessionManagerBuilder,
    SseEvent,
    store::{StoreConfig, Takeover},
};
use rejoin_core::{AnswerFormat, Rejection, SessionCloseReason, cluster::EntryId};

use tokio::task::JoinHandle;

use super::{events, find, id, server, settled_server, store::TestStore, text};
use crate::support::{BackendSession, Server, message, next, post};

/// Time after which a manager that lost the store has lost its lease.
const LEASE: Duration = Duration::from_millis(1_500);

/// Gives a session something to outlive its manager for.
async fn retain_a_response(session: &SessionHandle, backend: &mut BackendSession) {
    let call = post(r#""id":1,"method":"a""#);
    drop(session.request(call, AnswerFormat::Sse).await.unwrap());
    backend.receive().await;
    backend.send(r#""id":1,"result":{}"#).await;
    tokio::time::sleep(Duration::from_millis(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_session_outlives_its_manager() {
    let store = TestStore::new();
    let first = server(&store);
    let session = first.initialized().await;
    let mut backend = first.backend().await;
    retain_a_response(&session, &mut backend).await;
    first.sessions.close_all();
    first.sessions.closed().await;
    assert_eq!(backend.receive_or_end().await, None, "the backend ends");

    let second = server(&store.other());
    drop(second.initialized().await);
    let restored = find(&second, &session).await;
    let mut connection = restored.resume(id("0/0")).unwrap();
    let events = events(&mut connection).await;
    assert_eq!(events.len(), 1, "{events:?}");
    assert!(text(&events[0]).contains("result"));

    // Its backend is gone.
    let refused = restored.request(post(r#""id":2,"method":"a""#), AnswerFormat::Sse).await;
    let gone = Rejection::Closed(SessionCloseReason::BackendGone);
    assert_eq!(refused.unwrap_err(), SessionError::Rejected(gone));
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert!(!second.sessions.has_session(session.id()), "it ends with its retention");
    let ended = second.sessions.find_session(None, session.id()).await;
    assert!(matches!(ended, Err(ManagerError::NotFound)), "{ended:?}");
}

#[tokio::test(start_paused = true)]
async fn a_manager_that_has_handed_its_sessions_over_has_no_lease() {
    let store = TestStore::new();
    let first = server(&store);
    first.initialized().await;
    assert!(store.has_lease().await);
    first.sessions.close_all();
    first.sessions.closed().await;
    for _ in 0..2 {
        assert!(!store.has_lease().await);
        // Longer than between two renewals.
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_without_a_living_owner_is_taken_over() {
    let store = TestStore::new();
    let second = settled_server(&store.other()).await;
    let first = server(&store);
    let session = first.initialized().await;
    let mut backend = first.backend().await;
    let call = post(r#""id":1,"method":"a""#);
    let mut connection = session.request(call, AnswerFormat::Sse).await.unwrap();
    assert!(matches!(next(&mut connection).await, Some(SseEvent::Priming { .. })));
    backend.send(r#""method":"notifications/progress","params":{"progressToken":1}"#).await;

    store.cut(true);
    let begun = tokio::time::Instant::now();
    let restored = find(&second, &session).await;
    assert!(begun.elapsed() < LEASE + Duration::from_millis(500), "{:?}", begun.elapsed());
    let mut resumed = restored.resume(id("0/0")).unwrap();
    let failure = events(&mut resumed).await;
    assert!(text(failure.last().unwrap()).contains("error"), "{failure:?}");

    // The first manager is fenced: it sends nothing, and its backend ends.
    backend.send(r#""id":1,"result":{}"#).await;
    store.cut(false);
    assert_eq!(next(&mut connection).await, None);
    backend.receive().await;
    assert_eq!(backend.receive_or_end().await, None);
    assert!(!first.sessions.has_session(session.id()));
}

#[tokio::test(start_paused = true)]
async fn two_managers_do_not_both_take_a_session_over() {
    let store = TestStore::new();
    let (second, third) =
        (settled_server(&store.other()).await, settled_server(&store.other()).await);
    let first = server(&store);
    let session = first.initialized().await;
    retain_a_response(&session, &mut first.backend().await).await;
    store.cut(true);
    let find = |server: &Server| {
        let sessions = server.sessions.clone();
        let id = session.id();
        async move { sessions.find_session(None, id).await }
    };
    let found = tokio::join!(find(&second), find(&third), find(&second));
    let (has_second, has_third) =
        (second.sessions.has_session(session.id()), third.sessions.has_session(session.id()));
    assert!(has_second ^ has_third, "{found:?}");
}

#[tokio::test(start_paused = true)]
async fn a_session_is_not_claimed_without_room_for_it() {
    let store = TestStore::new();
    let mut config = ManagerConfig::default();
    config.sessions_max = 1;
    let full =
        Server::built(config, |builder| builder.store(store.other(), StoreConfig::default()));
    let occupant = full.initialized().await;
    let mut backend = full.backend().await;
    retain_a_response(&occupant, &mut backend).await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    let first = server(&store);
    let session = first.initialized().await;
    retain_a_response(&session, &mut first.backend().await).await;
    store.cut(true);
    tokio::time::sleep(LEASE).await;
    let before = store.bytes(&session).await;
    let found = full.sessions.find_session(None, session.id()).await;
    assert!(matches!(found, Err(ManagerError::StoreAway)), "{found:?}");
    assert_eq!(store.bytes(&session).await, before, "nothing was written");
    occupant.delete().unwrap();
    find(&full, &session).await;
}

#[tokio::test(start_paused = true)]
async fn a_session_that_was_deleted_is_not_found_anywhere() {
    let store = TestStore::new();
    let (first, second) = (server(&store), settled_server(&store.other()).await);
    let session = first.initialized().await;
    session.delete().unwrap();
    tokio::time::sleep(Duration::from_secs(4)).await;
    for server in [&first, &second] {
        let found = server.sessions.find_session(None, session.id()).await;
        assert!(matches!(found, Err(ManagerError::NotFound)), "{found:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_still_belongs_to_its_principal() {
    let store = TestStore::new();
    let first = server(&store);
    let ann = Principal::new("issuer", "ann");
    let (session, mut backend) = initialized_by(&first, &ann).await;
    retain_a_response(&session, &mut backend).await;
    first.sessions.close_all();
    first.sessions.closed().await;

    let second = settled_server(&store.other()).await;
    let foreign = second.sessions.find_session(None, session.id()).await;
    assert!(matches!(foreign, Err(ManagerError::NotFound)), "{foreign:?}");
    second.sessions.find_session(Some(&ann), session.id()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_restored_session_without_a_backend_does_not_count() {
    let store = TestStore::new();
    let first = server(&store);
    let ann = Principal::new("issuer", "ann");
    let (session, mut backend) = initialized_by(&first, &ann).await;
    retain_a_response(&session, &mut backend).await;
    first.sessions.close_all();
    first.sessions.closed().await;

    let second = limited_server(&store.other());
    drop(second.initialized().await);
    second.sessions.find_session(Some(&ann), session.id()).await.unwrap();
    initialized_by(&second, &ann).await;
}

#[tokio::test(start_paused = true)]
async fn a_session_is_not_claimed_if_its_owner_has_too_many() {
    let store = TestStore::new();
    let first = server(&store);
    let ann = Principal::new("issuer", "ann");
    let (session, mut backend) = initialized_by(&first, &ann).await;
    retain_a_response(&session, &mut backend).await;
    first.sessions.close_all();
    first.sessions.closed().await;

    let second = limited_server(&store.other());
    let (occupant, _backend) = initialized_by(&second, &ann).await;
    let before = store.bytes(&session).await;
    let found = second.sessions.find_session(Some(&ann), session.id()).await;
    assert!(matches!(found, Err(ManagerError::StoreAway)), "{found:?}");
    assert_eq!(store.bytes(&session).await, before, "nothing was written");
    occupant.delete().unwrap();
    second.sessions.find_session(Some(&ann), session.id()).await.unwrap();
}

/// Starts a manager where a principal may have one session.
fn limited_server(store: &TestStore) -> Server {
    let mut config = ManagerConfig::default();
    config.sessions_per_principal_max = Some(1);
    Server::built(config, |builder| builder.store(store.clone(), StoreConfig::default()))
}

/// Starts a session of a principal.
async fn initialized_by(server: &Server, principal: &Principal) -> (SessionHandle, BackendSession) {
    let (initialize, principal) =
        (post(r#""id":0,"method":"initialize""#), Some(principal.clone()));
    let opened =
        server.sessions.initialize_session_of(principal, None, initialize, AnswerFormat::Sse);
    let (session, mut connection) = opened.await.unwrap();
    let mut backend = server.opened().await;
    backend.receive().await;
    backend.send(r#""id":0,"result":{"protocolVersion":"2025-11-25"}"#).await;
    while next(&mut connection).await.is_some() {}
    (session, backend)
}

#[tokio::test(start_paused = true)]
async fn a_log_that_is_too_long_is_not_read() {
    for (entries, is_restored) in [(15, true), (16, false)] {
        let store = TestStore::new();
        let first = server(&store);
        let session = first.initialized().await;
        retain_a_response(&session, &mut first.backend().await).await;
        first.sessions.close_all();
        first.sessions.closed().await;
        let mut entry = store.log(&session).await.pop().unwrap().to_vec();
        entry.resize(1 << 20, 0);
        for number in 0..entries {
            let id = EntryId { epoch: 1, number: 1_000 + number };
            store.append(&session, id, entry.clone().into()).await;
        }

        let mut manager = ManagerConfig::default();
        manager.session.session_bytes_max = 2 << 20;
        manager.session.message_bytes_max = 2 << 20;
        let config = StoreConfig::default();
        let second = Server::built(manager, |builder| builder.store(store.other(), config));
        drop(second.initialized().await);
        let found = second.sessions.find_session(None, session.id()).await;
        assert_eq!(found.is_ok(), is_restored, "{found:?}");
        let is_closed = matches!(found, Err(ManagerError::NotFound));
        assert_eq!(is_closed, !is_restored, "{found:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_gets_a_new_backend() {
    let (_second, finding, mut backend) = reopening().await;
    let handshake = r#""id":"rejoin-reopen","method":"initialize""#;
    assert_eq!(json(&backend.receive().await), json(&message(handshake)));
    assert!(!finding.is_finished(), "requests wait for the new backend");
    backend.send(r#""id":"rejoin-reopen","result":{"protocolVersion":"2025-11-25"}"#).await;
    let session = finding.await.unwrap().unwrap();
    let initialized = message(r#""method":"notifications/initialized""#);
    assert_eq!(backend.receive().await, initialized);

    let call = post(r#""id":2,"method":"a""#);
    let mut connection = session.request(call, AnswerFormat::Sse).await.unwrap();
    assert_eq!(backend.receive().await, message(r#""id":2,"method":"a""#));
    backend.send(r#""id":2,"result":{}"#).await;
    assert!(text(events(&mut connection).await.last().unwrap()).contains("result"));
    let mut resumed = session.resume(super::id("0/0")).unwrap();
    assert!(text(&events(&mut resumed).await[0]).contains("result"));
}

/// Returns a session with a retained response, whose manager has handed it over.
async fn handed_over(store: &TestStore) -> SessionHandle {
    let first = server(store);
    let session = first.initialized().await;
    retain_a_response(&session, &mut first.backend().await).await;
    first.sessions.close_all();
    first.sessions.closed().await;
    session
}

#[tokio::test(start_paused = true)]
async fn a_session_that_moves_on_while_it_gets_a_backend_is_not_missing() {
    let store = TestStore::new();
    let session = handed_over(&store).await;

    let third = settled_server(&store.other()).await;
    let store = store.other();
    let second = reopening_server(&store);
    drop(second.initialized().await);
    drop(second.backend().await);
    store.pause(true);
    let finding = finding(&second, &session);
    let _backend = second.opened().await;
    tokio::time::sleep(LEASE).await;
    find(&third, &session).await;
    store.pause(false);
    let found = finding.await.unwrap();
    assert!(matches!(found, Err(ManagerError::StoreAway)), "{found:?}");
    find(&third, &session).await;
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_deleted_while_it_is_restored_elsewhere_stays_deleted() {
    let store = TestStore::new();
    let session = handed_over(&store).await;

    let third = settled_server(&store.other()).await;
    let paused = store.other();
    let second = server(&paused);
    drop(second.initialized().await);
    paused.pause(true);
    paused.delay_logs(true);
    let finding = finding(&second, &session);
    tokio::time::sleep(LEASE).await;
    let taken = find(&third, &session).await;
    third.sessions.delete_session(&taken).await.unwrap();
    tokio::time::sleep(Duration::from_millis(10)).await;
    let closed = store.log(&session).await;
    assert_eq!(closed.len(), 1);
    // It has its lease again when it goes on.
    paused.pause(false);
    tokio::time::sleep(Duration::from_millis(10)).await;
    paused.delay_logs(false);
    let _found = finding.await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(store.log(&session).await, closed, "it is written again");
    let found = third.sessions.find_session(None, session.id()).await;
    assert!(matches!(found, Err(ManagerError::NotFound)), "{found:?}");
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_negotiates_something_else_is_refused() {
    let (_second, finding, mut backend) = reopening().await;
    backend.receive().await;
    backend.send(r#""id":"rejoin-reopen","result":{"protocolVersion":"2025-06-18"}"#).await;
    let session = finding.await.unwrap().unwrap();
    assert_eq!(backend.receive_or_end().await, None);
    let mut resumed = session.resume(super::id("0/0")).unwrap();
    assert!(text(&events(&mut resumed).await[0]).contains("result"));
}

/// Hands a session over to a manager that reopens it. Returns that manager, a request that waits for
/// the session, and its new backend.
async fn reopening() -> (Server, JoinHandle<Result<SessionHandle, ManagerError>>, BackendSession) {
    let store = TestStore::new();
    let session = handed_over(&store).await;

    let second = reopening_server(&store.other());
    let finding = finding(&second, &session);
    let backend = second.opened().await;
    (second, finding, backend)
}

/// Starts a manager that gives sessions new backends.
fn reopening_server(store: &TestStore) -> Server {
    let mut config = StoreConfig::default();
    config.takeover = Takeover::Reopen;
    let build = |builder: SessionManagerBuilder| builder.store(store.clone(), config);
    Server::built(ManagerConfig::default(), build)
}

/// Looks for a session in a manager.
fn finding(
    server: &Server,
    session: &SessionHandle,
) -> JoinHandle<Result<SessionHandle, ManagerError>> {
    let (sessions, id) = (server.sessions.clone(), session.id());
    tokio::spawn(async move { sessions.find_session(None, id).await })
}

fn json(bytes: &[u8]) -> serde_json::Value {
    serde_json::from_slice(bytes).unwrap()
}
