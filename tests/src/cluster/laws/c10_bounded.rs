//! C10: what the store and the nodes keep of a session is bounded, and removed after its last use.

use crate::cluster::Cluster;
use crate::cluster::names::{NodeNo, SessionNo};
use crate::cluster::store::Content;

/// Records that a store may have besides whole sessions, in bytes.
const RECORDS_BYTES: usize = 256 << 10;

/// Records that may wait at a node, in bytes.
const PENDING_BYTES: usize = 4 << 20;

impl Cluster {
    /// Checks what is kept of a session before its owner writes another entry of some bytes.
    pub(in crate::cluster) fn check_bounded(
        &mut self,
        node: NodeNo,
        session: SessionNo,
    ) -> Result<(), String> {
        let Some(owned) = self.owned(node, session) else { return Ok(()) };
        let (pending, largest, has_lost_trim) =
            (owned.pending_bytes, owned.largest_batch, owned.has_lost_trim);
        if pending > PENDING_BYTES + owned.largest_record {
            return Err(format!("law C10 (bounded): {pending} bytes of session {session} wait"));
        }
        if has_lost_trim {
            return Ok(());
        }
        let entries: Vec<_> = self.store.entries(session).collect();
        let wholes = entries.iter().filter(|entry| matches!(entry.content, Content::Whole(_)));
        let whole = wholes.map(|entry| entry.bytes).max().unwrap_or(0);
        let stored: usize = entries.iter().map(|entry| entry.bytes).sum();
        let bound = 2 * whole.max(RECORDS_BYTES) + 2 * largest;
        if stored > whole + bound {
            return Err(format!(
                "law C10 (bounded): the store has {stored} bytes of session {session}, more than {bound}"
            ));
        }
        Ok(())
    }

    /// Checks that nothing is left, once every session has lapsed.
    pub(in crate::cluster) fn check_nothing_left(&mut self) -> Result<(), String> {
        let stored = self.store.sessions(self.now);
        let held: Vec<(SessionNo, NodeNo)> = (0..self.nodes.len())
            .filter_map(|no| Some((no, self.nodes.get(no)?)))
            .flat_map(|(no, node)| node.sessions.keys().map(move |session| (*session, no)))
            .collect();
        if stored.is_empty() && held.is_empty() {
            return Ok(());
        }
        let states = held.iter().map(|(session, no)| {
            let owned = self.nodes.get(*no).and_then(|node| node.sessions.get(session));
            owned.map(|owned| (owned.is_closed, owned.session.deadline(), &owned.tenure))
        });
        let states: Vec<_> = states.collect();
        Err(format!(
            "law C10 (bounded): the store has sessions {stored:?}, nodes have {held:?}: {states:?}"
        ))
    }
}
