//! The error of a backend that is overloaded.

use std::time::Duration;

use thiserror::Error;

/// The error of a backend that cannot serve another session now.
///
/// Returned by [`Backend::open`](crate::Backend::open), it asks the client to retry later: over
/// HTTP, by status 503 and `Retry-After`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("too many servers are starting; retry in {} s", self.seconds())]
pub struct Overloaded {
    /// The time after which to retry.
    pub retry_after: Duration,
}

impl Overloaded {
    /// Returns the time after which to retry, in whole seconds.
    pub(crate) fn seconds(self) -> u64 {
        self.retry_after.as_secs().saturating_add(1)
    }
}
