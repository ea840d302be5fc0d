//! Races while sessions are created.

use std::{
    future::{Future as _, poll_fn},
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use rejoin_core::{AnswerFormat, SessionCloseReason};
use shuttle::future::block_on;

use super::{
    fixture::{Fixture, poll_once, post, thread},
    race,
};
use crate::{
    Backend, ClientMessages, ClientSender, ManagerConfig, ManagerError, OpenError, clock,
    sync::Semaphore,
};

#[test]
fn close_all_leaves_no_session_open() {
    race(|| {
        let fixture = Fixture::new(ManagerConfig::default());
        let creates = {
            let sessions = fixture.sessions.clone();
            thread(async move { sessions.create_session().await })
        };
        let initializes = {
            let sessions = fixture.sessions.clone();
            thread(async move {
                let initialize = post(r#""id":0,"method":"initialize""#);
                let initialized = sessions.initialize_session(initialize, AnswerFormat::Sse).await;
                initialized.map(|(session, _)| session)
            })
        };
        fixture.sessions.close_all();
        for created in [creates, initializes] {
            match created.join().unwrap() {
                Ok(session) => assert!(session.close_reason().is_some()),
                Err(ManagerError::Closing) => {}
                Err(ManagerError::ClosedDuringInitialize(reason)) => {
                    assert_eq!(reason, SessionCloseReason::ServerShutdown);
                }
                Err(error) => panic!("{error}"),
            }
        }
        fixture.end();
    });
}

#[test]
fn there_are_never_more_sessions_than_are_allowed() {
    const SESSIONS_MAX: usize = 2;
    race(|| {
        let fixture =
            Fixture::new(ManagerConfig { sessions_max: SESSIONS_MAX, ..ManagerConfig::default() });
        let alive = Arc::new(AtomicUsize::new(0));
        let threads = [(); 3].map(|()| {
            let (sessions, alive) = (fixture.sessions.clone(), Arc::clone(&alive));
            thread(async move {
                match sessions.create_session().await {
                    Ok(session) => {
                        assert!(alive.fetch_add(1, Ordering::Relaxed) < SESSIONS_MAX);
                        assert!(sessions.sessions() <= SESSIONS_MAX);
                        alive.fetch_sub(1, Ordering::Relaxed);
                        session.delete().unwrap();
                    }
                    Err(error) => assert!(matches!(error, ManagerError::TooManySessions(_))),
                }
            })
        });
        for thread in threads {
            thread.join().unwrap();
        }
        block_on(async {
            for _ in 0..SESSIONS_MAX {
                fixture.sessions.create_session().await.unwrap();
            }
            // It waits for a while, in case one of them ends.
            let mut refused = pin!(fixture.sessions.create_session());
            let refused = poll_fn(|cx| {
                let polled = refused.as_mut().poll(cx);
                if polled.is_pending() {
                    clock::advance(Duration::from_secs(1));
                }
                polled
            });
            let error = refused.await.unwrap_err();
            assert!(matches!(error, ManagerError::TooManySessions(SESSIONS_MAX)));
        });
        fixture.sessions.close_all();
        fixture.end();
    });
}

/// It may time out before it is returned.
#[test]
fn a_session_that_is_closed_early_returns_its_permit() {
    const INIT_TIMEOUT: Duration = Duration::from_secs(1);
    race(|| {
        let mut config = ManagerConfig::default();
        config.session.init_timeout = Some(INIT_TIMEOUT);
        let fixture = Fixture::new(config);
        let creates = {
            let sessions = fixture.sessions.clone();
            thread(async move { sessions.create_session().await })
        };
        clock::advance(INIT_TIMEOUT);
        match creates.join().unwrap() {
            Ok(session) => {
                let (_, messages) = fixture.take_opened();
                clock::advance(INIT_TIMEOUT);
                fixture.wait_until_removed(&messages);
                assert_eq!(session.close_reason(), Some(SessionCloseReason::InitializeTimeout));
            }
            Err(ManagerError::ClosedDuringInitialize(reason)) => {
                fixture.finish_removal();
                assert_eq!(reason, SessionCloseReason::InitializeTimeout);
            }
            Err(error) => panic!("{error}"),
        }
        fixture.end();
    });
}

/// A backend whose `open` waits for a permit.
struct GatedBackend {
    permits: Arc<Semaphore>,
    opened: Mutex<Vec<ClientMessages>>,
}

impl Backend for GatedBackend {
    async fn open(&self, _: ClientSender, messages: ClientMessages) -> Result<(), OpenError> {
        self.opened.lock().unwrap().push(messages);
        self.permits.acquire().await?.forget();
        Ok(())
    }
}

/// There is one permit for two sessions, so that at least one future is dropped.
#[test]
fn dropping_create_session_leaves_no_session() {
    race(|| {
        let permits = Arc::new(Semaphore::new(0));
        let backend = GatedBackend { permits: Arc::clone(&permits), opened: Mutex::default() };
        let fixture = Fixture::with(backend, ManagerConfig::default());
        let threads = [(); 2].map(|()| {
            let sessions = fixture.sessions.clone();
            thread(async move {
                match poll_once(sessions.create_session()).await {
                    Some(Ok(session)) => session.delete().unwrap(),
                    Some(Err(error)) => panic!("{error}"),
                    None => {}
                }
            })
        });
        permits.add_permits(1);
        for thread in threads {
            thread.join().unwrap();
        }
        fixture.end();
    });
}
