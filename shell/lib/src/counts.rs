//! Counts of sessions, or of connections, by what they have in common: an address or a principal.

use std::{collections::HashMap, hash::Hash, sync::Arc};

use crate::sync::Mutex;

/// The number of things of each key: at most as many entries as there are things.
#[derive(Debug)]
pub(super) struct Counts<K>(Mutex<HashMap<K, usize>>);

/// Counts a thing for its key until it is dropped.
#[derive(Debug)]
pub(crate) struct CountPermit<K: Eq + Hash> {
    counts: Arc<Counts<K>>,
    key: K,
}

impl<K> Default for Counts<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Clone + Eq + Hash> Counts<K> {
    /// Counts a thing, unless its key has `max` already.
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
    fn things_are_limited_for_each_key() {
        let counts = Arc::new(Counts::default());
        let first = counts.try_acquire("a", 1);
        assert!(first.is_some() && counts.try_acquire("a", 1).is_none());
        assert!(counts.try_acquire("b", 1).is_some());
        drop(first);
        assert!(counts.try_acquire("a", 1).is_some());
        assert!(counts.0.lock().is_empty());
    }
}
