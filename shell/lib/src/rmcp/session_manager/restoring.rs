//! The sessions that are being restored.

use std::collections::HashSet;

use crate::{
    SessionId,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

/// The sessions that were restored, and wait for the response to `initialize`.
///
/// They are not shown to the HTTP service, which would forward requests to them. Requests to a
/// session that is not shown wait for its restoration, if one is in progress.
#[derive(Debug, Default)]
pub(super) struct Restoring {
    /// At most as many as there are sessions, and those that have ended since the last one was
    /// added.
    sessions: Mutex<HashSet<SessionId>>,
    /// How many there are, to look none up without the lock.
    number: AtomicUsize,
}

/// Removes a session on drop.
#[derive(Debug)]
pub(super) struct RemoveOnDrop<'a> {
    restoring: &'a Restoring,
    session: SessionId,
}

impl Restoring {
    /// Adds a session. Removes those that have ended.
    pub(super) fn add(&self, session: SessionId, exists: impl Fn(SessionId) -> bool) {
        self.change(|sessions| {
            sessions.retain(|session| exists(*session));
            sessions.insert(session);
        });
    }

    pub(super) fn contains(&self, session: SessionId) -> bool {
        self.number.load(Ordering::Acquire) > 0 && self.sessions.lock().contains(&session)
    }

    /// Returns a guard that removes a session, if it is one of them.
    pub(super) fn remove_on_drop(&self, session: SessionId) -> RemoveOnDrop<'_> {
        RemoveOnDrop { restoring: self, session }
    }

    fn change(&self, change: impl FnOnce(&mut HashSet<SessionId>)) {
        let mut sessions = self.sessions.lock();
        change(&mut sessions);
        self.number.store(sessions.len(), Ordering::Release);
    }
}

impl Drop for RemoveOnDrop<'_> {
    fn drop(&mut self) {
        if self.restoring.contains(self.session) {
            self.restoring.change(|sessions| {
                sessions.remove(&self.session);
            });
        }
    }
}
