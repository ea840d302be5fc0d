//! C7: a session whose owner has died is served again within the time of a lease, and half a second.

use std::collections::BTreeMap;
use std::time::Duration;

use rejoin_core::Instant;
use rejoin_core::cluster::NodeId;

/// When nodes have died.
#[derive(Debug, Default)]
pub(in crate::cluster) struct InTime(BTreeMap<NodeId, Instant>);

/// Time within which a session is taken over: that of a lease, and half a second.
const TIME: Duration = Duration::from_millis(2_000);

impl InTime {
    /// Notes that a node has died.
    pub(in crate::cluster) fn on_killed(&mut self, node: NodeId, now: Instant) {
        self.0.insert(node, now);
    }

    /// Checks how long a request has waited from when its owner died, or it was sent. Returns whether
    /// there was something to check.
    pub(in crate::cluster) fn check_served(
        &self,
        owner: NodeId,
        sent_at: Instant,
        disturbed_at: Option<Instant>,
        now: Instant,
    ) -> Result<bool, String> {
        let Some(died_at) = self.0.get(&owner) else { return Ok(false) };
        let began_at = sent_at.max(*died_at);
        // Nodes connect again after a disturbance, and take nothing over for twice the time of a lease.
        let settles = Duration::from_secs(8);
        if disturbed_at.is_some_and(|at| at.saturating_add(settles) >= began_at) {
            return Ok(false);
        }
        let took = now.since(began_at);
        if took > TIME {
            return Err(format!("law C7 (takeover in time): it took {took:?}"));
        }
        Ok(true)
    }
}
