//! Coverage counters: what has happened in simulations.

use std::collections::BTreeMap;
use std::fmt;

use super::Fault;
use crate::stats::Stats;

/// The counters that many simulations must hit, besides those of the faults.
const EXPECTED: [&str; 39] = [
    "simulations",
    "sessions",
    "requests",
    "requests: answered",
    "requests: failed",
    "requests: cancelled",
    "requests: unreachable",
    "requests: expired",
    "requests: session closed",
    "requests: refused",
    "responses: out of order",
    "failures: evicted",
    "failures: expired",
    "failures: orphaned",
    "failures: backend gone",
    "failures: session closed",
    "disconnects: between events",
    "disconnects: stalled",
    "resumes",
    "resumes: refused",
    "gaps",
    "takeovers: request stream",
    "takeovers: standalone stream",
    "cancellations: late",
    "cancellations: before the request",
    "server requests: answered",
    "server requests: failed",
    "server requests: cancelled",
    "messages: rejected as full",
    "messages: sent again",
    "senders: held",
    "senders: released",
    "events received",
    "restarts: with lost records",
    "restarts: with pending requests",
    "requests: refused by a session that drains",
    "drains: at once",
    "drains: after a wait",
    "drains: at the timeout",
];

/// The number of hits of each counter.
#[derive(Clone, Debug, Default)]
pub struct Coverage {
    counts: BTreeMap<&'static str, u64>,
    /// Accepted and rejected inputs, actions and events, by kind.
    pub stats: Stats,
}

impl Coverage {
    /// Counts a fault that had an effect.
    pub fn hit_fault(&mut self, fault: Fault) {
        self.hit(fault.name());
    }

    /// Counts a hit.
    pub fn hit(&mut self, kind: &'static str) {
        *self.counts.entry(kind).or_default() += 1;
    }

    /// Returns the number of hits.
    #[must_use]
    pub fn hits(&self, kind: &str) -> u64 {
        self.counts.get(kind).copied().unwrap_or(0)
    }

    /// Adds the counts of another simulation.
    pub fn merge(&mut self, other: &Self) {
        for (kind, count) in &other.counts {
            *self.counts.entry(kind).or_default() += count;
        }
        self.stats.merge(&other.stats);
    }

    /// Returns those of some counters that were never hit.
    #[must_use]
    pub fn never_hit(&self, kinds: &[&'static str]) -> Vec<&'static str> {
        kinds.iter().copied().filter(|kind| self.hits(kind) == 0).collect()
    }

    /// Returns the expected counters that were never hit.
    pub fn missing(&self) -> impl Iterator<Item = &'static str> {
        let own = EXPECTED.into_iter().chain(Fault::names()).filter(|kind| self.hits(kind) == 0);
        own.chain(self.stats.missing().filter(|kind| !RARE.contains(kind)))
    }
}

/// Counters that simulations may never hit, although histories do: a failure before the last
/// few events of its stream, which is not sent with them; what follows the loss of a backend, and a
/// commit that no driver reports.
const RARE: [&str; 4] = [
    "sent: orphaned",
    "input: backend lost",
    "report: request ended, backend lost",
    "rejection: committed unrecorded",
];

impl fmt::Display for Coverage {
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
    fn counter_names_are_unique() {
        let mut kinds: Vec<&str> = EXPECTED.into_iter().chain(Fault::names()).collect();
        let count = kinds.len();
        kinds.sort_unstable();
        kinds.dedup();
        assert_eq!(kinds.len(), count);
    }

    #[test]
    fn missing_lists_counters_without_hits() {
        let mut coverage = Coverage::default();
        let all = coverage.missing().count();
        coverage.hit("simulations");
        coverage.hit_fault(Fault::ClockBack);
        assert_eq!(coverage.missing().count(), all - 2);
        assert_eq!(coverage.hits("simulations"), 1);
    }
}
