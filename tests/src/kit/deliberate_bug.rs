//! Deliberate bugs, to test the checkers.

use std::ops::Range;

use super::{Coverage, Failure};

/// A deliberate bug of a driver or server, which a check must find. Some, like some faults, have
/// no effect in simulations of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliberateBug {
    /// Loses an event now and then.
    LosesEvent,
    /// Sends an event twice.
    DuplicatesEvent,
    /// Sends an event on another connection or stream.
    MisroutesEvent,
    /// Does not report gaps.
    HidesGaps,
    /// Does not report closed connections to the session.
    LeaksConnection,
    // Only in simulations of the core:
    /// Never releases held senders.
    NeverReleases,
    // Only over the wire:
    /// Reports a wrong range in the log notification of a gap.
    WrongGapLog,
    /// Stops sending.
    StopsSending,
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

impl DeliberateBug {
    /// Checks that the simulation of one of `seeds` fails with a message that contains
    /// `expected`. `run` runs the simulation of a seed with the bug.
    ///
    /// # Errors
    ///
    /// No simulation failed like this; the error has the other failures.
    pub fn check_detected<P>(
        self,
        expected: &str,
        seeds: Range<u64>,
        run: impl Fn(u64) -> Result<Coverage, Box<Failure<P>>>,
    ) -> Result<(), String> {
        let mut others = Vec::new();
        for seed in seeds {
            match run(seed) {
                Err(failure) if failure.message.contains(expected) => return Ok(()),
                Err(failure) => others.push(failure.message),
                Ok(_) => {}
            }
        }
        Err(format!("{self:?} was not detected as {expected:?}: {others:#?}"))
    }
}
