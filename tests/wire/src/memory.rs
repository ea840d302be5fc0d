//! Memory of a server that is soaked: whether it grows with the sessions that it has had.

use std::fmt;

use anyhow::{Result, ensure};

use crate::soak::Rest;

/// The memory of a server between rounds, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Memory {
    first: u64,
    median: u64,
    last: u64,
}

/// How many rounds are left out, in which threads, buffers and tables become as large as
/// they are needed.
const WARMING_ROUNDS: usize = 3;
/// How much more there may be in one part of the time than in the one before: less than the
/// smallest thing that is kept for a session, and what goes up and down, as the allocator
/// gives back whole pages.
const BETWEEN_PARTS: Growth = Growth { session_bytes: 256, bytes: 32 << 10 };
/// How much more there may be in the end, if there is not more all the time.
const IN_THE_END: Growth = Growth { session_bytes: 1 << 10, bytes: 1 << 20 };
/// Into how many parts the rounds are cut.
const PARTS: usize = 4;
/// How many rounds it takes to tell.
pub(crate) const ROUNDS_MIN: usize = WARMING_ROUNDS + 2 * PARTS;

/// Checks that what is left is not more the more sessions there were.
///
/// What leaks is more in each part of the time than in the one before. What the allocator
/// needs for the most that there was at once comes in steps, and nothing for long between
/// them; what leaks comes likewise as long as it fills holes, but it is much in the end.
pub(crate) fn check(rests: &[Rest]) -> Result<()> {
    let warm = rests.get(WARMING_ROUNDS..).unwrap_or_default();
    let parts = warm.rchunks_exact((warm.len() / PARTS).max(1)).take(PARTS);
    let middles: Vec<Middle> = parts
        .rev()
        .map(|part| Middle {
            sessions: middle(part, |rest| rest.sessions),
            bytes: middle(part, |rest| rest.memory_bytes),
        })
        .collect();
    let mut pairs = middles.iter().zip(middles.iter().skip(1));
    let is_growing =
        middles.len() == PARTS && pairs.all(|(one, next)| BETWEEN_PARTS.is_less(*one, *next));
    let ends = middles.first().zip(middles.last());
    let has_grown = ends.is_some_and(|(first, last)| IN_THE_END.is_less(*first, *last));
    ensure!(!is_growing && !has_grown, "the memory has grown: {middles:?}");
    Ok(())
}

/// What there was in the middle of some rounds.
#[derive(Clone, Copy, Debug)]
struct Middle {
    sessions: u64,
    bytes: u64,
}

/// How many bytes more there may be, for each session between, and for all of them together.
#[derive(Clone, Copy, Debug)]
struct Growth {
    session_bytes: u64,
    bytes: u64,
}

impl Growth {
    /// Returns whether it is less than what there is more.
    fn is_less(self, before: Middle, after: Middle) -> bool {
        let allowed = self.bytes + (after.sessions - before.sessions) * self.session_bytes;
        after.bytes > before.bytes + allowed
    }
}

fn middle(rests: &[Rest], of: impl Fn(&Rest) -> u64) -> u64 {
    let mut numbers: Vec<u64> = rests.iter().map(of).collect();
    numbers.sort_unstable();
    numbers.get(numbers.len() / 2).copied().unwrap_or_default()
}

impl Memory {
    pub(crate) fn of(rests: &[Rest]) -> Self {
        let bytes = |rest: Option<&Rest>| rest.map_or(0, |rest| rest.memory_bytes);
        let median = middle(rests, |rest| rest.memory_bytes);
        Self { first: bytes(rests.first()), median, last: bytes(rests.last()) }
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { first, median, last } = self;
        let [first, median, last] = [first, median, last].map(|bytes| bytes >> 10);
        write!(
            f,
            "{first} KiB after the first round, {median} KiB in the middle, {last} KiB at last"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: u64 = 1 << 10;

    /// What is wrong where the memory after each of some rounds, with a thousand sessions
    /// each, is so many KiB.
    fn wrong(kibibytes: &[u64]) -> String {
        let rest = |(kibibytes, round): (&u64, u64)| Rest {
            sessions: round * 1_000,
            memory_bytes: kibibytes * KIB,
            descriptors: 12,
            children: 1,
        };
        let rests: Vec<Rest> = kibibytes.iter().zip(1..).map(rest).collect();
        check(&rests).map_or_else(|wrong| wrong.to_string(), |()| "nothing".to_owned())
    }

    #[test]
    fn memory_may_go_up_and_down() {
        assert_eq!(
            wrong(&[
                4_000, 9_000, 9_500, 10_000, 14_000, 9_000, 9_000, 10_500, 9_000, 9_500, 9_800
            ]),
            "nothing"
        );
    }

    #[test]
    fn memory_may_grow_in_steps() {
        let stepped = |round| if round < 12 { 19_836 } else { 21_284 };
        assert_eq!(wrong(&(0..33).map(stepped).collect::<Vec<_>>()), "nothing");
    }

    #[test]
    fn memory_may_not_grow_all_the_time() {
        let grown: Vec<u64> = (0..23).map(|round| 10_000 + round * 500).collect();
        assert!(wrong(&grown).contains("the memory has grown"));
    }

    #[test]
    fn memory_may_not_grow_much() {
        let grown = |round| if round < 16 { 10_000 } else { 40_000 };
        assert!(wrong(&(0..23).map(grown).collect::<Vec<_>>()).contains("the memory has grown"));
    }
}
