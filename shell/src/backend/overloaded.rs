//! A backend that cannot be opened at the moment.

use std::time::Duration;

use thiserror::Error;

/// Says that a backend has too much to do to serve another session now. As the error of
/// [`Backend::open`](crate::Backend::open) it has the client told when to try again: over
/// HTTP, by status 503 and `Retry-After`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("too many servers are being started: try again in {} s", self.seconds())]
pub struct Overloaded {
    /// When to try again.
    pub retry_after: Duration,
}

impl Overloaded {
    /// Returns when to try again, in whole seconds.
    pub(crate) fn seconds(self) -> u64 {
        self.retry_after.as_secs().saturating_add(1)
    }
}
