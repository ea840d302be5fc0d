//! The only source of time in the shell.
//!
//! Under `cfg(shuttle)`, tests replace it by `races/clock.rs`.

use rejoin_core::Instant;
#[cfg(feature = "store")]
pub(crate) use tokio::time::sleep;
pub(crate) use tokio::time::timeout;

/// A clock that measures time from its start, as sessions count it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    epoch: tokio::time::Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { epoch: tokio::time::Instant::now() }
    }

    pub(crate) fn now(self) -> Instant {
        Instant::new(self.epoch.elapsed())
    }

    /// Waits until `instant`.
    pub(crate) async fn sleep_until(self, instant: Instant) {
        match self.epoch.checked_add(instant.since_epoch()) {
            Some(instant) => tokio::time::sleep_until(instant).await,
            None => std::future::pending().await,
        }
    }
}
