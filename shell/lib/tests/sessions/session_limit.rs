//! The maximum number of sessions, and the eviction of unused ones.

use std::time::Duration;

use rejoin::{
    Backend, ClientMessages, ClientSender, ManagerConfig, ManagerError, OpenError, SessionManager,
};
use rejoin_core::{AnswerFormat, SessionCloseReason};

use crate::support::{Server, message, next, post};

#[tokio::test(start_paused = true)]
async fn session_that_only_pings_is_unused() {
    let mut config = ManagerConfig::default();
    config.sessions_max = 1;
    let server = Server::with(config);
    let pinged = server.initialized().await;
    drop(pinged.request(post(r#""id":1,"method":"ping""#), AnswerFormat::Sse).await.unwrap());
    server.initialized().await;
    assert_eq!(pinged.close_reason(), Some(SessionCloseReason::Idle));
}

#[tokio::test(start_paused = true)]
async fn oldest_unused_session_is_evicted_at_the_limit() {
    let mut config = ManagerConfig::default();
    config.sessions_max = 2;
    let server = Server::with(config);
    let (oldest, newer) = (server.initialized().await, server.initialized().await);
    let newest = server.initialized().await;
    assert_eq!(oldest.close_reason(), Some(SessionCloseReason::Idle));
    for used in [&newer, &newest] {
        assert_eq!(used.close_reason(), None);
        drop(used.request(post(r#""id":1,"method":"a""#), AnswerFormat::Sse).await.unwrap());
    }
    let refused = server.sessions.create_session().await;
    assert!(matches!(refused, Err(ManagerError::TooManySessions(2))), "{refused:?}");
}

#[tokio::test(start_paused = true)]
async fn session_without_a_backend_is_evicted_at_the_limit() {
    let mut config = ManagerConfig::default();
    config.sessions_max = 1;
    let server = Server::with(config);
    let session = server.initialized().await;
    drop(session.request(post(r#""id":1,"method":"a""#), AnswerFormat::Sse).await.unwrap());
    drop(server.backend().await);
    assert_eq!(session.close_reason(), None, "it retains a failure");
    server.initialized().await;
    assert_eq!(session.close_reason(), Some(SessionCloseReason::BackendGone));
}

/// Responds at once, and takes a second to stop.
struct SlowToStop;

impl Backend for SlowToStop {
    async fn open(
        &self,
        client: ClientSender,
        mut messages: ClientMessages,
    ) -> Result<(), OpenError> {
        tokio::spawn(async move {
            let permit = messages.permit();
            while messages.recv().await.is_some() {
                let result = r#""id":0,"result":{"protocolVersion":"2025-11-25"}"#;
                let _ = client.send(message(result), None).await;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
            drop(permit);
        });
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn concurrent_new_sessions_evict_one_unused_session_each() {
    const SESSIONS: usize = 4;
    let mut config = ManagerConfig::default();
    config.sessions_max = SESSIONS;
    let sessions = SessionManager::new(SlowToStop, config).unwrap();
    let open = || async {
        let initialize = post(r#""id":0,"method":"initialize""#);
        let opened = sessions.initialize_session(initialize, AnswerFormat::Sse).await;
        let (session, mut connection) = opened?;
        while next(&mut connection).await.is_some() {}
        Ok::<_, ManagerError>(session)
    };
    let mut unused = Vec::new();
    for _ in 0..SESSIONS {
        unused.push(open().await.unwrap());
    }
    let start = tokio::time::Instant::now();
    let newcomers = tokio::join!(open(), open(), open(), open());
    let newcomers = <[_; SESSIONS]>::from(newcomers).map(Result::unwrap);
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    assert!(unused.iter().all(|session| session.close_reason() == Some(SessionCloseReason::Idle)));
    assert!(newcomers.iter().all(|session| session.close_reason().is_none()));
}

#[tokio::test(start_paused = true)]
async fn new_session_evicts_only_one_unused_session() {
    let mut config = ManagerConfig::default();
    config.sessions_max = 3;
    let server = Server::with(config);
    let unused = [(); 3].map(|()| server.initialized());
    let mut sessions = Vec::new();
    for session in unused {
        sessions.push(session.await);
    }
    let newest = server.initialized().await;
    let closed = sessions.iter().filter(|session| session.close_reason().is_some());
    assert_eq!((closed.count(), newest.close_reason()), (1, None));
}

#[tokio::test(start_paused = true)]
async fn new_session_waits_briefly_for_one_that_is_ending() {
    let mut config = ManagerConfig::default();
    config.sessions_max = 1;
    let server = Server::with(config);
    let initialize = || post(r#""id":0,"method":"initialize""#);
    let open = || server.sessions.initialize_session(initialize(), AnswerFormat::Sse);
    let previous = open().await.unwrap();
    let close = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        drop(previous);
    };
    let (next, ()) = tokio::join!(open(), close);
    assert!(next.is_ok(), "{next:?}");
    // If no session ends, the next one is refused soon.
    let start = tokio::time::Instant::now();
    let refused = open().await;
    assert!(matches!(refused, Err(ManagerError::TooManySessions(1))), "{refused:?}");
    assert!(start.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn closed_session_frees_its_permit() {
    let mut config = ManagerConfig::default();
    config.sessions_max = 2;
    let server = Server::with(config);
    let first = server.sessions.create_session().await.unwrap();
    let _second = server.sessions.create_session().await.unwrap();
    let refused = server.sessions.create_session().await;
    assert!(matches!(refused, Err(ManagerError::TooManySessions(2))), "{refused:?}");
    first.close(SessionCloseReason::Cancelled);
    server.sessions.create_session().await.unwrap();
}
