//! Memory of a soaked server, which must not grow with the number of sessions.

use std::fmt;

use anyhow::{Result, ensure};

use crate::soak::IdleSample;

/// The memory of an idle server between rounds, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Memory {
    first: u64,
    median: u64,
    last: u64,
}

/// Rounds that are skipped while threads, buffers and tables reach their final sizes.
const WARM_UP_ROUNDS: usize = 3;
/// The growth allowed between one part and the next: less than the smallest object kept for a
/// session, plus the noise of an allocator that returns whole pages.
const BETWEEN_PARTS: Growth = Growth { session_bytes: 256, bytes: 32 << 10 };
/// The growth allowed from the median of the first part to the minimum of the last.
const OVERALL: Growth = Growth { session_bytes: 1 << 10, bytes: 1 << 20 };
/// Number of parts that the rounds are divided into.
const PARTS: usize = 4;
/// Minimum number of rounds.
pub(crate) const ROUNDS_MIN: usize = WARM_UP_ROUNDS + 2 * PARTS;

/// Checks that memory does not grow with the number of sessions.
///
/// A leak grows in each part. What the allocator needs for peak usage grows in rare steps, and is
/// returned in others. A leak grows in steps, too, while it fills holes, but is large in the end,
/// and never returned.
pub(crate) fn check(samples: &[IdleSample]) -> Result<()> {
    let warm = samples.get(WARM_UP_ROUNDS..).unwrap_or_default();
    let parts = warm.rchunks_exact((warm.len() / PARTS).max(1)).take(PARTS);
    let last_part = parts.clone().next().unwrap_or_default();
    let medians: Vec<Medians> = parts
        .rev()
        .map(|part| Medians {
            sessions: median(part, |sample| sample.sessions),
            bytes: median(part, |sample| sample.memory_bytes),
        })
        .collect();
    let mut pairs = medians.iter().zip(medians.iter().skip(1));
    let is_growing =
        medians.len() == PARTS && pairs.all(|(one, next)| BETWEEN_PARTS.is_exceeded(*one, *next));
    let lowest = last_part.iter().map(|sample| sample.memory_bytes).min().unwrap_or_default();
    let ends = medians.first().zip(medians.last());
    let has_grown = ends.is_some_and(|(first, last)| {
        OVERALL.is_exceeded(*first, Medians { bytes: lowest, ..*last })
    });
    ensure!(!is_growing && !has_grown, "memory has grown: {medians:?}");
    Ok(())
}

/// The medians of some rounds.
#[derive(Clone, Copy, Debug)]
struct Medians {
    sessions: u64,
    bytes: u64,
}

/// Growth in bytes, per session and in total.
#[derive(Clone, Copy, Debug)]
struct Growth {
    session_bytes: u64,
    bytes: u64,
}

impl Growth {
    /// Returns whether memory has grown by more than this.
    fn is_exceeded(self, before: Medians, after: Medians) -> bool {
        let allowed = self.bytes + (after.sessions - before.sessions) * self.session_bytes;
        after.bytes > before.bytes + allowed
    }
}

fn median(samples: &[IdleSample], of: impl Fn(&IdleSample) -> u64) -> u64 {
    let mut numbers: Vec<u64> = samples.iter().map(of).collect();
    numbers.sort_unstable();
    numbers.get(numbers.len() / 2).copied().unwrap_or_default()
}

impl Memory {
    pub(crate) fn of(samples: &[IdleSample]) -> Self {
        let bytes = |sample: Option<&IdleSample>| sample.map_or(0, |sample| sample.memory_bytes);
        let median = median(samples, |sample| sample.memory_bytes);
        Self { first: bytes(samples.first()), median, last: bytes(samples.last()) }
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { first, median, last } = self;
        let [first, median, last] = [first, median, last].map(|bytes| bytes >> 10);
        write!(
            f,
            "{first} KiB after the first round, median {median} KiB, {last} KiB after the last"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: u64 = 1 << 10;

    /// Returns the failure if the memory after rounds of a thousand sessions each has these
    /// sizes, in KiB.
    fn failure(kibibytes: &[u64]) -> String {
        let sample = |(kibibytes, round): (&u64, u64)| IdleSample {
            sessions: round * 1_000,
            memory_bytes: kibibytes * KIB,
            descriptors: 12,
            children: 1,
        };
        let samples: Vec<IdleSample> = kibibytes.iter().zip(1..).map(sample).collect();
        check(&samples).map_or_else(|failure| failure.to_string(), |()| "nothing".to_owned())
    }

    #[test]
    fn memory_may_fluctuate() {
        assert_eq!(
            failure(&[
                4_000, 9_000, 9_500, 10_000, 14_000, 9_000, 9_000, 10_500, 9_000, 9_500, 9_800
            ]),
            "nothing"
        );
    }

    #[test]
    fn memory_may_grow_in_steps() {
        let stepped = |round| if round < 12 { 19_836 } else { 21_284 };
        assert_eq!(failure(&(0..33).map(stepped).collect::<Vec<_>>()), "nothing");
    }

    #[test]
    fn memory_may_be_returned_late() {
        let peak = |round| if (18..22).contains(&round) { 60_000 } else { 28_000 };
        assert_eq!(failure(&(0..23).map(peak).collect::<Vec<_>>()), "nothing");
    }

    #[test]
    fn memory_must_not_grow_steadily() {
        let grown: Vec<u64> = (0..23).map(|round| 10_000 + round * 500).collect();
        assert!(failure(&grown).contains("memory has grown"));
    }

    #[test]
    fn memory_must_not_grow_far() {
        let grown = |round| if round < 16 { 10_000 } else { 40_000 };
        assert!(failure(&(0..23).map(grown).collect::<Vec<_>>()).contains("memory has grown"));
    }
}
