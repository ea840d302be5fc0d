//! Logs: the bounded record of a stream's events.

use alloc::collections::VecDeque;
use core::ops::Range;

use crate::{Event, Failure, FailureReason, RequestId, shrink};

/// What an event costs in a log beyond the size of its message, in bytes.
///
/// It stands for the log's own memory, so that a byte limit holds for many
/// small events, too: at most 96 bytes an event, where `M` itself has up to 32,
/// in memory that may be half empty.
pub const EVENT_OVERHEAD_BYTES: usize = 192;

const _: () = assert!(2 * size_of::<Logged<[u64; 4]>>() <= EVENT_OVERHEAD_BYTES);

/// The bounded record of a stream's events, from which a replay is served.
///
/// It lacks a limit of its own: the session evicts from it, by the limits of the
/// stream and those of the session.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "wire::Log<M>"))]
pub struct Log<M> {
    /// By index, ascending; not every index has an event.
    events: VecDeque<Logged<M>>,
    /// The highest index given out.
    last: u64,
    /// The highest index of an event that was let go of, and should not have been.
    missed_through: u64,
    /// How many of the events are failures.
    #[cfg_attr(feature = "serde", serde(skip_serializing))]
    failures: usize,
    /// What the events cost, failures excluded.
    #[cfg_attr(feature = "serde", serde(skip_serializing))]
    bytes: usize,
    /// What all events that were ever recorded cost.
    recorded_bytes: u64,
}

/// An event in a log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Logged<M> {
    /// Its index in its stream.
    pub index: u64,
    /// Its number in the session-wide sequence of opens, events and ends.
    pub sequence: u64,
    /// What it carries.
    pub entry: Entry<M>,
    /// What was recorded before it, in bytes.
    recorded_bytes_before: u64,
}

/// What a log keeps of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Entry<M> {
    /// A message of the backend.
    Message {
        /// The message.
        body: M,
        /// Its size, in bytes.
        bytes: usize,
        /// What it is to the requests of either side.
        kind: MessageKind,
    },
    /// Why a request has no response.
    Failure(Failure),
}

impl<M> Entry<M> {
    /// Returns what it costs; a failure costs nothing.
    pub(crate) fn cost(&self) -> usize {
        match self {
            Self::Message { bytes, .. } => cost(*bytes),
            Self::Failure(_) => 0,
        }
    }
}

impl<M: Clone> Entry<M> {
    /// Returns the entry as it is sent.
    #[must_use]
    pub fn to_event(&self) -> Event<M> {
        match self {
            Self::Message { body, .. } => Event::Message(body.clone()),
            Self::Failure(failure) => Event::Failure(failure.clone()),
        }
    }
}

/// What a message of the backend is to the requests of either side.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum MessageKind {
    /// It answers this request of the client.
    Response(RequestId),
    /// It is a request to the client, with this id.
    Request(RequestId),
    /// It is a notification.
    Notification,
}

/// What eviction did to the oldest event.
#[derive(Debug)]
pub(crate) enum Evicted {
    /// A response became a failure.
    Response(RequestId),
    /// A request of the backend is gone.
    ServerRequest { index: u64 },
    /// A notification is gone.
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
        }
    }

    /// Returns an empty log that uses the memory of another.
    pub(crate) fn with_buffer(memory: VecDeque<Logged<M>>) -> Self {
        Self { events: memory, ..Self::new() }
    }

    /// Drops the events, and returns their memory.
    pub(crate) fn into_buffer(mut self) -> VecDeque<Logged<M>> {
        self.events.clear();
        self.events
    }

    /// Returns the log of a stream whose events are gone.
    pub(crate) fn revived(last: u64, missed: u64) -> Self {
        Self { last, missed_through: missed, ..Self::new() }
    }

    /// Returns the highest index that was given out, 0 at first.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.last
    }

    /// Returns the highest index of an event that was let go of, 0 at first.
    ///
    /// Whoever resumes before it has missed something.
    #[must_use]
    pub fn missed_through(&self) -> u64 {
        self.missed_through
    }

    /// Returns how many events there are, failures not counted.
    #[must_use]
    pub fn len(&self) -> usize {
        self.events.len() - self.failures
    }

    /// Returns whether there are no events but failures.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns what the events cost, in bytes, failures not counted.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Goes through the events whose index lies in `range`. Finding the first
    /// one takes logarithmic time.
    #[must_use = "an iterator does nothing by itself"]
    pub fn range(
        &self,
        range: Range<u64>,
    ) -> impl DoubleEndedIterator<Item = &Logged<M>> + ExactSizeIterator {
        let from = self.position(range.start);
        let to = self.position(range.end).max(from);
        self.events.range(from..to)
    }

    /// Returns the first event at or after `index`.
    pub(crate) fn first_from(&self, index: u64) -> Option<&Logged<M>> {
        self.events.get(self.position(index))
    }

    /// Returns the index of the oldest event that is no failure.
    pub(crate) fn oldest(&self) -> Option<u64> {
        let is_message = |logged: &&Logged<M>| matches!(logged.entry, Entry::Message { .. });
        self.events.iter().find(is_message).map(|logged| logged.index)
    }

    /// Returns whether there is no event at or after `index`.
    pub(crate) fn ends_before(&self, index: u64) -> bool {
        self.events.back().is_none_or(|last| last.index < index)
    }

    /// Returns whether the event at `index` is here.
    pub(crate) fn contains(&self, index: u64) -> bool {
        self.first_from(index).is_some_and(|first| first.index == index)
    }

    /// Returns how many events there are at or after `index`, and what was
    /// recorded from the first of them on, in bytes.
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

    /// Gives out the next index, or `None` if there is none.
    pub(crate) fn allocate_index(&mut self) -> Option<u64> {
        let next = self.last.checked_add(1).filter(|next| *next < u64::MAX)?;
        self.last = next;
        Some(next)
    }

    /// Appends the event with the index that was claimed last.
    pub(crate) fn append(&mut self, index: u64, sequence: u64, entry: Entry<M>) {
        let recorded_before = self.recorded_bytes;
        match &entry {
            Entry::Message { bytes, .. } => {
                let cost = cost(*bytes);
                self.bytes += cost;
                self.recorded_bytes = self.recorded_bytes.saturating_add(cost as u64);
            }
            Entry::Failure(_) => self.failures += 1,
        }
        self.events.push_back(Logged {
            index,
            sequence,
            entry,
            recorded_bytes_before: recorded_before,
        });
    }

    /// Lets go of the oldest event that is no failure.
    pub(crate) fn evict(&mut self) -> Option<Evicted> {
        // Failures stay, so they gather here: at most one for each request.
        let position =
            self.events.iter().position(|logged| matches!(logged.entry, Entry::Message { .. }))?;
        let logged = self.events.get_mut(position)?;
        let Entry::Message { bytes, kind, .. } = &logged.entry else {
            return None;
        };
        self.bytes -= cost(*bytes);
        let index = logged.index;
        match kind.clone() {
            MessageKind::Response(id) => {
                let reason = FailureReason::Evicted;
                logged.entry = Entry::Failure(Failure { id: id.clone(), reason });
                self.failures += 1;
                Some(Evicted::Response(id))
            }
            MessageKind::Request(_) => {
                self.missed_through = self.missed_through.max(index);
                self.remove(position);
                Some(Evicted::ServerRequest { index })
            }
            MessageKind::Notification => {
                self.missed_through = self.missed_through.max(index);
                self.remove(position);
                Some(Evicted::Notification)
            }
        }
    }

    /// Lets go of the event at `index`, which nobody should miss. Returns what
    /// it cost.
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

    /// Returns the missed index that is left when all events but the answers go.
    pub(crate) fn missed_through_if_cleared(&self) -> u64 {
        let last_other = self.events.iter().rev().find(|logged| match &logged.entry {
            Entry::Message { kind, .. } => !matches!(kind, MessageKind::Response(_)),
            Entry::Failure(_) => false,
        });
        last_other.map_or(self.missed_through, |logged| self.missed_through.max(logged.index))
    }

    /// Removes an event, and gives memory back that few events are left in.
    fn remove(&mut self, position: usize) {
        self.events.remove(position);
        shrink::deque(&mut self.events);
    }

    /// Returns how many events are before `index`.
    fn position(&self, index: u64) -> usize {
        let Some(last) = self.events.back() else { return 0 };
        let Some(behind) = last.index.checked_sub(index) else { return self.events.len() };
        // Indexes are rarely missing: then an event is as far behind the last one as its index.
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

/// What a message of so many bytes costs.
pub(crate) const fn cost(bytes: usize) -> usize {
    bytes.saturating_add(EVENT_OVERHEAD_BYTES)
}

#[cfg(feature = "serde")]
mod wire {
    //! A log as it is stored, which is checked when it is read.

    use alloc::collections::VecDeque;

    use super::{Entry, Logged, cost};

    #[derive(serde::Deserialize)]
    pub(super) struct Log<M> {
        events: VecDeque<Logged<M>>,
        last: u64,
        missed_through: u64,
        recorded_bytes: u64,
    }

    impl<M> TryFrom<Log<M>> for super::Log<M> {
        type Error = &'static str;

        fn try_from(wire: Log<M>) -> Result<Self, &'static str> {
            let Log { events, last, missed_through, recorded_bytes } = wire;
            let mut log = Self { last, missed_through, recorded_bytes, ..Self::new() };
            let mut previous = (0, 0);
            for logged in &events {
                let place = (logged.index, logged.recorded_bytes_before);
                if place.0 <= previous.0 || place.1 < previous.1 {
                    return Err("a log is in the order of its events");
                }
                previous = place;
                match &logged.entry {
                    Entry::Message { bytes, .. } => {
                        let sum = log.bytes.checked_add(cost(*bytes));
                        log.bytes = sum.ok_or("a log fits into memory")?;
                    }
                    Entry::Failure(_) => log.failures += 1,
                }
            }
            if previous.0 > last || previous.1 > recorded_bytes || missed_through > last {
                return Err("a log ends with its last event");
            }
            log.events = events;
            Ok(log)
        }
    }
}
