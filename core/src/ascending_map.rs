//! Map for keys that usually arrive in ascending order.

use alloc::collections::{BTreeMap, VecDeque};
use core::iter;

use crate::capacity;

/// A map whose new keys are usually higher than all before, such as numbers that are counted up.
///
/// A new highest key is appended to a deque, where removal leaves a vacant entry. Vacant
/// entries are dropped immediately at both ends, and elsewhere when they outnumber the keys. So,
/// after the search, insertion and removal take amortized constant time; for consecutive numbers,
/// the position is computed instead. Any other key, such as a random text, goes into a tree.
#[derive(Debug)]
pub(crate) struct AscendingMap<K, V> {
    /// Sorted by key; `None` is a vacant entry. The first and the last entry are never vacant.
    entries: VecDeque<(K, Option<V>)>,
    vacant: usize,
    /// Keys that were lower than the last one of `entries`.
    others: BTreeMap<K, V>,
}

/// A key that may be a number, which speeds up its lookup.
pub(crate) trait AscendingKey: Clone + Ord {
    /// Returns the number, if it is one. Numbers must be ordered like their keys.
    fn as_number(&self) -> Option<u64>;
}

impl AscendingKey for u64 {
    fn as_number(&self) -> Option<u64> {
        Some(*self)
    }
}

impl<K: AscendingKey, V> AscendingMap<K, V> {
    pub(crate) const fn new() -> Self {
        Self { entries: VecDeque::new(), vacant: 0, others: BTreeMap::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len() - self.vacant + self.others.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.others.is_empty()
    }

    #[inline]
    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        match self.position(key) {
            Ok(position) => self.entries.get(position)?.1.as_ref(),
            Err(_) if self.others.is_empty() => None,
            Err(_) => self.others.get(key),
        }
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
            Err(position) if position < self.entries.len() => self.others.insert(key, value),
            Err(_) => {
                let replaced = if self.others.is_empty() { None } else { self.others.remove(&key) };
                self.entries.push_back((key, Some(value)));
                replaced
            }
        }
    }

    #[inline]
    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        let Ok(position) = self.position(key) else {
            return if self.others.is_empty() { None } else { self.others.remove(key) };
        };
        let (_, value) = self.entries.get_mut(position)?;
        let removed = value.take()?;
        self.vacant += 1;
        self.drop_vacant();
        Some(removed)
    }

    /// Iterates over the entries, by key.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        let entries = self.entries.iter().filter_map(|(key, value)| Some((key, value.as_ref()?)));
        merge(entries, self.others.iter())
    }

    fn drop_vacant(&mut self) {
        while let Some((_, None)) = self.entries.back() {
            self.entries.pop_back();
            self.vacant -= 1;
        }
        while let Some((_, None)) = self.entries.front() {
            self.entries.pop_front();
            self.vacant -= 1;
        }
        if self.vacant > self.entries.len() / 2 {
            self.entries.retain(|(_, value)| value.is_some());
            self.vacant = 0;
        }
        capacity::shrink_deque(&mut self.entries);
    }

    /// Returns the position of a key among the entries, or where it would be inserted.
    #[inline]
    fn position(&self, key: &K) -> Result<usize, usize> {
        match self.entries.back() {
            Some((last, _)) if last > key => {}
            Some((last, _)) if last == key => return Ok(self.entries.len() - 1),
            Some(_) | None => return Err(self.entries.len()),
        }
        // Usually keys are consecutive numbers at consecutive positions: no search is needed.
        if let Some((first, _)) = self.entries.front()
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

/// Merges two iterators that are sorted by key.
fn merge<'a, K: Ord + 'a, V: 'a>(
    left: impl Iterator<Item = (&'a K, &'a V)>,
    right: impl Iterator<Item = (&'a K, &'a V)>,
) -> impl Iterator<Item = (&'a K, &'a V)> {
    let (mut left, mut right) = (left.peekable(), right.peekable());
    iter::from_fn(move || match (left.peek(), right.peek()) {
        (Some((first, _)), Some((second, _))) if second < first => right.next(),
        (Some(_), _) => left.next(),
        (None, _) => right.next(),
    })
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

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
            let mut map = AscendingMap::new();
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
