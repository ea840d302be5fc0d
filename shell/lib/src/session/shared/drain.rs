//! Draining: sessions are closed as soon as they have no pending requests.

use std::time::Duration;

use crate::sync::{
    Notify,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

/// Whether sessions are being drained, and when their clients should reconnect.
#[derive(Debug, Default)]
pub(crate) struct Drain {
    is_started: AtomicBool,
    /// The time after which clients should reconnect, in milliseconds.
    retry_ms: AtomicU64,
    /// Notified when a session was removed.
    session_removed: Notify,
}

impl Drain {
    pub(crate) fn start(&self, retry: Duration) {
        let retry_ms = u64::try_from(retry.as_millis()).unwrap_or(u64::MAX);
        self.retry_ms.store(retry_ms, Ordering::Relaxed);
        self.is_started.store(true, Ordering::Release);
    }

    /// Returns the time after which clients should reconnect, if sessions are being drained.
    pub(crate) fn retry(&self) -> Option<Duration> {
        let is_started = self.is_started.load(Ordering::Acquire);
        is_started.then(|| Duration::from_millis(self.retry_ms.load(Ordering::Relaxed)))
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
