//! Stall timeout of one reader, estimated from its pauses.

use crate::{Instant, config::StallTimeout, time::Timeout};

/// Estimates, from its previous pauses, how long one reader may pause, as a retransmission
/// timer estimates the round-trip time (RFC 6298, section 2).
///
/// A pause is a sample only while the reader is behind: at the head, it shows nothing about the
/// reader's speed. The operating system of a reader reads in bursts with long pauses between
/// them, so the sample is the longest pause of a round, which lasts at least the shortest
/// timeout.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StallEstimator {
    /// Smoothed pause, in nanoseconds.
    smoothed: u64,
    /// Mean deviation of the samples, in nanoseconds.
    variation: u64,
    round: Option<Round>,
    /// The longest pause so far, in nanoseconds.
    longest: u64,
}

#[derive(Clone, Copy, Debug)]
struct Round {
    start: Instant,
    /// In nanoseconds.
    longest: u64,
}

impl StallEstimator {
    /// Returns the estimate for an unknown reader: the longest timeout.
    pub(crate) const fn new(limits: StallTimeout) -> Self {
        Self {
            smoothed: limits.max.div_ceil(2),
            variation: limits.max / 8,
            round: None,
            longest: 0,
        }
    }

    /// Returns how long the reader may acknowledge nothing, in nanoseconds.
    pub(crate) fn timeout(&self, limits: StallTimeout) -> u64 {
        let margin = self.variation.saturating_mul(4).max(self.smoothed);
        self.smoothed.saturating_add(margin).clamp(limits.min, limits.max)
    }

    /// Records a pause from `since` to `now` of a reader that is behind.
    pub(crate) fn record_pause(&mut self, since: Instant, now: Instant, limits: StallTimeout) {
        let pause = now.nanos_since(since);
        self.longest = self.longest.max(pause);
        let mut round = self.round.unwrap_or(Round { start: since, longest: 0 });
        round.longest = round.longest.max(pause);
        if now.nanos_since(round.start) < limits.min {
            self.round = Some(round);
            return;
        }
        self.round = None;
        let sample = round.longest.min(limits.max);
        self.variation = self.variation - self.variation / 4 + self.smoothed.abs_diff(sample) / 4;
        self.smoothed = self.smoothed - self.smoothed / 8 + sample / 8;
    }

    /// Records a pause of a reader that is at the head, which is not a sample.
    pub(crate) fn record_pause_at_head(&mut self, since: Instant, now: Instant) {
        self.longest = self.longest.max(now.nanos_since(since));
        self.round = None;
    }

    /// Returns after how long a silent reader seems to have stopped: the shortest timeout, and more
    /// than twice its longest pause.
    pub(crate) fn stop_timeout(&self, limits: StallTimeout) -> Timeout {
        let longer = self.longest.saturating_mul(2).saturating_add(1);
        Timeout::from_nanos(limits.min.max(longer))
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;
    use core::time::Duration;

    use super::*;

    const LIMITS: StallTimeout = StallTimeout { min: 1_000, max: 10_000 };

    /// Returns the timeout before each pause of a reader that alternates between a burst of
    /// acknowledgements and a pause in nanoseconds.
    fn timeouts(pause: u64, burst: usize, rounds: usize) -> Vec<u64> {
        let mut estimator = StallEstimator::new(LIMITS);
        let mut now = 0;
        let at = |nanos| Instant::new(Duration::from_nanos(nanos));
        let mut before = Vec::new();
        for _ in 0..rounds {
            for _ in 0..burst {
                estimator.record_pause(at(now), at(now), LIMITS);
            }
            before.push(estimator.timeout(LIMITS));
            estimator.record_pause(at(now), at(now + pause), LIMITS);
            now += pause;
        }
        before
    }

    #[test]
    fn the_timeout_of_a_steady_reader_is_at_least_its_pause() {
        for pause in (100..=10_000).step_by(100) {
            for burst in [0, 1, 30] {
                let timeouts = timeouts(pause, burst, 200);
                assert!(timeouts.iter().all(|timeout| *timeout >= pause), "{pause} {burst}");
                assert_eq!(timeouts.first(), Some(&LIMITS.max));
            }
        }
    }

    #[test]
    fn the_timeout_of_a_fast_reader_falls_to_the_minimum() {
        assert_eq!(timeouts(10, 3, 3_000).last(), Some(&LIMITS.min));
    }

    #[test]
    fn pauses_at_the_head_are_not_samples() {
        let mut estimator = StallEstimator::new(LIMITS);
        let at = |nanos| Instant::new(Duration::from_nanos(nanos));
        for begin in (0..100_000).step_by(600) {
            estimator.record_pause(at(begin), at(begin + 1), LIMITS);
            estimator.record_pause_at_head(at(begin + 1), at(begin + 1));
        }
        assert_eq!(estimator.timeout(LIMITS), LIMITS.max);
    }

    #[test]
    fn a_reader_has_stopped_after_twice_its_longest_pause() {
        let mut estimator = StallEstimator::new(LIMITS);
        let at = |nanos| Instant::new(Duration::from_nanos(nanos));
        assert_eq!(estimator.stop_timeout(LIMITS).nanos(), 1_000);
        estimator.record_pause(at(0), at(700), LIMITS);
        estimator.record_pause_at_head(at(0), at(300));
        assert_eq!(estimator.stop_timeout(LIMITS).nanos(), 1_401);
        estimator.record_pause_at_head(at(0), at(800));
        assert_eq!(estimator.stop_timeout(LIMITS).nanos(), 1_601);
    }
}
