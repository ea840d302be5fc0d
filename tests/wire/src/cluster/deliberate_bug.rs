//! Deliberate faults between a node and a client, which the judge must find.

use std::sync::atomic::{AtomicU64, Ordering};

use rejoin_test_support::sse::Item;

/// A deliberate fault of every some hundredth message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClusterBug {
    /// The message does not come.
    LosesEvent,
    /// The message comes twice.
    RepeatsEvent,
    /// The message comes with an earlier event id of its stream.
    ReusesId,
    /// The message comes on the next stream that has one.
    Misroutes,
    /// A call is posted twice, with two request ids.
    RepeatsCall,
}

/// Applies a bug.
#[derive(Debug)]
pub(super) struct BugInjector {
    bug: Option<ClusterBug>,
    seen: AtomicU64,
    kept: parking_lot::Mutex<Option<Item>>,
}

/// One in this many messages is affected.
const EVERY: u64 = 400;
/// The same for calls.
const EVERY_CALL: u64 = 10;

impl BugInjector {
    pub(super) fn new(bug: Option<ClusterBug>) -> Self {
        Self { bug, seen: AtomicU64::new(0), kept: parking_lot::Mutex::new(None) }
    }

    /// Returns what comes in place of an item.
    pub(super) fn alter(&self, item: Item) -> Vec<Item> {
        let Some(bug) = self.bug.filter(|_| item.is_message() && !item.is_response()) else {
            return vec![item];
        };
        if bug == ClusterBug::Misroutes
            && let Some(other) = self.kept.lock().take()
        {
            return vec![other, item];
        }
        if !self.is_nth(EVERY) {
            return vec![item];
        }
        match (bug, item) {
            (ClusterBug::LosesEvent, _) => Vec::new(),
            (ClusterBug::RepeatsEvent, item) => vec![item.clone(), item],
            (ClusterBug::ReusesId, Item::Message { id: Some(mut id), data }) => {
                id.index = id.index.saturating_sub(1).max(1);
                vec![Item::Message { id: Some(id), data }]
            }
            (ClusterBug::Misroutes, item) => {
                *self.kept.lock() = Some(item);
                Vec::new()
            }
            (ClusterBug::ReusesId | ClusterBug::RepeatsCall, item) => vec![item],
        }
    }

    /// Returns whether this call is posted twice.
    pub(super) fn repeats_call(&self) -> bool {
        self.bug == Some(ClusterBug::RepeatsCall) && self.is_nth(EVERY_CALL)
    }

    fn is_nth(&self, every: u64) -> bool {
        self.seen.fetch_add(1, Ordering::Relaxed) % every == every / 2
    }
}
