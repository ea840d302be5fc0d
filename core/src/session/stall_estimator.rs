//! Pace: how long a reader that makes progress may take nothing.

use core::time::Duration;

use crate::{Instant, config::StallTimeout};

/// Estimates the pauses of one reader from those that it has made, as a retransmission
/// timer estimates the round trip (RFC 6298, section 2).
///
/// A pause counts while the reader is behind only: one that has taken all there is shows
/// nothing of its speed. A reader's system takes in bursts, with one long pause between two
/// of them, so of every round of at least the shortest timeout the longest pause is the sample.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StallEstimator {
    /// In nanoseconds.
    smoothed: u64,
    /// How far samples are from that, in nanoseconds.
    variation: u64,
    round: Option<Round>,
    /// The longest pause of all, in nanoseconds.
    longest: u64,
}

#[derive(Clone, Copy, Debug)]
struct Round {
    began: Instant,
    longest: u64,
}

impl StallEstimator {
    /// Returns the estimate for a reader that has shown nothing yet: the longest timeout.
    pub(crate) const fn new(limits: StallTimeout) -> Self {
        Self { smoothed: limits.max / 2, variation: limits.max / 8, round: None, longest: 0 }
    }

    /// Returns how long the reader may take nothing.
    pub(crate) fn timeout(&self, limits: StallTimeout) -> u64 {
        let margin = self.variation.saturating_mul(4).max(self.smoothed);
        self.smoothed.saturating_add(margin).clamp(limits.min, limits.max)
    }

    /// Notes that a reader that is behind has taken something at `now`, after it had taken
    /// nothing since `since`.
    pub(crate) fn record_pause(&mut self, since: Instant, now: Instant, limits: StallTimeout) {
        let pause = nanos(now.since(since));
        self.longest = self.longest.max(pause);
        let mut round = self.round.unwrap_or(Round { began: since, longest: 0 });
        round.longest = round.longest.max(pause);
        if nanos(now.since(round.began)) < limits.min {
            self.round = Some(round);
            return;
        }
        self.round = None;
        let sample = round.longest.min(limits.max);
        self.variation = self.variation - self.variation / 4 + self.smoothed.abs_diff(sample) / 4;
        self.smoothed = self.smoothed - self.smoothed / 8 + sample / 8;
    }

    /// Notes likewise that a reader has taken something that is not behind.
    pub(crate) fn record_pause_at_head(&mut self, since: Instant, now: Instant) {
        self.longest = self.longest.max(nanos(now.since(since)));
        self.round = None;
    }

    /// Returns whether a reader that has taken nothing since `since` seems to have stopped:
    /// it pauses for much longer than ever before.
    pub(crate) fn has_stopped(&self, since: Instant, now: Instant, limits: StallTimeout) -> bool {
        let silent = nanos(now.since(since));
        silent >= limits.min && silent > self.longest.saturating_mul(2)
    }
}

/// An instant has nanoseconds in 64 bits, so their difference has, too.
pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: StallTimeout = StallTimeout { min: 1_000, max: 10_000 };

    /// Lets a reader pause for so long, and take so much in a burst, again and again, and
    /// returns its timeout before each pause.
    fn timeouts(pause: u64, burst: usize, rounds: usize) -> Vec<u64> {
        let mut pace = StallEstimator::new(LIMITS);
        let mut now = 0;
        let at = |nanos| Instant::new(Duration::from_nanos(nanos));
        let mut before = Vec::new();
        for _ in 0..rounds {
            for _ in 0..burst {
                pace.record_pause(at(now), at(now), LIMITS);
            }
            before.push(pace.timeout(LIMITS));
            pace.record_pause(at(now), at(now + pause), LIMITS);
            now += pause;
        }
        before
    }

    extern crate alloc;
    use alloc::vec::Vec;

    #[test]
    fn a_steady_reader_is_never_given_less_than_its_pause() {
        for pause in (100..=10_000).step_by(100) {
            for burst in [0, 1, 30] {
                let timeouts = timeouts(pause, burst, 200);
                assert!(timeouts.iter().all(|timeout| *timeout >= pause), "{pause} {burst}");
                assert_eq!(timeouts.first(), Some(&LIMITS.max));
            }
        }
    }

    #[test]
    fn a_fast_reader_is_soon_given_little() {
        assert_eq!(timeouts(10, 3, 3_000).last(), Some(&LIMITS.min));
    }

    #[test]
    fn who_has_taken_all_shows_nothing() {
        let mut pace = StallEstimator::new(LIMITS);
        let at = |nanos| Instant::new(Duration::from_nanos(nanos));
        for begin in (0..100_000).step_by(600) {
            pace.record_pause(at(begin), at(begin + 1), LIMITS);
            pace.record_pause_at_head(at(begin + 1), at(begin + 1));
        }
        assert_eq!(pace.timeout(LIMITS), LIMITS.max);
    }

    #[test]
    fn a_reader_has_stopped_that_pauses_for_longer_than_ever() {
        let mut pace = StallEstimator::new(LIMITS);
        let at = |nanos| Instant::new(Duration::from_nanos(nanos));
        let has_stopped =
            |pace: &StallEstimator, silent: u64| pace.has_stopped(at(7), at(7 + silent), LIMITS);
        assert!(!has_stopped(&pace, 999));
        assert!(has_stopped(&pace, 1_000));
        pace.record_pause(at(0), at(700), LIMITS);
        pace.record_pause_at_head(at(0), at(300));
        assert!(!has_stopped(&pace, 1_400));
        assert!(has_stopped(&pace, 1_401));
        pace.record_pause_at_head(at(0), at(800));
        assert!(!has_stopped(&pace, 1_600));
    }
}
