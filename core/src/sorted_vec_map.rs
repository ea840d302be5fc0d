//! Sorted-vector map for keys that arrive in ascending order.

use alloc::vec::Vec;

use crate::shrink;

/// A map whose new keys are usually higher than all before, backed by a sorted vector.
///
/// A new highest key is pushed at the end; removal leaves a vacant entry. Vacant entries are
/// dropped at once at the end, and elsewhere when they outnumber the keys. So insertion in
/// order and removal take amortised constant time beyond the binary search, which a tree
/// cannot do. A key inserted out of order shifts the vector.
#[derive(Debug)]
pub(crate) struct SortedVecMap<K, V> {
    /// Sorted by key; `None` is a vacant entry. The last entry is never vacant.
    entries: Vec<(K, Option<V>)>,
    vacant: usize,
}

/// A key that may be a number, which speeds up its lookup.
pub(crate) trait SortedKey: Clone + Ord {
    /// Returns the number, if it is one. Numbers must be ordered like their keys.
    fn as_number(&self) -> Option<u64>;
}

impl SortedKey for u64 {
    fn as_number(&self) -> Option<u64> {
        Some(*self)
    }
}

impl<K: SortedKey, V> SortedVecMap<K, V> {
    pub(crate) const fn new() -> Self {
        Self { entries: Vec::new(), vacant: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len() - self.vacant
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    #[inline]
    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        let position = self.position(key).ok()?;
        let (_, value) = self.entries.get(position)?;
        value.as_ref()
    }

    /// Inserts a value. Returns the one that it replaces.
    #[inline]
    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        match self.position(&key) {
            Ok(position) => {
                let (_, slot) = self.entries.get_mut(position)?;
                let replaced = slot.replace(value);
                self.vacant -= usize::from(replaced.is_none());
                replaced
            }
            Err(position) => {
                if position == self.entries.len() {
                    self.entries.push((key, Some(value)));
                } else {
                    self.entries.insert(position, (key, Some(value)));
                }
                None
            }
        }
    }

    #[inline]
    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        let position = self.position(key).ok()?;
        let (_, value) = self.entries.get_mut(position)?;
        let removed = value.take();
        self.vacant += usize::from(removed.is_some());
        if self.vacant > 0 {
            self.compact();
        }
        removed
    }

    /// Iterates over the entries, by key.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.entries.iter().filter_map(|(key, value)| Some((key, value.as_ref()?)))
    }

    fn compact(&mut self) {
        while let Some((_, None)) = self.entries.last() {
            self.entries.pop();
            self.vacant -= 1;
        }
        if self.vacant > self.entries.len() / 2 {
            self.entries.retain(|(_, value)| value.is_some());
            self.vacant = 0;
        }
        shrink::vec(&mut self.entries);
    }

    /// Returns the position of a key, or where it would be inserted.
    #[inline]
    fn position(&self, key: &K) -> Result<usize, usize> {
        match self.entries.last() {
            Some((last, _)) if last > key => {}
            Some((last, _)) if last == key => return Ok(self.entries.len() - 1),
            Some(_) | None => return Err(self.entries.len()),
        }
        // Usually keys are consecutive numbers at consecutive positions: no search is needed.
        if let Some((first, _)) = self.entries.first()
            && let (Some(first), Some(number)) = (first.as_number(), key.as_number())
            && let Some(position) = number.checked_sub(first)
            && let Ok(position) = usize::try_from(position)
            && let Some((found, _)) = self.entries.get(position)
            && found == key
        {
            return Ok(position);
        }
        self.search(key)
    }

    #[inline(never)]
    fn search(&self, key: &K) -> Result<usize, usize> {
        self.entries.binary_search_by(|(other, _)| other.cmp(key))
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Append,
        Insert(u8),
        Remove(u8),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            Just(Step::Append),
            any::<u8>().prop_map(Step::Insert),
            any::<u8>().prop_map(Step::Remove),
            any::<u8>().prop_map(Step::Remove),
        ]
    }

    proptest! {
        #[test]
        fn behaves_like_a_btree_map(steps in prop::collection::vec(step(), 0..200)) {
            let mut map = SortedVecMap::new();
            let mut model = BTreeMap::new();
            for (value, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Append => {
                        let key = model.last_key_value().map_or(0, |(key, _)| key + 1);
                        prop_assert_eq!(map.insert(key, value), model.insert(key, value));
                    }
                    Step::Insert(key) => {
                        let key = u64::from(key);
                        prop_assert_eq!(map.insert(key, value), model.insert(key, value));
                    }
                    Step::Remove(key) => {
                        let key = u64::from(key);
                        prop_assert_eq!(map.remove(&key), model.remove(&key));
                    }
                }
                prop_assert_eq!(map.len(), model.len());
                prop_assert!(map.entries.len() <= 2 * map.len() + 1, "vacant entries are dropped");
                let entries: Vec<_> = map.iter().map(|(key, value)| (*key, *value)).collect();
                let expected: Vec<_> = model.iter().map(|(key, value)| (*key, *value)).collect();
                prop_assert_eq!(entries, expected);
                for key in 0..300 {
                    prop_assert_eq!(map.get(&key), model.get(&key));
                }
            }
        }
    }
}
