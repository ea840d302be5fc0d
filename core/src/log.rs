//! Bounded record of a stream's events.

use alloc::collections::VecDeque;
use core::ops::Range;

use crate::{Failure, FailureReason, RequestId, capacity, skipped::Skipped};

/// Overhead of an event in a log, in bytes, on top of the size of its message.
///
/// It accounts for the log's own memory, so that a byte limit also bounds many small
/// events: at most 96 bytes for each, if `M` itself has up to 32, in a buffer that may be
/// half empty.
pub const EVENT_OVERHEAD_BYTES: usize = 192;

const _: () = assert!(2 * size_of::<Logged<[u64; 4]>>() <= EVENT_OVERHEAD_BYTES);

/// The bounded record of a stream's events, from which a replay is served.
///
/// It does not limit itself: the session evicts from it, by the limits per stream and per
/// session.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "wire::Log<M>"))]
pub struct Log<M> {
    /// Ascending by index; not every index has an event.
    events: VecDeque<Logged<M>>,
    /// The highest allocated index.
    last: u64,
    /// The highest index of an event that was evicted without a failure in its place.
    missed_through: u64,
    /// Number of failures among the events.
    #[cfg_attr(feature = "serde", serde(skip_serializing))]
    failures: usize,
    /// Total cost of the events in bytes; failures cost nothing.
    #[cfg_attr(feature = "serde", serde(skip_serializing))]
    bytes: usize,
    /// Total cost of all events ever appended, in bytes.
    recorded_bytes: u64,
    skipped: Skipped,
}

/// An event in a log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Logged<M> {
    /// Index in its stream.
    pub index: u64,
    /// Number in the session-wide sequence of stream opens, events and stream ends; 0 for the
    /// failures of a revived stream.
    pub sequence: u64,
    /// The message, or the failure in place of a response.
    pub entry: Entry<M>,
    /// The log's `recorded_bytes` before this event.
    recorded_bytes_before: u64,
}

/// The content of an event in a log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Entry<M> {
    /// A message of the backend.
    Message {
        /// The message.
        body: M,
        /// Size in bytes.
        bytes: usize,
        /// Request, response or notification.
        kind: MessageKind,
    },
    /// A placeholder for a response that will never arrive.
    Failure(Failure),
}

impl<M> Entry<M> {
    pub(crate) fn map<N>(&self, message: impl FnOnce(&M) -> N) -> Entry<N> {
        match *self {
            Self::Message { ref body, bytes, ref kind } => {
                Entry::Message { body: message(body), bytes, kind: kind.clone() }
            }
            Self::Failure(ref failure) => Entry::Failure(failure.clone()),
        }
    }

    /// Returns the cost in bytes; a failure costs nothing.
    pub(crate) fn cost(&self) -> usize {
        match self {
            Self::Message { bytes, .. } => cost(*bytes),
            Self::Failure(_) => 0,
        }
    }
}

/// The kind of a message of the backend.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum MessageKind {
    /// A response to this request of the client.
    Response(RequestId),
    /// A server request with this id.
    Request(RequestId),
    /// A notification.
    Notification,
}

/// What was evicted.
#[derive(Debug)]
pub(crate) enum Evicted {
    /// A response, replaced by a failure.
    Response(RequestId),
    /// A server request.
    ServerRequest,
    /// A notification.
    Notification,
}

impl<M> Log<M> {
    pub(crate) const fn new() -> Self {
        Self {
            events: VecDeque::new(),
            last: 0,
            missed_through: 0,
            failures: 0,
            bytes: 0,
            recorded_bytes: 0,
            skipped: Skipped::new(),
        }
    }

    /// Returns an empty log that reuses the buffer of another.
    pub(crate) fn with_buffer(events: VecDeque<Logged<M>>) -> Self {
        Self { events, ..Self::new() }
    }

    /// Drops the events, and returns the empty buffer.
    pub(crate) fn into_buffer(mut self) -> VecDeque<Logged<M>> {
        self.events.clear();
        self.events
    }

    /// Returns the log of a stream that is revived from its tombstone, without events.
    pub(crate) fn revived(last: u64, missed_through: u64) -> Self {
        Self { last, missed_through, ..Self::new() }
    }

    /// Returns the highest allocated index, initially 0.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.last
    }

    /// Returns the highest index of an event that was evicted without a failure in its place,
    /// initially 0.
    ///
    /// A client that resumes after a lower index has missed events.
    #[must_use]
    pub fn missed_through(&self) -> u64 {
        self.missed_through
    }

    /// Returns the first and the last index of the first gap in what a client gets whose next index
    /// is `next`, if it gets no event through `end`, where some were evicted.
    pub(crate) fn gap(&self, next: u64, end: u64) -> Option<(u64, u64)> {
        self.skipped.trim(next, end)
    }

    /// Returns the number of events, excluding failures.
    #[must_use]
    pub fn len(&self) -> usize {
        self.events.len() - self.failures
    }

    /// Returns whether there are no events, or only failures.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the total cost of the events in bytes, excluding failures.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Iterates over the events whose index is in `range`. Finding the first takes logarithmic
    /// time.
    #[must_use = "iterators are lazy and do nothing unless consumed"]
    pub fn range(
        &self,
        range: Range<u64>,
    ) -> impl DoubleEndedIterator<Item = &Logged<M>> + ExactSizeIterator {
        let from = self.position(range.start);
        let to = self.position(range.end).max(from);
        self.events.range(from..to)
    }

    /// Returns the index of the first event whose number is higher than `committed`.
    pub(crate) fn first_uncommitted(&self, committed: u64) -> Option<u64> {
        let position = self.events.partition_point(|logged| logged.sequence <= committed);
        self.events.get(position).map(|logged| logged.index)
    }

    /// Returns the first event at or after `index`.
    pub(crate) fn first_from(&self, index: u64) -> Option<&Logged<M>> {
        self.events.get(self.position(index))
    }

    /// Returns the oldest event whose index is not in `range`, excluding failures.
    #[inline]
    pub(crate) fn oldest_outside(&self, range: Range<u64>) -> Option<&Logged<M>> {
        match self.events.front() {
            Some(Logged { index, entry: Entry::Message { .. }, .. }) if !range.contains(index) => {
                self.events.front()
            }
            Some(_) => self.outside(range).next(),
            None => None,
        }
    }

    /// Iterates over the events whose index is not in `range`, excluding failures.
    pub(crate) fn outside(&self, range: Range<u64>) -> impl Iterator<Item = &Logged<M>> {
        let before = self.events.range(..self.position(range.start));
        let after = self.events.range(self.position(range.end.max(range.start))..);
        let all = before.chain(after);
        all.filter(|logged| matches!(logged.entry, Entry::Message { .. }))
    }

    /// Returns whether all events are before `index`.
    pub(crate) fn ends_before(&self, index: u64) -> bool {
        self.events.back().is_none_or(|last| last.index < index)
    }

    /// Returns whether the log has the event at `index`.
    pub(crate) fn contains(&self, index: u64) -> bool {
        self.first_from(index).is_some_and(|first| first.index == index)
    }

    /// Returns the number of events at or after `index`, and the cost in bytes of all that was
    /// appended since the first of them, evicted events included.
    pub(crate) fn backlog_from(&self, index: u64) -> (usize, u64) {
        let position = self.position(index);
        match self.events.get(position) {
            Some(first) => (
                self.events.len() - position,
                self.recorded_bytes.saturating_sub(first.recorded_bytes_before),
            ),
            None => (0, 0),
        }
    }

    /// Allocates the next index.
    pub(crate) fn allocate_index(&mut self) -> u64 {
        self.last = self.last.saturating_add(1);
        self.last
    }

    /// Allocates all indexes up to `index`.
    pub(crate) fn skip_to(&mut self, index: u64) {
        self.last = self.last.max(index);
    }

    /// Leaves out the next `count` indexes: no event has them.
    pub(crate) fn skip(&mut self, count: u64) {
        let next = self.last.saturating_add(1);
        self.last = self.last.saturating_add(count);
        if next <= self.last {
            self.skipped.add(next..self.last.saturating_add(1));
        }
    }

    /// Returns whether all indexes are allocated.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.last >= u64::MAX - 1
    }

    /// Appends an event at the index that was allocated last. Returns its cost in bytes.
    pub(crate) fn append(&mut self, index: u64, sequence: u64, entry: Entry<M>) -> usize {
        let recorded_bytes_before = self.recorded_bytes;
        let cost = entry.cost();
        self.bytes += cost;
        self.recorded_bytes = self.recorded_bytes.saturating_add(cost as u64);
        self.failures += usize::from(matches!(entry, Entry::Failure(_)));
        if self.events.capacity() == 0 {
            // Most streams have one event, the response: room for four would be wasted.
            self.events.reserve_exact(1);
        }
        self.events.push_back(Logged { index, sequence, entry, recorded_bytes_before });
        cost
    }

    /// Evicts the event at `index`. A response leaves a failure in its place. Returns what was
    /// evicted, and its cost in bytes.
    pub(crate) fn evict(&mut self, index: u64) -> Option<(Evicted, usize)> {
        // Usually the oldest one.
        let is_oldest = self.events.front().is_some_and(|oldest| oldest.index == index);
        let position = if is_oldest { 0 } else { self.position(index) };
        let logged = self.events.get_mut(position).filter(|logged| logged.index == index)?;
        let Entry::Message { bytes, kind, .. } = &logged.entry else {
            return None;
        };
        let cost = cost(*bytes);
        self.bytes -= cost;
        let evicted = match kind {
            MessageKind::Response(id) => {
                let failure = Failure { id: id.clone(), reason: FailureReason::Evicted };
                let evicted = Evicted::Response(id.clone());
                logged.entry = Entry::Failure(failure);
                self.failures += 1;
                return Some((evicted, cost));
            }
            MessageKind::Request(_) => Evicted::ServerRequest,
            MessageKind::Notification => Evicted::Notification,
        };
        self.note_missed(index);
        self.remove(position);
        Some((evicted, cost))
    }

    /// Records that the event at `index` was evicted without a failure in its place.
    pub(crate) fn note_missed(&mut self, index: u64) {
        self.missed_through = self.missed_through.max(index);
    }

    /// Removes the event at `index` without counting it as missed. Returns its cost in bytes.
    pub(crate) fn retract(&mut self, index: u64) -> usize {
        let position = self.position(index);
        let cost = match self.events.get(position) {
            Some(Logged { index: found, entry: Entry::Message { bytes, .. }, .. })
                if *found == index =>
            {
                cost(*bytes)
            }
            Some(_) | None => return 0,
        };
        self.remove(position);
        self.bytes -= cost;
        cost
    }

    /// Returns what `missed_through` would be if all events but the responses were evicted.
    pub(crate) fn missed_through_if_cleared(&self) -> u64 {
        let last_other = self.events.iter().rev().find(|logged| match &logged.entry {
            Entry::Message { kind, .. } => !matches!(kind, MessageKind::Response(_)),
            Entry::Failure(_) => false,
        });
        last_other.map_or(self.missed_through, |logged| self.missed_through.max(logged.index))
    }

    /// Removes an event, and shrinks the buffer if it is nearly empty.
    fn remove(&mut self, position: usize) {
        // Usually the oldest one, whose removal moves no others.
        if position == 0 {
            self.events.pop_front();
        } else {
            self.events.remove(position);
        }
        capacity::shrink_deque(&mut self.events);
    }

    /// Returns the number of events before `index`.
    fn position(&self, index: u64) -> usize {
        let Some(last) = self.events.back() else { return 0 };
        let Some(behind) = last.index.checked_sub(index) else { return self.events.len() };
        // Usually no index is missing, and positions follow from index differences.
        if let Ok(behind) = usize::try_from(behind)
            && let Some(position) = (self.events.len() - 1).checked_sub(behind)
            && let Some(found) = self.events.get(position)
            && found.index == index
        {
            return position;
        }
        self.events.partition_point(|logged| logged.index < index)
    }
}

/// Returns the cost in a log of a message of `bytes` bytes.
pub(crate) const fn cost(bytes: usize) -> usize {
    bytes.saturating_add(EVENT_OVERHEAD_BYTES)
}

#[cfg(feature = "serde")]
mod wire {
    //! The serialized form of a log, validated on deserialization.

    use alloc::collections::VecDeque;

    use super::{Entry, Logged, Skipped, cost};

    #[derive(serde::Deserialize)]
    pub(super) struct Log<M> {
        events: VecDeque<Logged<M>>,
        last: u64,
        missed_through: u64,
        recorded_bytes: u64,
        skipped: Skipped,
    }

    impl<M> TryFrom<Log<M>> for super::Log<M> {
        type Error = &'static str;

        fn try_from(wire: Log<M>) -> Result<Self, &'static str> {
            let Log { events, last, missed_through, recorded_bytes, skipped } = wire;
            let mut log = Self { last, missed_through, recorded_bytes, ..Self::new() };
            let mut previous = (0, 0);
            for logged in &events {
                let position = (logged.index, logged.recorded_bytes_before);
                if position.0 <= previous.0 || position.1 < previous.1 {
                    return Err("log events are out of order");
                }
                previous = position;
                match &logged.entry {
                    Entry::Message { bytes, .. } => {
                        let sum = log.bytes.checked_add(cost(*bytes));
                        log.bytes = sum.ok_or("log exceeds the address space")?;
                    }
                    Entry::Failure(_) => log.failures += 1,
                }
            }
            if previous.0 > last || previous.1 > recorded_bytes || missed_through > last {
                return Err("log ends before its last event");
            }
            if !skipped.fits(last, missed_through) {
                return Err("log skips an index that it has used");
            }
            (log.events, log.skipped) = (events, skipped);
            Ok(log)
        }
    }
}
