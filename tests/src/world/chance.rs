//! Chance: where everything comes from that is not decided.

use std::time::Duration;

use crate::history::Random;

/// The luck of one actor. No actor draws from another's, so that a world without
/// one of them leaves the others what they were.
#[derive(Clone, Debug)]
pub struct Chance(Random);

impl Chance {
    /// Returns the luck of the `nth` of some actors.
    #[must_use]
    pub const fn new(seed: u64, kind: u64, nth: u64) -> Self {
        let mut random = Random::new(seed);
        let base = random.next();
        let mut random = Random::new(base ^ kind.rotate_left(32) ^ nth.rotate_left(8));
        random.next();
        Self(random)
    }

    /// Returns a number below `end`, or 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0.next().checked_rem(end).unwrap_or(0)
    }

    /// Returns a number of those from `least` to `most`.
    pub fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(most.saturating_sub(least) + 1)
    }

    /// Returns a number of those from `least` to `most`.
    pub fn size(&mut self, least: usize, most: usize) -> usize {
        let wide = |size: usize| u64::try_from(size).unwrap_or(u64::MAX);
        usize::try_from(self.between(wide(least), wide(most))).unwrap_or(least)
    }

    /// Returns a time of those from `least` to `most` milliseconds.
    pub fn millis(&mut self, least: u64, most: u64) -> Duration {
        Duration::from_millis(self.between(least, most))
    }

    /// Returns a time of those from `least` to `most`, in whole milliseconds.
    pub(super) fn duration(&mut self, least: Duration, most: Duration) -> Duration {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.millis(millis(least), millis(most))
    }

    /// Returns whether something happens that does so this often in a thousand times.
    pub fn strikes(&mut self, rate: u32) -> bool {
        self.below(1_000) < u64::from(rate)
    }

    /// Returns one of some items.
    pub fn pick<T: Copy>(&mut self, items: &[T]) -> Option<T> {
        let at = self.size(0, items.len().saturating_sub(1));
        items.get(at).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actors_differ_and_a_seed_does_not() {
        let draw = |kind, nth| Chance::new(7, kind, nth).below(u64::MAX);
        assert_eq!(draw(1, 2), draw(1, 2));
        assert_ne!(draw(1, 2), draw(2, 1));
        assert_ne!(draw(1, 2), draw(1, 3));
    }

    #[test]
    fn a_range_has_both_its_ends() {
        let mut chance = Chance::new(1, 1, 1);
        let drawn: std::collections::BTreeSet<u64> =
            (0..100).map(|_| chance.between(3, 5)).collect();
        assert_eq!(drawn, [3, 4, 5].into());
        assert_eq!(chance.between(9, 9), 9);
        assert_eq!(chance.below(0), 0);
    }
}
