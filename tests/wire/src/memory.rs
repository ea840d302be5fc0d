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
/// By how many bytes it may go up and down: the allocator gives back whole pages.
const PAGES_BYTES: u64 = 32 << 10;
/// By how many bytes for each session, and for all of them together, it may have grown in
/// the end, if not all the time.
const STEP_BYTES: [u64; 2] = [1 << 10, 1 << 20];
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
    let middles: Vec<(u64, u64)> = parts
        .rev()
        .map(|part| (middle(part, |rest| rest.sessions), middle(part, |rest| rest.memory_bytes)))
        .collect();
    let is_growing = middles.len() == PARTS
        && middles.windows(2).all(|pair| grows(pair, SESSION_BYTES, PAGES_BYTES));
    let [session_bytes, bytes] = STEP_BYTES;
    let first_and_last: Vec<_> =
        middles.first().into_iter().chain(middles.last()).copied().collect();
    let has_grown = grows(&first_and_last, session_bytes, bytes);
    ensure!(
        !is_growing && !has_grown,
        "the memory has grown; after so many sessions it had so many bytes: {middles:?}"
    );
    Ok(())
}

/// Returns whether the second of two has more bytes by so many for each session, and some.
fn grows(pair: &[(u64, u64)], session_bytes: u64, bytes: u64) -> bool {
    match pair {
        [(before, earlier), (after, later)] => {
            *later > earlier + bytes + (after - before) * session_bytes
        }
        _ => false,
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
