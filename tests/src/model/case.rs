//! Cases that cannot be told from the actions.

use super::Model;

/// A case that a long run must reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    /// The events that are kept cost more than `session_bytes_max`.
    AboveLimit,
    /// A retained stream was replaced by its tombstone to make room.
    EvictedStream,
    /// An acknowledged event was evicted to make room.
    EvictedAcknowledged,
    /// An event of a stream without a reader was evicted to make room.
    EvictedWithoutReader,
    /// An event of a stuck stream was evicted to make room.
    EvictedStuck,
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
    /// A timer fired because a sender might no longer have to wait.
    Waited,
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
