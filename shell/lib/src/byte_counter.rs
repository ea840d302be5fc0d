//! A shared counter of bytes in use, with a limit.
//!
//! A semaphore would be a queue, too, but nobody waits here: a message that does not fit is refused.

#[cfg(feature = "http")]
use std::sync::Arc;

use crate::sync::atomic::{AtomicUsize, Ordering};

/// Counters of the messages of clients, until their backends have received them.
#[cfg(feature = "http")]
#[derive(Clone, Debug, Default)]
pub(crate) struct RequestCounters {
    pub(crate) all: Arc<ByteCounter>,
    /// Messages without a session.
    pub(crate) without_session: Arc<ByteCounter>,
    /// Messages that are passed on to other processes.
    #[cfg(feature = "cluster")]
    pub(crate) passed_on: Arc<ByteCounter>,
}

/// Counts bytes in use.
#[derive(Debug, Default)]
pub(crate) struct ByteCounter(AtomicUsize);

impl ByteCounter {
    /// Adds bytes, unless more than `bytes_max` would be in use. Returns whether they were added.
    pub(crate) fn try_add(&self, bytes: usize, bytes_max: usize) -> bool {
        let add = |used: usize| used.checked_add(bytes).filter(|used| *used <= bytes_max);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).is_ok()
    }

    /// Adds bytes, without a limit.
    #[cfg(feature = "store")]
    pub(crate) fn add(&self, bytes: usize) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }

    #[cfg(any(test, feature = "store"))]
    pub(crate) fn bytes(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// Subtracts bytes that were added before.
    pub(crate) fn subtract(&self, bytes: usize) {
        self.0.fetch_sub(bytes, Ordering::Relaxed);
    }
}
