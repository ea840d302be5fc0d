//! Owners of sessions, as this process knows them: so that not every request asks the store.

use std::collections::HashMap;

use parking_lot::Mutex;
use rejoin_core::cluster::NodeId;

use crate::SessionId;

/// The owners of the sessions that were asked for last.
#[derive(Debug, Default)]
pub(super) struct Owners(Mutex<Generations>);

/// Two maps of at most [`GENERATION_MAX`] each: when the new one is full, it takes the place of the old
/// one.
#[derive(Debug, Default)]
struct Generations {
    new: HashMap<SessionId, NodeId>,
    old: HashMap<SessionId, NodeId>,
}

/// Maximum number of sessions in a generation.
const GENERATION_MAX: usize = 50_000;

impl Owners {
    pub(super) fn get(&self, session: SessionId) -> Option<NodeId> {
        let mut generations = self.0.lock();
        if let Some(owner) = generations.new.get(&session) {
            return Some(*owner);
        }
        let owner = generations.old.remove(&session)?;
        generations.insert(session, owner);
        Some(owner)
    }

    pub(super) fn insert(&self, session: SessionId, owner: NodeId) {
        self.0.lock().insert(session, owner);
    }

    pub(super) fn remove(&self, session: SessionId) {
        let mut generations = self.0.lock();
        generations.new.remove(&session);
        generations.old.remove(&session);
    }
}

impl Generations {
    fn insert(&mut self, session: SessionId, owner: NodeId) {
        if self.new.len() >= GENERATION_MAX {
            self.old = std::mem::take(&mut self.new);
        }
        self.new.insert(session, owner);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sessions_that_were_asked_for_last_are_known() {
        let owners = Owners::default();
        let (used, unused) = (SessionId::random(), SessionId::random());
        owners.insert(used, NodeId(1));
        owners.insert(unused, NodeId(2));
        for _ in 0..3 {
            for _ in 0..GENERATION_MAX {
                owners.insert(SessionId::random(), NodeId(3));
            }
            assert_eq!(owners.get(used), Some(NodeId(1)));
        }
        assert_eq!(owners.get(unused), None);
        let known = owners.0.lock();
        assert!(known.new.len().max(known.old.len()) <= GENERATION_MAX);
        drop(known);
        owners.remove(used);
        assert_eq!(owners.get(used), None);
    }
}
