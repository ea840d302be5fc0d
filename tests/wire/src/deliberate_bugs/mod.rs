//! Deliberate bugs of a server, which the checker must find.

mod body;
mod delivery;
mod service;

use bytes::Bytes;

pub(crate) use self::delivery::BuggyDelivery;
pub(crate) use self::service::BuggyService;

/// A deliberate bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliberateBug {
    /// Loses an event now and then.
    LosesEvent,
    /// Sends an event twice.
    DuplicatesEvent,
    /// Sends an event on another stream.
    MisroutesEvent,
    /// Does not report gaps.
    HidesGaps,
    /// Reports a wrong range in the log notification of a gap.
    WrongGapLog,
    /// Stops sending.
    StopsSending,
    /// Does not report closed connections to the session.
    LeaksConnection,
    /// Ends a stream in the middle of an event.
    TruncatesEvent,
    /// Accepts a POST without a request, and ignores it.
    DropsPost,
    /// Handles a POST without a request twice.
    DuplicatesPost,
    /// Accepts a request, and handles it as a notification.
    DropsRequest,
    /// Accepts invalid requests.
    AcceptsInvalid,
    /// Responds that a session does not exist although it does.
    DeniesSession,
    /// Truncates a message to the backend.
    TruncatesMessage,
    /// Loses a message to the backend.
    DropsMessage,
    /// Drops the backend.
    DropsBackend,
    /// Uses other limits than configured.
    WrongLimits,
    /// Panics.
    Panics,
}

/// Returns whether `bytes` contain a text.
fn has(bytes: &Bytes, text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}
