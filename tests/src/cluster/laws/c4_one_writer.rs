//! C4: after a claim nothing is accepted of an earlier epoch, and nobody takes for committed what the
//! store did not accept.

use std::collections::BTreeMap;

use rejoin_core::cluster::{EntryId, NodeId};

use crate::cluster::names::SessionNo;

/// The writers of sessions.
#[derive(Debug, Default)]
pub(in crate::cluster) struct OneWriter {
    accepted: BTreeMap<(SessionNo, EntryId), Vec<NodeId>>,
    last: BTreeMap<SessionNo, EntryId>,
}

impl OneWriter {
    /// Checks an entry that the store has accepted.
    pub(in crate::cluster) fn check_accepted(
        &mut self,
        session: SessionNo,
        id: EntryId,
        writer: NodeId,
        has_forgotten: bool,
    ) -> Result<(), String> {
        self.accepted.entry((session, id)).or_default().push(writer);
        match self.last.insert(session, id) {
            Some(last) if last >= id && !has_forgotten => {
                Err(format!("law C4 (one writer): {id} of session {session} after {last}"))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Checks an entry that its writer takes for committed.
    pub(in crate::cluster) fn check_committed(
        &self,
        session: SessionNo,
        id: EntryId,
        writer: NodeId,
    ) -> Result<(), String> {
        let writers = self.accepted.get(&(session, id));
        if writers.is_some_and(|writers| writers.contains(&writer)) {
            return Ok(());
        }
        Err(format!(
            "law C4 (one writer): {id} of session {session} was not accepted from {writer}"
        ))
    }
}
