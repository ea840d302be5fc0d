//! Tombstones of ended request streams.

use alloc::{boxed::Box, collections::VecDeque, vec::Vec};

use crate::{Instant, RequestId, capacity};

/// What remains of an ended request stream after retention.
#[derive(Debug)]
pub(crate) struct Tombstone {
    pub(crate) number: u64,
    pub(crate) last: u64,
    pub(crate) missed_through: u64,
    pub(crate) responses: Responses,
    /// When it expires; [`Instant::MAX`] is never.
    pub(crate) deadline: Instant,
}

/// The responses of an ended stream, for which a late client may still wait. Busy sessions have
/// many tombstones, so the usual case is small.
#[derive(Debug)]
pub(crate) enum Responses {
    /// None: the stream was cancelled.
    Cancelled,
    /// The response to this request, which was the last event.
    Last(RequestId),
    /// The index of each response, ascending, and the request.
    Several(Box<[(u64, RequestId)]>),
}

impl Tombstone {
    pub(crate) fn was_cancelled(&self) -> bool {
        matches!(self.responses, Responses::Cancelled)
    }

    /// Returns how many requests it counts for.
    pub(crate) fn weight(&self) -> usize {
        match &self.responses {
            Responses::Cancelled | Responses::Last(_) => 1,
            Responses::Several(responses) => responses.len().max(1),
        }
    }

    /// Iterates over the responses, by index.
    pub(crate) fn responses(&self) -> impl Iterator<Item = (u64, &RequestId)> {
        let (last, several) = match &self.responses {
            Responses::Cancelled => (None, &[][..]),
            Responses::Last(id) => (Some((self.last, id)), &[][..]),
            Responses::Several(responses) => (None, &responses[..]),
        };
        last.into_iter().chain(several.iter().map(|(index, id)| (*index, id)))
    }
}

impl Responses {
    /// Returns the responses of a stream that was not cancelled, with its last index.
    pub(crate) fn new(responses: impl IntoIterator<Item = (u64, RequestId)>, last: u64) -> Self {
        let mut responses = responses.into_iter();
        match (responses.next(), responses.next()) {
            (Some((index, id)), None) if index == last => Self::Last(id),
            (first, second) => {
                let several = first.into_iter().chain(second).chain(responses);
                let mut several: Vec<_> = several.collect();
                several.sort_unstable();
                Self::Several(several.into())
            }
        }
    }
}

/// All tombstones of a session, by deadline, which is usually the order of creation.
///
/// Lookups are rare: only a client that resumes an ended stream needs one. So there is no index by
/// stream number, which would take as much memory again: a lookup takes linear time.
#[derive(Debug, Default)]
pub(crate) struct Tombstones {
    queue: VecDeque<Tombstone>,
    weight: usize,
}

impl Tombstones {
    /// Returns how many responses the tombstones count for.
    pub(crate) fn weight(&self) -> usize {
        self.weight
    }

    pub(crate) fn get(&self, number: u64) -> Option<&Tombstone> {
        self.queue.iter().find(|tombstone| tombstone.number == number)
    }

    /// Returns when the first tombstone expires; [`Instant::MAX`] is never.
    #[inline]
    pub(crate) fn deadline(&self) -> Instant {
        self.queue.front().map_or(Instant::MAX, |first| first.deadline)
    }

    /// Adds a tombstone. Usually it expires last, unless the session was restored with another
    /// timeout.
    pub(crate) fn add(&mut self, tombstone: Tombstone) {
        self.weight += tombstone.weight();
        let is_last = self.queue.back().is_none_or(|last| last.deadline <= tombstone.deadline);
        if is_last {
            self.queue.push_back(tombstone);
        } else {
            let position = self.queue.partition_point(|it| it.deadline <= tombstone.deadline);
            self.queue.insert(position, tombstone);
        }
    }

    pub(crate) fn remove(&mut self, number: u64) -> Option<Tombstone> {
        let position = self.queue.iter().position(|tombstone| tombstone.number == number)?;
        let tombstone = self.queue.remove(position)?;
        self.on_removed(&tombstone);
        Some(tombstone)
    }

    /// Makes the tombstone of a stream, if it has one, that of a cancelled stream.
    #[cfg(feature = "serde")]
    pub(crate) fn cancel(&mut self, number: u64) {
        if let Some(tombstone) = self.queue.iter_mut().find(|it| it.number == number) {
            self.weight -= tombstone.weight();
            tombstone.responses = Responses::Cancelled;
            self.weight += tombstone.weight();
        }
    }

    pub(crate) fn remove_first(&mut self) {
        if let Some(first) = self.queue.pop_front() {
            self.on_removed(&first);
        }
    }

    /// Iterates over the tombstones, by deadline.
    #[cfg(feature = "serde")]
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Tombstone> {
        self.queue.iter()
    }

    fn on_removed(&mut self, tombstone: &Tombstone) {
        self.weight -= tombstone.weight();
        capacity::shrink_deque(&mut self.queue);
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use core::time::Duration;

    use super::*;

    fn tombstone(number: u64, responses: Responses) -> Tombstone {
        Tombstone { number, last: 7, missed_through: 0, responses, deadline: Instant::MAX }
    }

    #[test]
    fn is_removed_by_number_or_in_the_order_of_creation() {
        let mut tombstones = Tombstones::default();
        for number in [4, 2, 9] {
            tombstones.add(tombstone(number, Responses::Cancelled));
        }
        assert_eq!(tombstones.remove(2).map(|removed| removed.number), Some(2));
        assert!(tombstones.remove(2).is_none());
        tombstones.remove_first();
        assert!(tombstones.get(4).is_none());
        assert!(tombstones.get(9).is_some());
        assert_eq!(tombstones.weight(), 1);
    }

    #[test]
    fn the_first_one_to_expire_is_removed_first() {
        let mut tombstones = Tombstones::default();
        for (number, seconds) in [(1, 5), (2, 9), (3, 7), (4, 7)] {
            let deadline = Instant::new(Duration::from_secs(seconds));
            tombstones.add(Tombstone { deadline, ..tombstone(number, Responses::Cancelled) });
        }
        let order: Vec<u64> = tombstones.queue.iter().map(|it| it.number).collect();
        assert_eq!(order, [1, 3, 4, 2]);
    }

    #[test]
    fn responses_are_ordered_by_index_in_either_form() {
        for responses in [
            vec![],
            vec![(7, RequestId::from(1))],
            vec![(6, RequestId::from(1))],
            vec![(7, RequestId::from(1)), (3, RequestId::from(2))],
        ] {
            let tombstone = tombstone(0, Responses::new(responses.clone(), 7));
            let found: Vec<_> =
                tombstone.responses().map(|(index, id)| (index, id.clone())).collect();
            let mut sorted = responses;
            sorted.sort_unstable();
            assert_eq!(found, sorted);
            assert_eq!(tombstone.weight(), sorted.len().max(1));
        }
    }
}
