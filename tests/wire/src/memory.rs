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
/// By how many bytes for each session the memory may grow: less than the smallest thing
/// that is kept for one.
const SESSION_BYTES: u64 = 256;
/// How many bytes the allocator may keep more of at one time than at another: it gives back
/// whole pages from the end of its heap, and what is free in between goes up and down with
/// what was there last. Those are some tens of KiB.
const ALLOCATOR_BYTES: u64 = 512 << 10;

/// Checks that what is left is not more the more sessions there were.
pub(crate) fn check(rests: &[Rest]) -> Result<()> {
    let warm = rests.get(WARMING_ROUNDS..).unwrap_or_default();
    let quarter = warm.len().div_ceil(4);
    let (first, rest) = warm.split_at(quarter);
    let last = rest.get(rest.len().saturating_sub(quarter)..).unwrap_or_default();
    let (earlier, later) =
        (middle(first, |rest| rest.memory_bytes), middle(last, |rest| rest.memory_bytes));
    let sessions = middle(last, |rest| rest.sessions) - middle(first, |rest| rest.sessions);
    let bound = earlier + ALLOCATOR_BYTES + sessions * SESSION_BYTES;
    ensure!(
        later <= bound,
        "the memory has grown from {earlier} to {later} bytes within {sessions} sessions"
    );
    Ok(())
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
        assert_eq!(wrong(&[4_000, 9_000, 9_500, 10_000, 14_000, 9_000, 9_000, 10_500]), "nothing");
    }

    #[test]
    fn memory_may_not_grow_with_sessions() {
        let grown: Vec<u64> = (0..20).map(|round| 10_000 + round * 500).collect();
        let said = "the memory has grown from 12800000 to 18944000 bytes within 12000 sessions";
        assert_eq!(wrong(&grown), said);
    }
}
