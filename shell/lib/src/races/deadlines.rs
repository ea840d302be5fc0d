//! Races of deadlines that are scheduled, moved and cancelled.

use std::time::Duration;

use rejoin_core::SessionCloseReason;

use super::{
    fixture::{Fixture, InitializedSession, message, post, thread},
    race,
};
use crate::{ManagerConfig, ManagerError, clock};

/// The earliest deadline fires while others are scheduled and cancelled.
#[test]
fn a_deadline_fires_whatever_happens_to_others() {
    race(|| {
        let fixture = Fixture::new(ManagerConfig::default());
        let sessions = [(); 2].map(|()| fixture.initialized_session());
        let threads = sessions.map(|InitializedSession { session, client, mut messages }| {
            thread(async move {
                client.send(message(r#""id":"q","method":"ping""#), None).await.unwrap();
                clock::advance(Duration::from_secs(10));
                // No client was connected to receive the request.
                assert!(messages.recv().await.is_some());
                (session, messages)
            })
        });
        let [(first, other), (second, messages)] = threads.map(|thread| thread.join().unwrap());
        let deletes = {
            let first = first.clone();
            thread(async move { first.delete().unwrap() })
        };
        let notifies = {
            let second = second.clone();
            thread(async move { second.notify(post(r#""method":"n""#)).await.unwrap() })
        };
        deletes.join().unwrap();
        notifies.join().unwrap();
        assert_eq!(second.close_reason(), None);
        clock::advance(Duration::from_secs(300));
        fixture.wait_until_removed(&messages);
        drop((first, second, messages, other));
        fixture.end();
    });
}

/// The deadline queue removes its last entry while a new one is added.
#[test]
fn a_deadline_added_to_an_empty_queue_fires() {
    race(|| {
        let fixture = Fixture::new(ManagerConfig::default());
        let InitializedSession { session: first, messages: other, .. } =
            fixture.initialized_session();
        let creates = {
            let sessions = fixture.sessions.clone();
            thread(async move { sessions.create_session().await })
        };
        clock::advance(Duration::from_secs(300));
        match creates.join().unwrap() {
            Ok(second) => {
                let (_, messages) = fixture.take_opened();
                clock::advance(Duration::from_secs(60));
                fixture.wait_until_removed(&messages);
                assert_eq!(second.close_reason(), Some(SessionCloseReason::InitializeTimeout));
            }
            Err(ManagerError::ClosedDuringInitialize(reason)) => {
                fixture.wait_until_removed(&other);
                assert_eq!(reason, SessionCloseReason::InitializeTimeout);
            }
            Err(error) => panic!("{error}"),
        }
        assert_eq!(first.close_reason(), Some(SessionCloseReason::Idle));
        drop((first, other));
        fixture.end();
    });
}
