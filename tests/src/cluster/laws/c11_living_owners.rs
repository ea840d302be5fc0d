//! C11: living owners lose nothing: a session is taken over only if its owner is dead, has handed it
//! over, or has let its lease expire.

use std::time::Duration;

use rejoin_core::cluster::{LeaseConfig, NodeId, SessionStatus};

use crate::cluster::Cluster;
use crate::cluster::names::SessionNo;
use crate::cluster::store::Last;

impl Cluster {
    /// Checks a claim that the store has accepted, where `before` was the last entry.
    pub(in crate::cluster) fn check_claim(
        &self,
        session: SessionNo,
        claimer: NodeId,
        before: Option<Last>,
    ) -> Result<(), String> {
        let Some(before) = before else { return Ok(()) };
        if before.status != SessionStatus::Owned || before.owner == claimer {
            return Ok(());
        }
        let Some(owner) = self.nodes.iter().find(|node| node.id == before.owner) else {
            return Ok(());
        };
        if !owner.is_alive {
            return Ok(());
        }
        let fail = |why| {
            Err(format!(
                "law C11 (living owners): session {session} is taken from {}, {why}",
                before.owner
            ))
        };
        if self.store.has_lease(before.owner, self.now) {
            // The claimer asked before the owner came back.
            if owner.leased_at.is_some_and(|at| at.saturating_add(DECISION) <= self.now) {
                return fail("which has a lease");
            }
            return Ok(());
        }
        let is_well = !owner.is_paused && !owner.is_cut_off;
        let grace = self.store.up_since.saturating_add(2 * LeaseConfig::default().ttl);
        if is_well && self.store.starts > 0 && self.now.saturating_add(SLACK) < grace {
            return fail("before it could renew its lease in a store that has forgotten it");
        }
        Ok(())
    }
}

/// Time from the answer that there is no lease until a claim arrives, at most.
const DECISION: Duration = Duration::from_millis(2_500);

/// The difference between clocks in that time.
const SLACK: Duration = Duration::from_millis(200);
