//! Session counts by what their clients have in common: an address or a principal.

use std::{collections::HashMap, hash::Hash, sync::Arc};

use crate::sync::Mutex;

/// The number of sessions of each key: at most as many entries as there are sessions.
#[derive(Debug)]
pub(super) struct SessionCounts<K>(Mutex<HashMap<K, usize>>);

/// Counts a session for its key until it is dropped.
#[derive(Debug)]
pub(crate) struct CountPermit<K: Eq + Hash> {
    counts: Arc<SessionCounts<K>>,
    key: K,
}

impl<K> Default for SessionCounts<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Clone + Eq + Hash> SessionCounts<K> {
    /// Counts a session, unless its key has `max` already.
    pub(super) fn try_acquire(self: &Arc<Self>, key: K, max: usize) -> Option<CountPermit<K>> {
        let mut counts = self.0.lock();
        let count = counts.entry(key.clone()).or_default();
        if *count >= max {
            return None;
        }
        *count += 1;
        Some(CountPermit { counts: Arc::clone(self), key })
    }
}

impl<K: Eq + Hash> Drop for CountPermit<K> {
    fn drop(&mut self) {
        let mut counts = self.counts.0.lock();
        if let Some(count) = counts.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.key);
            }
        }
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;

    #[test]
    fn sessions_are_limited_for_each_key() {
        let counts = Arc::new(SessionCounts::default());
        let first = counts.try_acquire("a", 1);
        assert!(first.is_some() && counts.try_acquire("a", 1).is_none());
        assert!(counts.try_acquire("b", 1).is_some());
        drop(first);
        assert!(counts.try_acquire("a", 1).is_some());
        assert!(counts.0.lock().is_empty());
    }
}
