//! The clock of a node, which starts at another time than others, and is faster or slower.

use std::time::Duration;

use rejoin_core::Instant;

/// A clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    offset: Duration,
    /// How many nanoseconds it counts in a million.
    rate: u64,
}

const MILLION: u64 = 1_000_000;

impl Clock {
    /// Returns a clock that gains `drift` millionths.
    pub(super) fn new(offset: Duration, drift: i32) -> Self {
        Self { offset, rate: MILLION.saturating_add_signed(drift.into()) }
    }

    /// Returns the time that it shows at a time of the simulation.
    pub(super) fn at(self, time: Instant) -> Instant {
        let counted = scale(time.since_epoch(), self.rate, MILLION);
        Instant::new(self.offset + counted)
    }

    /// Returns the time of the simulation at which it has reached a time.
    pub(super) fn until(self, shown: Instant) -> Instant {
        let counted = shown.since_epoch().saturating_sub(self.offset);
        let time = scale(counted, MILLION, self.rate);
        Instant::new(time + Duration::from_micros(1))
    }
}

fn scale(time: Duration, by: u64, of: u64) -> Duration {
    let nanos = time.as_nanos() * u128::from(by) / u128::from(of.max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_reached_when_it_is_due() {
        for drift in [-20_000, 0, 20_000] {
            let clock = Clock::new(Duration::from_secs(77), drift);
            let shown = clock.at(Instant::new(Duration::from_millis(123_456)));
            let due = clock.until(shown);
            assert!(clock.at(due) >= shown, "{drift}");
            assert!(due.since_epoch() < Duration::from_millis(123_457), "{drift}");
        }
    }
}
