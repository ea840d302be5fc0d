//! Cases that cannot be distinguished by their actions.

use super::Model;

/// A case that a long run must reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    /// A new event is kept, and all that are kept cost more than the limit.
    AboveLimit,
    /// A retained stream was replaced by its tombstone.
    EvictedStream(Cause),
    /// An acknowledged event was evicted.
    EvictedAcknowledged(Cause),
    /// An event of a stream without a reader was evicted.
    EvictedWithoutReader(Cause),
    /// An event of a stuck stream was evicted.
    EvictedStuck(Cause),
    /// An event that an active reader was not sent was evicted to make room.
    EvictedUnsent,
    /// A new response was evicted.
    EvictedNewResponse,
    /// A new server request was evicted.
    EvictedNewRequest,
    /// A new notification was evicted.
    EvictedNewNotification,
    /// The connection of a stopped reader was cut while a stream waited for room.
    CutForRoom,
    /// A stream that waited for room released its senders.
    ReleasedForRoom,
    /// A timer fired because a sender might no longer have to wait, or the session shrink.
    Waited,
    /// After an input, a session still shrinks: readers that make progress await the rest.
    Shrinks,
    /// The connection of a stopped reader was cut while the session shrank.
    CutToShrink,
    /// A session reached its limit because that was raised.
    RaisedToKept,
    /// A change of the limit released a sender.
    ReleasedByLimit,
    /// After an input or a timer, a session that drains still waits.
    Drains,
    /// A disconnect was deferred until a commit.
    DeferredDisconnect,
    /// An index was kept for the retry of a deferred disconnect.
    KeptRetryIndex,
    /// A stream was complete before its deferred disconnect was due.
    DroppedDisconnect,
}

/// Why events are evicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// To make room for a new event.
    NewEvent,
    /// The session shrinks to its limit.
    Shrinking,
}

impl Model {
    /// Returns the cases that were reached since the last call.
    pub fn take_cases(&mut self) -> Vec<Case> {
        std::mem::take(&mut self.cases)
    }

    pub(super) fn reach(&mut self, case: Case) {
        self.cases.push(case);
    }
}
