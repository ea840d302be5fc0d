//! Keyed lists in the order of arrival, searched linearly.

use std::{
    fmt::Debug,
    ops::{Index, IndexMut},
    slice::Iter,
};

/// An item whose key is unique in its table.
pub(super) trait Keyed {
    type Key: Copy + PartialEq + Debug;

    fn key(&self) -> Self::Key;
}

/// A list of keyed items. Indexing it with a missing key is a bug of the model.
#[derive(Clone, Debug)]
pub(super) struct Table<T>(Vec<T>);

impl<T: Keyed> Table<T> {
    pub(super) fn new() -> Self {
        Self(Vec::new())
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn iter(&self) -> Iter<'_, T> {
        self.0.iter()
    }

    pub(super) fn get(&self, key: T::Key) -> Option<&T> {
        self.0.iter().find(|item| item.key() == key)
    }

    pub(super) fn push(&mut self, item: T) {
        self.0.push(item);
    }

    pub(super) fn remove(&mut self, key: T::Key) -> T {
        match self.0.iter().position(|item| item.key() == key) {
            Some(at) => self.0.remove(at),
            None => unreachable!("{key:?} is not in the table"),
        }
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

impl<T: Keyed> Index<T::Key> for Table<T> {
    type Output = T;

    fn index(&self, key: T::Key) -> &T {
        match self.get(key) {
            Some(item) => item,
            None => unreachable!("{key:?} is not in the table"),
        }
    }
}

impl<T: Keyed> IndexMut<T::Key> for Table<T> {
    fn index_mut(&mut self, key: T::Key) -> &mut T {
        match self.0.iter_mut().find(|item| item.key() == key) {
            Some(item) => item,
            None => unreachable!("{key:?} is not in the table"),
        }
    }
}
