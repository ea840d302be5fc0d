//! Histories from a seed, for the long runs.

use super::{OP_BYTES, Op, SETUP_BYTES, Setup};

/// A small deterministic random number generator: splitmix64.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Creates the generator of a seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns the next number.
    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// Returns the history of a seed, `length` ops long.
#[must_use]
pub fn generate(seed: u64, length: usize) -> (Setup, Vec<Op>) {
    let mut random = Random::new(seed);
    let mut setup = [0; SETUP_BYTES];
    for chunk in setup.chunks_mut(size_of::<u64>()) {
        for (to, from) in chunk.iter_mut().zip(random.next().to_le_bytes()) {
            *to = from;
        }
    }
    let op = |_| -> [u8; OP_BYTES] { random.next().to_le_bytes() };
    (Setup::from_bytes(setup), (0..length).map(op).map(Op::from_bytes).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_determines_its_history() {
        assert_eq!(generate(7, 100), generate(7, 100));
        assert_ne!(generate(7, 100), generate(8, 100));
    }
}
