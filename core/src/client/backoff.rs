//! Delays before something is tried again.

use core::time::Duration;

/// Minimum of the nominal delay. Without a delay, attempts that fail at once would never end.
const DELAY_MIN: Duration = Duration::from_millis(1);

/// Delays that double with each attempt, with a jitter from a seed.
#[derive(Debug)]
pub(super) struct Backoff {
    state: u64,
    min: Duration,
    max: Duration,
}

impl Backoff {
    pub(super) const fn new(seed: u64, min: Duration, max: Duration) -> Self {
        Self { state: seed, min, max }
    }

    /// Draws the delay after a number of failed attempts: between one half and the whole of the
    /// nominal one.
    pub(super) fn delay(&mut self, attempts: u32) -> Duration {
        let factor = 1_u32.checked_shl(attempts).unwrap_or(u32::MAX).max(1);
        let nominal = self.min.saturating_mul(factor).min(self.max).max(DELAY_MIN);
        let half = nominal / 2;
        let nanos = u64::try_from(half.as_nanos()).unwrap_or(u64::MAX);
        half + Duration::from_nanos(self.next() % nanos.saturating_add(1))
    }

    /// Draws a number (`SplitMix64`).
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_maximum_with_a_jitter() {
        let (min, max) = (Duration::from_secs(1), Duration::from_secs(10));
        let mut backoff = Backoff::new(7, min, max);
        for (attempts, nominal) in [(0, 1), (1, 2), (2, 4), (3, 8), (4, 10), (31, 10), (99, 10)] {
            let nominal = Duration::from_secs(nominal);
            for _ in 0..100 {
                let delay = backoff.delay(attempts);
                assert!(nominal / 2 <= delay && delay <= nominal, "{attempts}: {delay:?}");
            }
        }
        assert_ne!(backoff.delay(9), backoff.delay(9));
        let mut none = Backoff::new(7, Duration::ZERO, Duration::ZERO);
        assert!(none.delay(0) >= DELAY_MIN / 2);
    }
}
