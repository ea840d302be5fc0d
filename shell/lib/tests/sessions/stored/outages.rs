//! A store that is away, or forgets.

use std::time::Duration;

use rejoin::{ManagerConfig, ManagerError, SseEvent, store::StoreConfig};
use rejoin_core::AnswerFormat;

use super::{events, find, id, server, store::TestStore, text};
use crate::support::{Server, next, post};

#[tokio::test(start_paused = true)]
async fn while_the_store_is_away_requests_are_refused_and_nothing_is_lost() {
    let store = TestStore::new();
    let server = server(&store);
    let session = server.initialized().await;
    let mut backend = server.backend().await;
    let call = post(r#""id":1,"method":"a""#);
    let mut connection = session.request(call, AnswerFormat::Sse).await.unwrap();
    assert!(matches!(next(&mut connection).await, Some(SseEvent::Priming { .. })));
    store.cut(true);
    backend.send(r#""id":1,"result":{}"#).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let refused = server.sessions.find_session(None, session.id()).await;
    assert!(matches!(refused, Err(ManagerError::StoreAway)), "{refused:?}");
    store.cut(false);
    let response = events(&mut connection).await;
    assert!(text(&response[0]).contains("result"), "{response:?}");
    find(&server, &session).await;
}

#[tokio::test(start_paused = true)]
async fn connections_are_cut_when_the_store_is_away_for_long() {
    let store = TestStore::new();
    let server = server(&store);
    let session = server.initialized().await;
    let mut backend = server.backend().await;
    let call = post(r#""id":1,"method":"a""#);
    let mut connection = session.request(call, AnswerFormat::Sse).await.unwrap();
    assert!(matches!(next(&mut connection).await, Some(SseEvent::Priming { .. })));
    store.cut(true);
    let begun = tokio::time::Instant::now();
    assert_eq!(next(&mut connection).await, None);
    assert!((5..8).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    store.cut(false);
    tokio::time::sleep(Duration::from_secs(5)).await;
    backend.send(r#""id":1,"result":{}"#).await;
    let mut resumed = find(&server, &session).await.resume(id("0/0")).unwrap();
    assert!(text(&events(&mut resumed).await[0]).contains("result"));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_has_forgotten_everything_gets_the_sessions_again() {
    let store = TestStore::new();
    let server = server(&store);
    let session = server.initialized().await;
    let mut backend = server.backend().await;
    store.forget();
    tokio::time::sleep(Duration::from_secs(4)).await;
    let session = find(&server, &session).await;
    let call = post(r#""id":1,"method":"a""#);
    drop(session.request(call, AnswerFormat::Sse).await.unwrap());
    backend.send(r#""id":1,"result":{}"#).await;
    tokio::time::sleep(Duration::from_millis(10)).await;
    server.sessions.close_all();
    server.sessions.closed().await;

    let second = super::server(&store.other());
    drop(second.initialized().await);
    let mut resumed = find(&second, &session).await.resume(id("0/0")).unwrap();
    assert!(text(&events(&mut resumed).await[0]).contains("result"));
}

#[tokio::test(start_paused = true)]
async fn many_sessions_do_not_ask_the_store_at_once() {
    let store = TestStore::new();
    let server = server(&store);
    let mut sessions = Vec::new();
    for _ in 0..200 {
        sessions.push((server.initialized().await, server.backend().await));
    }
    store.cut(true);
    tokio::time::sleep(Duration::from_secs(2)).await;
    store.cut(false);
    tokio::time::sleep(Duration::from_secs(4)).await;
    for (session, _) in &sessions {
        find(&server, session).await;
    }
    assert_eq!(store.looks_max(), 64);
}

#[tokio::test(start_paused = true)]
async fn few_large_sessions_ask_the_store_at_once() {
    let store = TestStore::new();
    let server = server(&store);
    let mut sessions = Vec::new();
    let long = "x".repeat(12 << 20);
    for _ in 0..8 {
        let (session, mut backend) = (server.initialized().await, server.backend().await);
        let call = post(r#""id":1,"method":"a""#);
        drop(session.request(call, AnswerFormat::Sse).await.unwrap());
        backend.receive().await;
        backend.send(&format!(r#""id":1,"result":"{long}""#)).await;
        sessions.push((session, backend));
    }
    store.cut(true);
    tokio::time::sleep(Duration::from_secs(2)).await;
    store.cut(false);
    tokio::time::sleep(Duration::from_secs(4)).await;
    for (session, _) in &sessions {
        find(&server, session).await;
    }
    assert_eq!(store.looks_max(), 3, "each may be written as a whole");
}

#[tokio::test(start_paused = true)]
async fn records_that_there_is_no_memory_for_are_in_the_store_after_all() {
    let store = TestStore::new();
    let server = server(&store);
    let mut sessions = Vec::new();
    for _ in 0..20 {
        let (session, mut backend) = (server.initialized().await, server.backend().await);
        let call = post(r#""id":1,"method":"a""#);
        drop(session.request(call, AnswerFormat::Sse).await.unwrap());
        backend.receive().await;
        sessions.push((session, backend));
    }
    tokio::time::sleep(Duration::from_millis(10)).await;
    store.cut(true);
    let long = "x".repeat(3_900_000);
    for (_, backend) in &mut sessions {
        backend.send(&format!(r#""id":1,"result":"{long}""#)).await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    store.cut(false);
    tokio::time::sleep(Duration::from_secs(4)).await;
    for (session, _) in &sessions {
        assert!(store.bytes(session).await > long.len());
        let mut resumed = find(&server, session).await.resume(id("0/0")).unwrap();
        assert!(text(&events(&mut resumed).await[0]).len() > long.len());
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_being_written_is_not_missing() {
    let store = TestStore::new();
    let server = Server::built(ManagerConfig::default(), |builder| {
        let mut config = StoreConfig::default();
        config.ttl = Duration::from_secs(4);
        builder.store(store.clone(), config)
    });
    drop(server.initialized().await);
    store.delay_entries(true);
    let opening = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        store.delay_entries(false);
    };
    let (session, ()) = tokio::join!(server.initialized(), opening);
    find(&server, &session).await;
}

/// Nothing has noticed that it was over.
#[expect(clippy::disallowed_methods, reason = "the whole process pauses")]
#[tokio::test]
async fn a_lease_that_is_renewed_after_a_pause_is_valid_at_once() {
    let store = TestStore::new();
    let server = server(&store);
    let session = server.initialized().await;
    store.hold_renewals().await;
    // Longer than the rest of the lease, and shorter than the one that is being renewed.
    std::thread::sleep(Duration::from_millis(950));
    store.release_renewals();
    let found = tokio::time::timeout(Duration::from_millis(800), find(&server, &session));
    found.await.unwrap();
}
