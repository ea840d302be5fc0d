//! What a soak of several nodes has found.

use std::collections::BTreeMap;
use std::fmt;

use super::judge::{Judge, Violation};
use super::nodes::Use;
use super::store::StoreUse;

/// What a soak has found.
#[derive(Debug)]
pub struct ClusterReport {
    /// The number of violations of each kind.
    pub violations: BTreeMap<Violation, u64>,
    counts: Vec<(&'static str, u64)>,
    samples: Vec<Sample>,
}

/// The idle nodes and the store after a round.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub(super) nodes: Vec<Use>,
    pub(super) store: StoreUse,
}

/// The node that is paused only, so that what it uses can be compared between rounds.
pub(super) const SURVIVOR: usize = 0;
/// Rounds after which memory may not grow much more.
const WARM_UP_ROUNDS: usize = 1;
/// The least of so many last rounds counts, because an allocator returns memory late.
const LAST_ROUNDS: usize = 3;
/// Growth of the memory of a node over all rounds, for which the noise of an allocator suffices.
const GROWTH_MAX: u64 = 12 << 20;
/// Descriptors beyond those after the first rounds: a link in each direction to each other node, and
/// connections to the store.
const MORE_DESCRIPTORS_MAX: usize = 6;

/// What a report lists.
const COUNTS: [&str; 36] = [
    "faults: kill",
    "faults: terminate",
    "faults: pause",
    "faults: machine is overloaded",
    "faults: store restarts",
    "faults: store restarts empty",
    "faults: store is away",
    "faults: store is flushed",
    "sessions",
    "sessions: ended with their server",
    "sessions: lost with the store and their owner",
    "initialize: refused",
    "initialize: failed",
    "initialize: no response",
    "calls",
    "calls: executed",
    "calls: answered",
    "calls: failed",
    "calls: response lost",
    "calls: refused",
    "calls: refused without a fault",
    "calls: session not found",
    "calls: 502",
    "calls: not sent",
    "calls: connection lost before the response",
    "calls: no event id",
    "calls: lost with the store and the owner",
    "questions",
    "events",
    "events: of a new server",
    "events: read again",
    "events: on a connection that was replaced",
    "resumes",
    "resumes: refused",
    "connections: cut by the client",
    "connections: silent",
];

impl ClusterReport {
    pub(super) fn new(judge: &Judge, samples: &[Sample]) -> Self {
        let counts = COUNTS.iter().map(|kind| (*kind, judge.hits(kind))).collect();
        Self { violations: judge.found(), counts, samples: samples.to_vec() }
    }

    /// Returns whether there was no violation.
    #[must_use]
    pub fn is_fine(&self) -> bool {
        self.violations.is_empty()
    }

    /// Returns how often something has happened that the report lists.
    #[must_use]
    pub fn count(&self, kind: &str) -> u64 {
        self.counts.iter().find(|(listed, _)| *listed == kind).map_or(0, |(_, count)| *count)
    }

    /// Returns one line.
    #[must_use]
    pub fn summary(&self) -> String {
        let last = self.samples.last().map(Sample::to_string).unwrap_or_default();
        format!(
            "{} rounds, {} sessions, {} calls, {} events, {} resumes; violations: {:?}; idle: {last}",
            self.samples.len(),
            self.count("sessions"),
            self.count("calls"),
            self.count("events"),
            self.count("resumes"),
            self.violations,
        )
    }
}

/// Checks that the node that has lived through all rounds does not grow.
pub(super) fn check_growth(judge: &Judge, samples: &[Sample]) {
    let warm = samples.get(WARM_UP_ROUNDS..).unwrap_or_default();
    let mut uses = warm.iter().filter_map(|sample| sample.nodes.get(SURVIVOR));
    let Some(before) = uses.next() else { return };
    let ends: Vec<&Use> = uses.rev().take(LAST_ROUNDS).collect();
    let least = |of: fn(&Use) -> u64| ends.iter().map(|node| of(node)).min().unwrap_or(0);
    let bytes = least(|node| node.memory_bytes);
    if bytes > before.memory_bytes + GROWTH_MAX {
        let what = format!("memory has grown from {} to {bytes} bytes", before.memory_bytes);
        judge.report(Violation::Leak, &what);
    }
    let open = ends.iter().map(|node| node.descriptors).min().unwrap_or(0);
    if open > before.descriptors + MORE_DESCRIPTORS_MAX {
        let what = format!("{open} descriptors are open, {} before", before.descriptors);
        judge.report(Violation::Leak, &what);
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for node in &self.nodes {
            let Use { memory_bytes, descriptors, children } = node;
            write!(f, "{} KiB/{descriptors}/{children} ", memory_bytes >> 10)?;
        }
        write!(f, "(memory/descriptors/children of each node); {}", self.store)
    }
}

impl fmt::Display for ClusterReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (kind, count) in &self.counts {
            writeln!(f, "{count:>8}  {kind}")?;
        }
        for (round, sample) in self.samples.iter().enumerate() {
            writeln!(f, "round {round}: {sample}")?;
        }
        write!(f, "violations: {:?}", self.violations)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn violations(kibibytes: &[u64], descriptors: usize) -> u64 {
        let samples: Vec<Sample> = (kibibytes.iter().zip(0..))
            .map(|(kibibytes, round)| {
                let descriptors = if round > 1 { descriptors } else { 20 };
                let memory_bytes = kibibytes << 10;
                let node = Use { memory_bytes, descriptors, children: 1 };
                Sample { nodes: vec![node], store: StoreUse::default() }
            })
            .collect();
        let judge = Judge::new();
        check_growth(&judge, &samples);
        judge.found().values().sum()
    }

    #[tokio::test]
    async fn node_must_not_grow() {
        assert_eq!(violations(&[20_000, 30_000, 45_000, 31_000, 60_000], 22), 0);
        assert_eq!(violations(&[20_000, 30_000, 45_000, 45_000, 45_000], 22), 1);
        assert_eq!(violations(&[20_000, 30_000, 30_000, 30_000, 30_000], 40), 1);
        assert_eq!(violations(&[], 20), 0);
    }
}
