//! Map for keys that usually arrive in ascending order.

use alloc::collections::{BTreeMap, VecDeque};
use core::iter;

use crate::capacity;

/// A map whose new keys are usually higher than all before, such as numbers that are counted up.
///
/// A new highest key is appended to a deque, where removal leaves a vacant entry. Vacant
/// entries are dropped immediately at both ends, and elsewhere when they outnumber the keys. So,
/// after the search, insertion and removal take amortized constant time; for consecutive numbers,
/// the position is computed instead. Any other key goes into a tree.
#[derive(Debug)]
pub(crate) struct AscendingMap<V> {
    /// Sorted by key; `None` is a vacant entry. The first and the last entry are never vacant.
    entries: VecDeque<(u64, Option<V>)>,
    vacant: usize,
    /// Keys that were lower than the last one of `entries`.
    others: BTreeMap<u64, V>,
}

impl<V: Copy> AscendingMap<V> {
    pub(crate) const fn new() -> Self {
        Self { entries: VecDeque::new(), vacant: 0, others: BTreeMap::new() }
    }

    #[inline]
    pub(crate) fn get(&self, key: u64) -> Option<V> {
        match self.position(key) {
            Ok(position) => self.entries.get(position)?.1,
            Err(_) if self.others.is_empty() => None,
            Err(_) => self.others.get(&key).copied(),
        }
    }

    /// Inserts a value under a new key.
    #[inline]
    pub(crate) fn insert(&mut self, key: u64, value: V) {
        match self.position(key) {
            Ok(position) => {
                if let Some((_, entry)) = self.entries.get_mut(position) {
                    self.vacant -= usize::from(entry.is_none());
                    *entry = Some(value);
                }
            }
            Err(position) if position == self.entries.len() => {
                self.entries.push_back((key, Some(value)));
            }
            Err(_) => {
                self.others.insert(key, value);
            }
        }
    }

    #[inline]
    pub(crate) fn remove(&mut self, key: u64) {
        match self.position(key) {
            Ok(position) => {
                if let Some((_, entry)) = self.entries.get_mut(position) {
                    self.vacant += usize::from(entry.take().is_some());
                    self.drop_vacant();
                }
            }
            Err(_) if self.others.is_empty() => {}
            Err(_) => {
                self.others.remove(&key);
            }
        }
    }

    /// Iterates over the entries, by key.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, V)> {
        let entries = self.entries.iter().filter_map(|(key, value)| Some((*key, (*value)?)));
        merge(entries, self.others.iter().map(|(key, value)| (*key, *value)))
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
    fn position(&self, key: u64) -> Result<usize, usize> {
        let len = self.entries.len();
        let Some((last, _)) = self.entries.back() else { return Err(0) };
        let Some(behind) = last.checked_sub(key) else { return Err(len) };
        // Usually keys are consecutive numbers at consecutive positions: no search is needed.
        if let Ok(behind) = usize::try_from(behind)
            && let Some(position) = (len - 1).checked_sub(behind)
            && let Some((found, _)) = self.entries.get(position)
            && *found == key
        {
            return Ok(position);
        }
        self.entries.binary_search_by_key(&key, |(other, _)| *other)
    }
}

/// Merges two iterators that are sorted by key.
fn merge<V>(
    left: impl Iterator<Item = (u64, V)>,
    right: impl Iterator<Item = (u64, V)>,
) -> impl Iterator<Item = (u64, V)> {
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
                let inserted = match step {
                    Step::Append => Some(model.last_key_value().map_or(0, |(key, _)| key + 1)),
                    // A key is unique.
                    Step::Insert(key) => {
                        Some(u64::from(key)).filter(|key| !model.contains_key(key))
                    }
                    Step::Remove(key) => {
                        map.remove(u64::from(key));
                        model.remove(&u64::from(key));
                        None
                    }
                };
                if let Some(key) = inserted {
                    map.insert(key, value);
                    model.insert(key, value);
                }
                prop_assert!(map.entries.len() <= 2 * model.len() + 1, "vacant entries are dropped");
                let entries: Vec<_> = map.iter().collect();
                let expected: Vec<_> = model.iter().map(|(key, value)| (*key, *value)).collect();
                prop_assert_eq!(entries, expected);
                for key in 0..300 {
                    prop_assert_eq!(map.get(key), model.get(&key).copied());
                }
            }
        }
    }
}
