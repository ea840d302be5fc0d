//! The tally: what worlds brought about.

use std::collections::BTreeMap;
use std::fmt;

use super::faults::Fault;
use crate::stats::Stats;

/// What must be seen at least once in many worlds, besides every fault.
const EXPECTED: [&str; 33] = [
    "worlds",
    "sessions",
    "requests",
    "requests: answered",
    "requests: failed",
    "requests: cancelled",
    "requests: unreachable",
    "requests: expired",
    "requests: session closed",
    "requests: refused",
    "answers: out of order",
    "failures: evicted",
    "failures: expired",
    "failures: orphaned",
    "failures: backend gone",
    "failures: session closed",
    "drops: between two events",
    "drops: stalled",
    "resumes",
    "resumes: refused",
    "replays",
    "gaps",
    "takeovers: request stream",
    "takeovers: standalone stream",
    "cancellations: late",
    "cancellations: before the request",
    "questions: answered",
    "questions: failed",
    "questions: withdrawn",
    "senders: held up",
    "senders: let go on",
    "events seen",
    "restarts: with requests in flight",
];

/// How often each thing was seen.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    counts: BTreeMap<&'static str, u64>,
    /// Accepted and rejected inputs, actions and events, by kind.
    pub stats: Stats,
}

impl Tally {
    /// Notes that a fault was not only drawn, but did something.
    pub fn struck(&mut self, fault: Fault) {
        self.add(fault.name());
    }

    /// Counts something that was seen.
    pub fn add(&mut self, kind: &'static str) {
        *self.counts.entry(kind).or_default() += 1;
    }

    /// Returns how often something was seen.
    #[must_use]
    pub fn count(&self, kind: &str) -> u64 {
        self.counts.get(kind).copied().unwrap_or(0)
    }

    /// Adds what was counted elsewhere.
    pub fn merge(&mut self, other: &Self) {
        for (kind, count) in &other.counts {
            *self.counts.entry(kind).or_default() += count;
        }
        self.stats.merge(&other.stats);
    }

    /// Returns what was expected and not seen.
    pub fn missing(&self) -> impl Iterator<Item = &'static str> {
        let own = EXPECTED.into_iter().chain(Fault::names()).filter(|kind| self.count(kind) == 0);
        own.chain(self.stats.missing().filter(|kind| !RARE.contains(kind)))
    }
}

/// What no world is sure to see, though histories do: a failure that stands before the
/// last few events of its stream, and is not sent with them.
const RARE: [&str; 1] = ["replayed: orphaned"];

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (kind, count) in &self.counts {
            writeln!(f, "{count:>10}  {kind}")?;
        }
        write!(f, "{}", self.stats)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_things_are_counted_as_one() {
        let mut kinds: Vec<&str> = EXPECTED.into_iter().chain(Fault::names()).collect();
        let count = kinds.len();
        kinds.sort_unstable();
        kinds.dedup();
        assert_eq!(kinds.len(), count);
    }

    #[test]
    fn what_was_not_seen_is_missing() {
        let mut tally = Tally::default();
        let all = tally.missing().count();
        tally.add("worlds");
        tally.struck(Fault::Skew);
        assert_eq!(tally.missing().count(), all - 2);
        assert_eq!(tally.count("worlds"), 1);
    }
}
