//! The random number generator of the simulators.

use std::time::Duration;

use crate::history::Random;

/// The generator of one actor. Actors do not share generators, so that removing one leaves the
/// draws of the others unchanged.
#[derive(Clone, Debug)]
pub struct Rng(Random);

impl Rng {
    /// Returns the generator of the `nth` actor of a kind.
    #[must_use]
    pub const fn new(seed: u64, kind: u64, nth: u64) -> Self {
        let mut random = Random::new(seed);
        let base = random.next();
        let mut random = Random::new(base ^ kind.rotate_left(32) ^ nth.rotate_left(8));
        random.next();
        Self(random)
    }

    /// Draws a number below `end`, or 0 if `end` is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0.next().checked_rem(end).unwrap_or(0)
    }

    /// Draws a number from `least` to `most`, inclusive.
    pub fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(most.saturating_sub(least) + 1)
    }

    /// Draws a size from `least` to `most`, inclusive.
    pub fn size(&mut self, least: usize, most: usize) -> usize {
        let wide = |size: usize| u64::try_from(size).unwrap_or(u64::MAX);
        usize::try_from(self.between(wide(least), wide(most))).unwrap_or(least)
    }

    /// Draws a duration from `least` to `most` milliseconds, inclusive.
    pub fn millis(&mut self, least: u64, most: u64) -> Duration {
        Duration::from_millis(self.between(least, most))
    }

    /// Draws a duration from `least` to `most`, in whole milliseconds.
    pub(super) fn duration(&mut self, least: Duration, most: Duration) -> Duration {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.millis(millis(least), millis(most))
    }

    /// Draws `true` with a probability of `rate` per thousand.
    pub fn chance(&mut self, rate: u32) -> bool {
        self.below(1_000) < u64::from(rate)
    }

    /// Draws one of the items; `None` if there are none.
    pub fn choose<T: Copy>(&mut self, items: &[T]) -> Option<T> {
        let at = self.size(0, items.len().saturating_sub(1));
        items.get(at).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generators_differ_by_actor_and_are_reproducible() {
        let draw = |kind, nth| Rng::new(7, kind, nth).below(u64::MAX);
        assert_eq!(draw(1, 2), draw(1, 2));
        assert_ne!(draw(1, 2), draw(2, 1));
        assert_ne!(draw(1, 2), draw(1, 3));
    }

    #[test]
    fn ranges_are_inclusive() {
        let mut rng = Rng::new(1, 1, 1);
        let drawn: std::collections::BTreeSet<u64> = (0..100).map(|_| rng.between(3, 5)).collect();
        assert_eq!(drawn, [3, 4, 5].into());
        assert_eq!(rng.between(9, 9), 9);
        assert_eq!(rng.below(0), 0);
    }
}
