//! Tombstones of ended request streams.

use alloc::collections::VecDeque;

use smallvec::SmallVec;

use crate::{Instant, RequestId, capacity};

/// What remains of an ended request stream after retention.
#[derive(Debug)]
pub(crate) struct Tombstone {
    pub(crate) number: u64,
    pub(crate) was_cancelled: bool,
    pub(crate) last: u64,
    pub(crate) missed_through: u64,
    /// The responses that a late client may still wait for, by index.
    pub(crate) responses: SmallVec<[(u64, RequestId); 1]>,
    /// When it expires; [`Instant::MAX`] is never.
    pub(crate) deadline: Instant,
}

impl Tombstone {
    pub(crate) fn weight(&self) -> usize {
        self.responses.len().max(1)
    }
}

/// All tombstones of a session, in the order of creation, which is that of their deadlines.
#[derive(Debug, Default)]
pub(crate) struct Tombstones {
    /// `None` is a vacant slot. The first slot is never vacant.
    slots: VecDeque<Option<Tombstone>>,
    /// The key of the first slot; the others follow, modulo 2^32.
    first: u32,
    count: usize,
    weight: usize,
}

/// Identifies a tombstone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TombstoneKey(u32);

impl Tombstones {
    /// Returns the total weight: one for each response, and at least one for each tombstone.
    pub(crate) fn weight(&self) -> usize {
        self.weight
    }

    pub(crate) fn get(&self, key: TombstoneKey) -> Option<&Tombstone> {
        self.slots.get(self.position(key))?.as_ref()
    }

    /// Returns when the first tombstone expires; [`Instant::MAX`] is never.
    pub(crate) fn deadline(&self) -> Instant {
        self.slots.front().and_then(Option::as_ref).map_or(Instant::MAX, |first| first.deadline)
    }

    /// Adds a tombstone, which must expire last.
    pub(crate) fn add(&mut self, tombstone: Tombstone) -> TombstoneKey {
        let key = self.key(self.slots.len());
        self.count += 1;
        self.weight += tombstone.weight();
        self.slots.push_back(Some(tombstone));
        key
    }

    pub(crate) fn remove(&mut self, key: TombstoneKey) -> Option<Tombstone> {
        let position = self.position(key);
        let tombstone = self.slots.get_mut(position)?.take()?;
        self.count -= 1;
        self.weight -= tombstone.weight();
        self.trim_front();
        Some(tombstone)
    }

    pub(crate) fn remove_first(&mut self) -> Option<Tombstone> {
        let tombstone = self.slots.pop_front()??;
        self.first = self.first.wrapping_add(1);
        self.count -= 1;
        self.weight -= tombstone.weight();
        self.trim_front();
        Some(tombstone)
    }

    /// Returns whether most slots are vacant.
    pub(crate) fn is_sparse(&self) -> bool {
        self.slots.len() > 2 * self.count
    }

    /// Drops the vacant slots. Returns the new keys, with their stream numbers.
    pub(crate) fn compact(&mut self) -> impl Iterator<Item = (u64, TombstoneKey)> {
        self.slots.retain(Option::is_some);
        capacity::shrink_deque(&mut self.slots);
        let numbers = self.iter().map(|tombstone| tombstone.number);
        numbers.enumerate().map(|(position, number)| (number, self.key(position)))
    }

    /// Iterates over the tombstones, by deadline.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Tombstone> {
        self.slots.iter().flatten()
    }

    fn trim_front(&mut self) {
        while let Some(None) = self.slots.front() {
            self.slots.pop_front();
            self.first = self.first.wrapping_add(1);
        }
        capacity::shrink_deque(&mut self.slots);
    }

    fn position(&self, key: TombstoneKey) -> usize {
        key.0.wrapping_sub(self.first) as usize
    }

    fn key(&self, position: usize) -> TombstoneKey {
        #[expect(clippy::cast_possible_truncation, reason = "more would not fit in memory")]
        let position = position as u32;
        TombstoneKey(self.first.wrapping_add(position))
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    fn tombstone(number: u64) -> Tombstone {
        Tombstone {
            number,
            was_cancelled: false,
            last: 0,
            missed_through: 0,
            responses: SmallVec::new(),
            deadline: Instant::MAX,
        }
    }

    #[test]
    fn keys_stay_valid_while_others_are_removed() {
        let mut tombstones = Tombstones { first: u32::MAX - 1, ..Tombstones::default() };
        let keys: Vec<_> = (0..4).map(|number| tombstones.add(tombstone(number))).collect();
        assert_eq!(tombstones.remove_first().map(|first| first.number), Some(0));
        assert_eq!(tombstones.remove(keys[2]).map(|removed| removed.number), Some(2));
        assert!(tombstones.get(keys[0]).is_none());
        assert!(tombstones.get(keys[2]).is_none());
        assert_eq!(tombstones.get(keys[3]).map(|found| found.number), Some(3));
        assert_eq!(tombstones.remove(keys[1]).map(|removed| removed.number), Some(1));
        assert_eq!((tombstones.weight(), tombstones.slots.len()), (1, 1));
    }

    #[test]
    fn compaction_drops_vacant_slots() {
        let mut tombstones = Tombstones::default();
        let keys: Vec<_> = (0..6).map(|number| tombstones.add(tombstone(number))).collect();
        for key in &keys[1..5] {
            tombstones.remove(*key);
        }
        assert!(tombstones.is_sparse());
        let keys: Vec<_> = tombstones.compact().collect();
        assert_eq!(tombstones.slots.len(), 2);
        for (number, key) in keys {
            assert_eq!(tombstones.get(key).map(|found| found.number), Some(number));
        }
    }
}
