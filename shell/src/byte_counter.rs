//! How many bytes somebody has in use.

use crate::sync::atomic::{AtomicUsize, Ordering};

/// Counts bytes.
#[derive(Debug, Default)]
pub(crate) struct ByteCounter(AtomicUsize);

impl ByteCounter {
    /// Takes bytes, unless more than `bytes_max` would be in use. Returns whether it did.
    pub(crate) fn try_add(&self, bytes: usize, bytes_max: usize) -> bool {
        let take = |used: usize| used.checked_add(bytes).filter(|used| *used <= bytes_max);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }

    pub(crate) fn subtract(&self, bytes: usize) {
        self.0.fetch_sub(bytes, Ordering::Relaxed);
    }
}
