//! A stream: its requests, and all that was ever recorded on it.

use std::time::Duration;

use rejoin_core::{Event, Failure, FailureReason, Instant, ProgressToken, RequestId, StreamId};

use super::{state::Stamp, table::Keyed};

/// The standalone stream, or a request stream that is no tombstone.
#[derive(Clone, Debug)]
pub(super) struct Stream {
    pub(super) id: StreamId,
    pub(super) phase: Phase,
    /// Those that it opened with, in order.
    pub(super) requests: Vec<Request>,
    /// By index. Before the first one that the log has, what is gone is left out.
    pub(super) events: Vec<RecordedEvent>,
    pub(super) last: u64,
    pub(super) acknowledged: u64,
    pub(super) missed: u64,
    /// Since when its log was not without an event.
    pub(super) non_empty_since: Option<u64>,
    /// Since when its oldest event was taken, in the order of what began.
    pub(super) acknowledged_since: Option<u64>,
    /// Whether it was brought back from a tombstone.
    pub(super) is_revived: bool,
    /// Whether a priming event had index 0.
    pub(super) is_primed: bool,
    /// For how long the readers before the present one were silent, since `taken` rose.
    pub(super) earlier_silence: Duration,
    /// When its client comes back that was told to do so later.
    pub(super) retry_at: Instant,
    /// While it is reserved.
    pub(super) reserved: Option<Stamp>,
    /// While it is open and has no connection.
    pub(super) orphaned: Option<Stamp>,
    /// While it is retained.
    pub(super) retained: Option<Stamp>,
}

/// How far a stream has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// It is the standalone stream.
    Standalone,
    Reserved,
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

/// An event that was recorded.
#[derive(Clone, Debug)]
pub(super) struct RecordedEvent {
    pub(super) index: u64,
    pub(super) kind: Kind,
    /// What it cost when it was recorded.
    pub(super) cost: usize,
    pub(super) entry: Entry,
}

/// What an event is to the requests of either side.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    Response(RequestId),
    Request(RequestId),
    Notification,
}

/// What the log has of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    Message(u64),
    Failure(FailureReason),
    /// Nothing: it was evicted or has left the log.
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
        Self { index, kind: Kind::Response(id), cost: 0, entry }
    }

    /// Its index, and what it costs to send it.
    pub(super) fn index_and_cost(&self) -> (u64, usize) {
        (self.index, if self.is_message() { self.cost } else { 0 })
    }

    /// What is sent of it. It must not be gone.
    pub(super) fn to_event(&self) -> Event<u64> {
        match (&self.entry, &self.kind) {
            (Entry::Message(body), _) => Event::Message(*body),
            (Entry::Failure(reason), Kind::Response(id)) => {
                Event::Failure(Failure { id: id.clone(), reason: *reason })
            }
            (Entry::Failure(_) | Entry::Removed, _) => unreachable!("{self:?} is no event"),
        }
    }

    pub(super) fn is_message(&self) -> bool {
        matches!(self.entry, Entry::Message(_))
    }

    fn is_in_log(&self) -> bool {
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
            non_empty_since: None,
            acknowledged_since: None,
            is_revived: false,
            is_primed: false,
            earlier_silence: Duration::ZERO,
            retry_at: Instant::EPOCH,
            reserved: None,
            orphaned: None,
            retained: None,
        }
    }

    /// Whether it is one of the streams of which there are at most `streams_max`.
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

    /// What the log has at or after `index`.
    pub(super) fn logged_from(&self, index: u64) -> impl Iterator<Item = &RecordedEvent> {
        self.events.iter().filter(move |event| event.index >= index && event.is_in_log())
    }

    pub(super) fn has_logged(&self, index: u64) -> bool {
        self.logged_from(index).any(|event| event.index == index)
    }

    /// How many events the log has, failures not counted.
    pub(super) fn event_count(&self) -> usize {
        self.events.iter().filter(|event| event.is_message()).count()
    }

    /// What the log costs.
    pub(super) fn logged_bytes(&self) -> usize {
        let messages = self.events.iter().filter(|event| event.is_message());
        messages.map(|event| event.cost).sum()
    }

    /// The event at `index` leaves the log.
    pub(super) fn remove_from_log(&mut self, index: u64) {
        for event in self.events.iter_mut().filter(|event| event.index == index) {
            event.entry = Entry::Removed;
        }
        while self.events.first().is_some_and(|event| !event.is_in_log()) {
            self.events.remove(0);
        }
    }
}
