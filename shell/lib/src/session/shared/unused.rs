//! Sessions that were never used, or have lost their backends: the first to be closed at the session
//! limit.

use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{Arc, Weak},
};

use crate::{payload::Payload, session::SessionInner, sync::Mutex};

/// Sessions that have made no request but `initialize` and `ping`, or whose backends have ended, the
/// oldest first: at most as many as there are sessions.
#[derive(Debug)]
pub(crate) struct UnusedSessions<P: Payload>(Mutex<Queue<P>>);

#[derive(Debug)]
struct Queue<P: Payload> {
    sessions: BTreeMap<u64, Weak<SessionInner<P>>>,
    next_number: u64,
}

impl<P: Payload> Default for UnusedSessions<P> {
    fn default() -> Self {
        Self(Mutex::new(Queue { sessions: BTreeMap::new(), next_number: 0 }))
    }
}

impl<P: Payload> UnusedSessions<P> {
    /// Adds a session, and returns the number to remove it by.
    pub(crate) fn add(&self, session: Weak<SessionInner<P>>) -> u64 {
        let mut queue = self.0.lock();
        let number = queue.next_number;
        queue.next_number = number.saturating_add(1);
        queue.sessions.insert(number, session);
        number
    }

    pub(crate) fn remove(&self, number: u64) {
        self.0.lock().sessions.remove(&number);
    }

    /// Closes the oldest session that has no connection, if there is one.
    pub(crate) fn close_oldest(&self) {
        let mut after = Bound::Unbounded;
        while let Some((number, session)) = self.first(after) {
            if session.is_some_and(|session| session.close_if_unused()) {
                return;
            }
            after = Bound::Excluded(number);
        }
    }

    fn first(&self, after: Bound<u64>) -> Option<(u64, Option<Arc<SessionInner<P>>>)> {
        let queue = self.0.lock();
        let (number, session) = queue.sessions.range((after, Bound::Unbounded)).next()?;
        Some((*number, session.upgrade()))
    }
}
