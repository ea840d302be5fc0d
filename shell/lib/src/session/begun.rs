//! The requests of a session that have begun.

use std::sync::Arc;

use rejoin_core::{Instant, RequestId};

use super::capacity::shrink_vec;
use crate::observer::ObservedRequest;

/// A request that has begun.
#[derive(Clone, Debug)]
pub(super) struct Begun {
    pub(super) request: Arc<ObservedRequest>,
    pub(super) at: Instant,
    /// Whether the core has accepted it: its beginning was told.
    pub(super) is_accepted: bool,
}

/// Requests by id: `initialize`, those that are pending in the core, at most its
/// `pending_requests_max`, and those of the POST that it handles.
///
/// A sorted vector: mostly there are few, and it keeps the memory of a few while there are none.
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
        let at = self.find(id).ok()?;
        let begun = self.0.remove(at);
        shrink_vec(&mut self.0);
        Some(begun)
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

#[cfg(test)]
mod tests {
    use rejoin_core::RequestDetails;

    use super::*;
    use crate::session::capacity::CAPACITY_MIN;

    fn begun(id: i64) -> Begun {
        let request = ObservedRequest::new(RequestId::from(id), RequestDetails::default());
        Begun { request: Arc::new(request), at: Instant::default(), is_accepted: false }
    }

    #[test]
    fn requests_are_found_by_id() {
        let mut requests = BegunRequests::default();
        for id in [3, 1, 2] {
            assert!(requests.insert(begun(id)));
        }
        assert!(!requests.insert(begun(2)));
        requests.get_mut(&2.into()).unwrap().is_accepted = true;
        assert!(requests.get(&2.into()).unwrap().is_accepted);
        assert_eq!(requests.remove(&1.into()).unwrap().request.id, 1.into());
        assert!(requests.remove(&1.into()).is_none() && requests.get(&1.into()).is_none());
        let ids: Vec<RequestId> = requests.iter().map(|begun| begun.request.id.clone()).collect();
        assert_eq!(ids, [2.into(), 3.into()]);
    }

    #[test]
    fn the_memory_of_a_burst_is_given_back() {
        let mut requests = BegunRequests::default();
        for id in 0..1_000 {
            requests.insert(begun(id));
        }
        for id in 0..1_000 {
            requests.remove(&id.into());
        }
        assert!(requests.0.capacity() <= CAPACITY_MIN, "{}", requests.0.capacity());
    }
}
