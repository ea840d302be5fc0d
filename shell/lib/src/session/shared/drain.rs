//! Draining of all sessions of a manager: waiting until the last one was removed.

use crate::sync::{
    Notify,
    atomic::{AtomicBool, Ordering},
};

/// Whether the sessions are drained.
#[derive(Debug, Default)]
pub(crate) struct Drain {
    is_started: AtomicBool,
    /// Notified when a session was removed.
    session_removed: Notify,
}

impl Drain {
    pub(crate) fn start(&self) {
        self.is_started.store(true, Ordering::Release);
    }

    /// Handles a session that was removed.
    pub(crate) fn on_session_removed(&self) {
        if self.is_started.load(Ordering::Acquire) {
            self.session_removed.notify_one();
        }
    }

    /// Waits until the next session was removed.
    pub(crate) async fn next_removal(&self) {
        self.session_removed.notified().await;
    }
}
