//! The requests of a session that have begun.

use std::sync::Arc;

use rejoin_core::{Instant, RequestId};

use crate::observer::ObservedRequest;

/// A request that has begun.
#[derive(Clone, Debug)]
pub(super) struct Begun {
    pub(super) request: Arc<ObservedRequest>,
    pub(super) at: Instant,
    /// Whether the core has accepted it: its beginning was told.
    pub(super) is_accepted: bool,
}

/// Requests by id: `initialize`, and those that are pending in the core.
///
/// A sorted vector: mostly there are few, and it keeps its memory while there are none.
#[derive(Debug, Default)]
pub(super) struct BegunRequests(Vec<Begun>);

impl BegunRequests {
    /// Adds a request. Returns `false` if there is one with its id.
    pub(super) fn insert(&mut self, begun: Begun) -> bool {
        let Err(at) = self.find(&begun.request.id) else { return false };
        self.0.insert(at, begun);
        true
    }

    pub(super) fn get(&self, id: &RequestId) -> Option<&Begun> {
        self.0.get(self.find(id).ok()?)
    }

    pub(super) fn get_mut(&mut self, id: &RequestId) -> Option<&mut Begun> {
        let at = self.find(id).ok()?;
        self.0.get_mut(at)
    }

    pub(super) fn remove(&mut self, id: &RequestId) -> Option<Begun> {
        self.find(id).ok().map(|at| self.0.remove(at))
    }

    pub(super) fn iter(&self) -> std::slice::Iter<'_, Begun> {
        self.0.iter()
    }

    fn find(&self, id: &RequestId) -> Result<usize, usize> {
        self.0.binary_search_by(|begun| begun.request.id.cmp(id))
    }
}

impl IntoIterator for BegunRequests {
    type Item = Begun;
    type IntoIter = std::vec::IntoIter<Begun>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}
