//! What is done to messages on their way to a backend.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use super::Sabotage;

/// The way of messages to the backends.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    sabotage: Option<Sabotage>,
    count: Arc<AtomicU64>,
}

/// One in so many messages is not what it should be.
const EVERY: u64 = 29;

impl Delivery {
    pub(crate) fn new(sabotage: Option<Sabotage>) -> Self {
        Self { sabotage, count: Arc::default() }
    }

    /// Returns what a backend hears of a message.
    pub(crate) fn pass(&self, message: Bytes) -> Option<Bytes> {
        let is_turn = (self.count.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(EVERY);
        match self.sabotage {
            Some(Sabotage::Garbles) if is_turn => Some(message.slice(..message.len() / 2)),
            Some(Sabotage::Deafens) if is_turn => None,
            Some(_) | None => Some(message),
        }
    }

    /// Returns whether a backend is taken for dead.
    pub(crate) fn buries(&self) -> bool {
        let is_turn = self.count.load(Ordering::Relaxed).is_multiple_of(EVERY);
        is_turn && self.sabotage == Some(Sabotage::Buries)
    }
}
