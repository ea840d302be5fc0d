//! Deliberate bugs in the delivery of messages to a backend.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use rejoin_tests::kit::DeliberateBug;

/// Passes messages to the backends, with a deliberate bug.
#[derive(Clone, Debug)]
pub(crate) struct BuggyDelivery {
    bug: Option<DeliberateBug>,
    count: Arc<AtomicU64>,
}

/// A bug affects one in this many messages.
const EVERY: u64 = 29;

impl BuggyDelivery {
    pub(crate) fn new(bug: Option<DeliberateBug>) -> Self {
        Self { bug, count: Arc::default() }
    }

    /// Returns what the backend receives in place of a message.
    pub(crate) fn pass(&self, message: Bytes) -> Option<Bytes> {
        let is_affected = (self.count.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(EVERY);
        match self.bug {
            Some(DeliberateBug::TruncatesMessage) if is_affected => {
                Some(message.slice(..message.len() / 2))
            }
            Some(DeliberateBug::DropsMessage) if is_affected => None,
            Some(_) | None => Some(message),
        }
    }

    /// Returns whether to drop the backend.
    pub(crate) fn drops_backend(&self) -> bool {
        let is_affected = self.count.load(Ordering::Relaxed).is_multiple_of(EVERY);
        is_affected && self.bug == Some(DeliberateBug::DropsBackend)
    }
}
