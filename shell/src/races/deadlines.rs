//! Deadlines that come, change, and go.

use std::time::Duration;

use rejoin_core::CloseReason;

use super::{
    fixture::{Fixture, InitializedSession, next, post, thread},
    race,
};
use crate::{ManagerConfig, ManagerError, clock};

/// A deadline that comes before all others is kept, while others come and go.
#[test]
fn a_deadline_is_kept_whatever_becomes_of_others() {
    race(|| {
        let fixture = Fixture::begin(ManagerConfig::default());
        let InitializedSession { session: first, messages: other, .. } =
            fixture.initialized_session();
        let InitializedSession { session: second, messages, .. } = fixture.initialized_session();
        let threads = [first.clone(), second.clone()].map(|session| {
            thread(async move {
                let mut reserved = session.reserve().unwrap();
                clock::advance(Duration::from_secs(10));
                assert_eq!(next(&mut reserved).await, None);
            })
        });
        for thread in threads {
            thread.join().unwrap();
        }
        let is_gone = {
            let first = first.clone();
            thread(async move { first.delete().unwrap() })
        };
        let says = {
            let second = second.clone();
            thread(async move { second.notify(post(r#""method":"n""#)).await.unwrap() })
        };
        is_gone.join().unwrap();
        says.join().unwrap();
        assert_eq!(second.close_reason(), None);
        clock::advance(Duration::from_secs(300));
        fixture.wait_until_removed(&messages);
        drop((first, second, messages, other));
        fixture.end();
    });
}

/// The deadline queue lets go of the last deadline while the next one comes.
#[test]
fn a_deadline_that_comes_when_there_is_no_other_is_kept() {
    race(|| {
        let fixture = Fixture::begin(ManagerConfig::default());
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
                assert_eq!(second.close_reason(), Some(CloseReason::InitializeTimeout));
            }
            Err(ManagerError::ClosedDuringInitialize(reason)) => {
                fixture.wait_until_removed(&other);
                assert_eq!(reason, CloseReason::InitializeTimeout);
            }
            Err(error) => panic!("{error}"),
        }
        assert_eq!(first.close_reason(), Some(CloseReason::Idle));
        drop((first, other));
        fixture.end();
    });
}
