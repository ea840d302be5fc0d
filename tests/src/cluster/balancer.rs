//! The balancer: chooses the node for each request of a client, and learns late that a node has died.

use std::time::Duration;

use super::Cluster;
use super::names::{ClientNo, NodeNo};
use super::parameters::Balancing;

/// Time after which the balancer has noticed that a node has died.
const NOTICE: Duration = Duration::from_millis(1_500);

impl Cluster {
    /// Chooses a node.
    pub(super) fn balance(&mut self, client: ClientNo) -> NodeNo {
        let count = self.slots.len();
        let first = match self.parameters.balancing {
            Balancing::RoundRobin => self.balanced,
            Balancing::Random => self.rng.size(0, count),
            Balancing::Sticky => client,
        };
        self.balanced += 1;
        let nodes = (0..count).filter_map(|nth| self.slots.get((first + nth) % count.max(1)));
        let known_dead = |node: NodeNo| {
            let died_at = self.nodes.get(node).and_then(|node| node.died_at);
            died_at.is_some_and(|at| at.saturating_add(NOTICE) <= self.now)
        };
        let all: Vec<NodeNo> = nodes.copied().collect();
        let chosen = all.iter().find(|node| !known_dead(**node)).or(all.first());
        chosen.copied().unwrap_or(0)
    }
}
