//! A stream: its requests, and the events that were recorded on it.

use std::time::Duration;

use rejoin_core::{Event, Failure, FailureReason, Instant, ProgressToken, RequestId, StreamId};

use super::{state::Stamp, table::Keyed};

/// The standalone stream, or a request stream that is not a tombstone.
#[derive(Clone, Debug)]
pub(super) struct Stream {
    pub(super) id: StreamId,
    pub(super) phase: Phase,
    /// The requests that it opened with, in order.
    pub(super) requests: Vec<Request>,
    /// By index. Removed events before the first one in the log are left out.
    pub(super) events: Vec<RecordedEvent>,
    pub(super) last: u64,
    pub(super) acknowledged: u64,
    pub(super) missed: u64,
    /// No event has an index below this one, except 0.
    pub(super) skipped_below: u64,
    /// Whether it was revived from a tombstone.
    pub(super) is_revived: bool,
    /// Whether a priming event had index 0.
    pub(super) is_primed: bool,
    /// Whether its client was sent an event with an id, or has resumed it.
    pub(super) can_come_back: bool,
    /// For how long the readers before the present one were silent since `acknowledged` rose.
    pub(super) earlier_silence: Duration,
    /// When its client is expected, if it was sent a retry.
    pub(super) retry_at: Instant,
    /// While it is open and has no connection: since when.
    pub(super) orphaned: Option<Stamp>,
    /// While it is retained: since when.
    pub(super) retained: Option<Stamp>,
    /// The last number that its opening or an event of it has taken.
    pub(super) last_number: u64,
    /// Until its opening is committed.
    pub(super) opening: Option<Opening>,
    /// While its disconnect is deferred.
    pub(super) deferred: Option<Deferred>,
}

/// The opening of a stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opening {
    pub(super) number: u64,
    /// Whether the connection of its POST is to be primed.
    pub(super) primes: bool,
}

/// A disconnect that waits for a commit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deferred {
    /// The number that has to be committed.
    pub(super) number: u64,
    pub(super) retry: Option<Duration>,
    /// The index that is kept for the retry.
    pub(super) kept: Option<u64>,
}

/// The phase of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The standalone stream, which has no phases.
    Standalone,
    Open,
    Complete,
}

/// A request of the client.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) id: RequestId,
    pub(super) token: Option<ProgressToken>,
    pub(super) status: Status,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Pending,
    Answered,
    Cancelled,
}

/// A recorded event.
#[derive(Clone, Debug)]
pub(super) struct RecordedEvent {
    pub(super) index: u64,
    /// When it was recorded, in the order of stamps; 0 for a failure.
    pub(super) order: u64,
    /// Its number in the sequence, if it has one; otherwise 0.
    pub(super) number: u64,
    pub(super) kind: Kind,
    /// Its cost when it was recorded, in bytes.
    pub(super) cost: usize,
    pub(super) entry: Entry,
}

/// The kind of a message. A response or a request has its id.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    Response(RequestId),
    Request(RequestId),
    Notification,
}

/// An entry of the log: a message, or what is left in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    Message(u64),
    Failure(FailureReason),
    /// Nothing: it was evicted, or removed because it could not be delivered.
    Removed,
}

impl Keyed for Stream {
    type Key = StreamId;

    fn key(&self) -> StreamId {
        self.id
    }
}

impl RecordedEvent {
    pub(super) fn failure(index: u64, id: RequestId, reason: FailureReason) -> Self {
        let entry = Entry::Failure(reason);
        Self { index, order: 0, number: 0, kind: Kind::Response(id), cost: 0, entry }
    }

    /// Returns its index, and what it costs to send it.
    pub(super) fn index_and_cost(&self) -> (u64, usize) {
        (self.index, if self.is_message() { self.cost } else { 0 })
    }

    /// Returns the event to send. It must still be in the log.
    pub(super) fn to_event(&self) -> Event<u64> {
        match (&self.entry, &self.kind) {
            (Entry::Message(body), _) => Event::Message(*body),
            (Entry::Failure(reason), Kind::Response(id)) => {
                Event::Failure(Failure { id: id.clone(), reason: *reason })
            }
            (Entry::Failure(_) | Entry::Removed, _) => unreachable!("{self:?} is not in the log"),
        }
    }

    fn is_message(&self) -> bool {
        matches!(self.entry, Entry::Message(_))
    }

    pub(super) fn is_in_log(&self) -> bool {
        self.entry != Entry::Removed
    }
}

impl Stream {
    pub(super) fn new(id: StreamId, phase: Phase) -> Self {
        Self {
            id,
            phase,
            requests: Vec::new(),
            events: Vec::new(),
            last: 0,
            acknowledged: 0,
            missed: 0,
            skipped_below: 0,
            is_revived: false,
            is_primed: false,
            can_come_back: false,
            earlier_silence: Duration::ZERO,
            retry_at: Instant::EPOCH,
            orphaned: None,
            retained: None,
            last_number: 0,
            opening: None,
            deferred: None,
        }
    }

    /// Returns whether it counts for `streams_max`.
    pub(super) fn is_in_use(&self) -> bool {
        self.phase != Phase::Standalone && self.retained.is_none()
    }

    pub(super) fn pending(&self) -> Vec<RequestId> {
        let pending = self.requests.iter().filter(|request| request.status == Status::Pending);
        pending.map(|request| request.id.clone()).collect()
    }

    pub(super) fn is_pending(&self, id: &RequestId) -> bool {
        let mut requests = self.requests.iter();
        requests.any(|request| request.id == *id && request.status == Status::Pending)
    }

    pub(super) fn set_status(&mut self, id: &RequestId, status: Status) {
        for request in self.requests.iter_mut().filter(|request| request.id == *id) {
            request.status = status;
        }
    }

    pub(super) fn is_fully_acknowledged(&self) -> bool {
        self.acknowledged >= self.last
    }

    /// Iterates over the events of the log, failures not counted.
    pub(super) fn logged_messages(&self) -> impl Iterator<Item = &RecordedEvent> {
        self.events.iter().filter(|event| event.is_message())
    }

    /// Iterates over what the log has at or after `index`.
    pub(super) fn logged_from(&self, index: u64) -> impl Iterator<Item = &RecordedEvent> {
        self.events.iter().filter(move |event| event.index >= index && event.is_in_log())
    }

    pub(super) fn has_logged(&self, index: u64) -> bool {
        self.logged_from(index).any(|event| event.index == index)
    }

    pub(super) fn append(&mut self, event: RecordedEvent) {
        self.events.push(event);
        self.forget_removed();
    }

    /// Replaces what the log has at `index`.
    pub(super) fn replace(&mut self, index: u64, entry: Entry) {
        for event in self.events.iter_mut().filter(|event| event.index == index) {
            event.entry = entry;
        }
        self.forget_removed();
    }

    fn forget_removed(&mut self) {
        while self.events.first().is_some_and(|event| !event.is_in_log()) {
            self.events.remove(0);
        }
    }
}
