//! Instants and timeouts. Time is an argument: the core has no clock.

use core::{fmt, time::Duration};

/// A point in time: the duration since an epoch that the driver chooses.
///
/// Its resolution is 1 ns, its range 584 years. Arithmetic saturates, and a
/// deadline at or past [`Instant::MAX`] never fires.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Instant(u64);

impl Instant {
    /// The epoch itself.
    pub const EPOCH: Self = Self(0);
    /// The last representable instant.
    pub const MAX: Self = Self(u64::MAX);

    /// Returns the instant at `since_epoch` after the epoch.
    #[must_use]
    pub const fn new(since_epoch: Duration) -> Self {
        Self(saturating_nanos(since_epoch))
    }

    /// Returns the time since the epoch.
    #[must_use]
    pub const fn since_epoch(self) -> Duration {
        Duration::from_nanos(self.0)
    }

    /// Returns the time since `earlier`, or zero if `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// Returns the time since `earlier` in nanoseconds, or zero if `earlier` is later.
    pub(crate) const fn nanos_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Returns this instant moved forward, saturating at [`Instant::MAX`].
    #[must_use]
    pub const fn saturating_add(self, by: Duration) -> Self {
        Self(self.0.saturating_add(saturating_nanos(by)))
    }

    /// Returns the deadline of a timeout that starts now; [`Instant::MAX`] is never.
    pub(crate) const fn deadline_after(self, timeout: Timeout) -> Self {
        Self(self.0.saturating_add(timeout.0))
    }

    /// Returns the deadline, or `None` if it is never.
    pub(crate) fn finite(self) -> Option<Self> {
        (self < Self::MAX).then_some(self)
    }
}

/// A timeout in nanoseconds, possibly infinite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timeout(u64);

impl Timeout {
    /// Returns a timeout of `nanos` nanoseconds; `u64::MAX` is infinite.
    pub(crate) const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    pub(crate) const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// Returns the timeout in nanoseconds; `u64::MAX` is infinite.
    pub(crate) const fn nanos(self) -> u64 {
        self.0
    }
}

impl From<Option<Duration>> for Timeout {
    fn from(timeout: Option<Duration>) -> Self {
        Self(timeout.map_or(u64::MAX, saturating_nanos))
    }
}

/// Returns a duration in nanoseconds; at most those of the last instant.
pub(crate) const fn saturating_nanos(duration: Duration) -> u64 {
    let nanos = duration.as_nanos();
    if nanos > u64::MAX as u128 {
        u64::MAX
    } else {
        #[expect(clippy::cast_possible_truncation, reason = "compared just above")]
        let nanos = nanos as u64;
        nanos
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "t+{:?}", self.since_epoch())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates() {
        let late = Instant::new(Duration::MAX);
        assert_eq!(late, Instant::MAX);
        assert_eq!(late.saturating_add(Duration::from_secs(1)), Instant::MAX);
        assert_eq!(Instant::EPOCH.since(late), Duration::ZERO);
    }

    #[test]
    fn a_deadline_past_the_last_instant_is_never() {
        let deadline =
            |timeout: Option<Duration>| Instant::EPOCH.deadline_after(timeout.into()).finite();
        assert_eq!(deadline(Some(Duration::MAX)), None);
        assert_eq!(deadline(None), None);
        let short = Duration::from_nanos(7);
        assert_eq!(deadline(Some(short)), Some(Instant::new(short)));
    }
}
