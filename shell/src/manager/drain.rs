//! Draining: sessions end as soon as nothing is in flight in them.

use std::time::Duration;

use crate::sync::{
    Notify,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

/// Whether sessions are to end, and how their clients are told.
#[derive(Debug, Default)]
pub(crate) struct Drain {
    is_started: AtomicBool,
    /// When clients are to come back, in milliseconds.
    retry_ms: AtomicU64,
    /// Notified when a session or its place was given back.
    session_removed: Notify,
}

impl Drain {
    pub(super) fn start(&self, retry: Duration) {
        let retry_ms = u64::try_from(retry.as_millis()).unwrap_or(u64::MAX);
        self.retry_ms.store(retry_ms, Ordering::Relaxed);
        self.is_started.store(true, Ordering::Release);
    }

    /// Returns when clients are to come back, if sessions are to end.
    pub(crate) fn retry(&self) -> Option<Duration> {
        let is_started = self.is_started.load(Ordering::Acquire);
        is_started.then(|| Duration::from_millis(self.retry_ms.load(Ordering::Relaxed)))
    }

    /// Hears that a session is gone.
    pub(super) fn on_session_removed(&self) {
        if self.is_started.load(Ordering::Acquire) {
            self.session_removed.notify_one();
        }
    }

    /// Waits for the next session that goes.
    pub(super) async fn next_removal(&self) {
        self.session_removed.notified().await;
    }
}
