//! Deadlines that come, change, and go.

use std::time::Duration;

use rejoin_core::CloseReason;

use super::{
    race,
    world::{Begun, World, next, post, thread},
};
use crate::{ManagerError, Settings, clock};

/// A deadline that comes before all others is kept, while others come and go.
#[test]
fn a_deadline_is_kept_whatever_becomes_of_others() {
    race(|| {
        let world = World::begin(Settings::default());
        let Begun { session: first, inbox: other, .. } = world.initialized();
        let Begun { session: second, inbox, .. } = world.initialized();
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
            thread(async move { second.message(post(r#""method":"n""#)).await.unwrap() })
        };
        is_gone.join().unwrap();
        says.join().unwrap();
        assert_eq!(second.closed(), None);
        clock::advance(Duration::from_secs(300));
        world.let_end(&inbox);
        drop((first, second, inbox, other));
        world.end();
    });
}

/// The deadline queue lets go of the last deadline while the next one comes.
#[test]
fn a_deadline_that_comes_when_there_is_no_other_is_kept() {
    race(|| {
        let world = World::begin(Settings::default());
        let Begun { session: first, inbox: other, .. } = world.initialized();
        let creates = {
            let sessions = world.sessions.clone();
            thread(async move { sessions.create_session().await })
        };
        clock::advance(Duration::from_secs(300));
        match creates.join().unwrap() {
            Ok(second) => {
                let (_, inbox) = world.opened();
                clock::advance(Duration::from_secs(60));
                world.let_end(&inbox);
                assert_eq!(second.closed(), Some(CloseReason::InitializeTimeout));
            }
            Err(ManagerError::ClosedDuringInitialize(reason)) => {
                world.let_end(&other);
                assert_eq!(reason, CloseReason::InitializeTimeout);
            }
            Err(error) => panic!("{error}"),
        }
        assert_eq!(first.closed(), Some(CloseReason::Idle));
        drop((first, other));
        world.end();
    });
}
