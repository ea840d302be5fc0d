//! Hash map for the ids and progress tokens that a client chooses.

use core::hash::Hash;

use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;

use crate::capacity::CAPACITY_MIN;

/// A map for ids of a client, which may be random texts.
///
/// It has no iterator, since its order would depend on the hashes. They need no random seed: a
/// client that chose ids with equal hashes would slow down only its own session, by a search
/// among its pending requests, which are limited.
#[derive(Debug)]
pub(crate) struct IdMap<K, V>(HashMap<K, V, FxBuildHasher>);

impl<K: Eq + Hash, V: Copy> IdMap<K, V> {
    pub(crate) const fn new() -> Self {
        Self(HashMap::with_hasher(FxBuildHasher))
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    #[inline]
    pub(crate) fn contains(&self, id: &K) -> bool {
        self.0.contains_key(id)
    }

    #[inline]
    pub(crate) fn get(&self, id: &K) -> Option<V> {
        self.0.get(id).copied()
    }

    /// Returns the entry, if it is the only one.
    pub(crate) fn sole(&self) -> Option<(&K, V)> {
        let mut entries = self.0.iter();
        let (id, value) = entries.next()?;
        entries.next().is_none().then_some((id, *value))
    }

    /// Inserts a value. Returns whether its id is new.
    pub(crate) fn insert(&mut self, id: K, value: V) -> bool {
        self.0.insert(id, value).is_none()
    }

    pub(crate) fn remove(&mut self, id: &K) -> Option<V> {
        let removed = self.0.remove(id);
        if self.0.capacity() > CAPACITY_MIN && self.0.len() < self.0.capacity() / 4 {
            self.0.shrink_to(self.0.capacity() / 2);
        }
        removed
    }
}

#[cfg(test)]
mod tests {
    use alloc::{format, vec::Vec};

    use super::*;
    use crate::RequestId;

    #[test]
    fn holds_ids_of_both_types_and_releases_memory() {
        let mut map = IdMap::new();
        let text = |nth: i64| RequestId::try_from(format!("id-{nth}").as_str()).unwrap();
        let ids: Vec<RequestId> =
            (0..500).flat_map(|nth| [RequestId::from(nth), text(nth)]).collect();
        for (value, id) in ids.iter().enumerate() {
            assert!(map.insert(id.clone(), value));
            assert_eq!(map.sole().is_some(), value == 0);
        }
        assert!(!map.insert(text(3), 7));
        assert_eq!((map.len(), map.get(&text(3))), (1_000, Some(7)));
        for id in &ids {
            assert!(map.contains(id));
            map.remove(id);
            assert!(!map.contains(id));
        }
        assert!(map.is_empty());
        assert!(map.0.capacity() <= 2 * CAPACITY_MIN, "{}", map.0.capacity());
    }
}
