//! Table of the streams of a session, and of the tombstones of ended ones.

use alloc::{boxed::Box, collections::VecDeque};
use core::{
    mem,
    ops::{Index, IndexMut},
};

use slab::Slab;
use smallvec::SmallVec;

use super::{
    connection::ConnectionKey,
    tombstones::{Tombstone, Tombstones},
};
use crate::{
    Instant, Log, Logged, ProgressToken, RequestId, StreamId,
    ascending_map::AscendingMap,
    capacity,
    timers::{Key, TimerKey, to_key},
};

/// Identifies a stream that has a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct StreamKey(pub(crate) Key);

/// A stream that has a log.
#[derive(Debug)]
pub(crate) struct Stream<M> {
    pub(crate) id: StreamId,
    stage: Stage,
    pub(crate) log: Log<M>,
    /// The requests that opened it.
    requests: SmallVec<[StreamRequest; 1]>,
    /// Number of pending requests.
    pending: usize,
    /// The highest index acknowledged on any connection, or by a valid resume.
    pub(crate) acknowledged: u64,
    attached: Option<ConnectionKey>,
    /// The last attached connection, while it drains.
    draining: Option<ConnectionKey>,
    /// Total silence of the previous readers since `acknowledged` last increased, in
    /// nanoseconds.
    pub(crate) earlier_silence: u64,
    /// Whether a priming event with index 0 was sent.
    pub(crate) is_primed: bool,
    /// Whether a connection that it no longer has gave its client an event id to resume after.
    pub(crate) can_resume: bool,
    /// When its client was told to reconnect; meaningless while a connection is attached.
    pub(crate) retry_at: Instant,
}

/// The stage in the life of a stream.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stage {
    /// That of the standalone stream, which is always open.
    Standalone,
    Open {
        orphan_timer: Option<TimerKey>,
    },
    /// All requests are answered or cancelled, and the attached connection was not yet sent
    /// all events.
    Complete {
        revived: bool,
    },
    Retained {
        timer: TimerKey,
    },
}

/// A request that opened a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct StreamRequest {
    pub(crate) id: RequestId,
    pub(crate) token: Option<ProgressToken>,
    pub(crate) outcome: Outcome,
}

/// The outcome of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) enum Outcome {
    Pending,
    Answered { index: u64 },
    Cancelled,
}

/// A request stream, or its tombstone.
#[derive(Debug)]
pub(crate) enum StreamRef<'a> {
    Stream(StreamKey),
    Tombstone(&'a Tombstone),
}

/// All streams of a session, by key and by number.
#[derive(Debug)]
pub(crate) struct Streams<M> {
    slab: Slab<Stream<M>>,
    /// Allocated once a stream ends.
    ended: Option<Box<Ended<M>>>,
    /// The request streams that have a log, by number.
    numbers: AscendingMap<StreamKey>,
    /// The number of the next request stream.
    next_number: u64,
    /// Number of request streams that are open or complete.
    in_use: usize,
}

/// What remains of ended streams.
#[derive(Debug)]
struct Ended<M> {
    tombstones: Tombstones,
    /// The buffer of the last dropped log, for the next stream.
    spare_buffer: VecDeque<Logged<M>>,
}

impl<M> Default for Ended<M> {
    fn default() -> Self {
        Self { tombstones: Tombstones::default(), spare_buffer: VecDeque::new() }
    }
}

/// Maximum capacity, in events, of a log buffer that is kept for reuse.
const SPARE_EVENTS_MAX: usize = 4;

/// The standalone stream.
pub(crate) const STANDALONE: StreamKey = StreamKey(0);

impl<M> Stream<M> {
    pub(crate) fn new(id: StreamId, stage: Stage, log: Log<M>) -> Self {
        Self {
            id,
            stage,
            log,
            requests: SmallVec::new(),
            pending: 0,
            acknowledged: 0,
            attached: None,
            draining: None,
            earlier_silence: 0,
            is_primed: false,
            can_resume: false,
            retry_at: Instant::EPOCH,
        }
    }

    pub(crate) fn stage(&self) -> Stage {
        self.stage
    }

    /// Returns where the orphan timer of an open request stream is kept.
    pub(crate) fn orphan_timer_mut(&mut self) -> Option<&mut Option<TimerKey>> {
        match &mut self.stage {
            Stage::Open { orphan_timer } => Some(orphan_timer),
            Stage::Standalone | Stage::Complete { .. } | Stage::Retained { .. } => None,
        }
    }

    /// Removes and returns its orphan timer.
    pub(crate) fn take_orphan_timer(&mut self) -> Option<TimerKey> {
        self.orphan_timer_mut().and_then(Option::take)
    }

    /// Makes an open request stream complete. Returns its orphan timer.
    pub(crate) fn complete(&mut self) -> Option<TimerKey> {
        debug_assert!(matches!(self.stage, Stage::Open { .. }), "only an open stream completes");
        let orphan_timer = self.take_orphan_timer();
        self.stage = Stage::Complete { revived: false };
        orphan_timer
    }

    /// Returns the attached connection.
    pub(crate) fn attached(&self) -> Option<ConnectionKey> {
        self.attached
    }

    /// Returns the last attached connection, while it drains.
    pub(crate) fn draining(&self) -> Option<ConnectionKey> {
        self.draining
    }

    /// Attaches a connection. Returns the one that was attached before.
    pub(crate) fn attach(&mut self, connection: ConnectionKey) -> Option<ConnectionKey> {
        self.attached.replace(connection)
    }

    /// Detaches a connection, which drains. Returns the one that drained before.
    pub(crate) fn drain(&mut self, connection: ConnectionKey) -> Option<ConnectionKey> {
        self.attached.take_if(|attached| *attached == connection);
        self.draining.replace(connection)
    }

    /// Removes a connection that is attached or drains.
    pub(crate) fn remove_connection(&mut self, connection: ConnectionKey) {
        if self.attached == Some(connection) {
            self.attached = None;
        } else {
            self.draining.take_if(|draining| *draining == connection);
        }
    }

    /// Removes and returns its draining connection.
    pub(crate) fn take_draining(&mut self) -> Option<ConnectionKey> {
        self.draining.take()
    }

    /// Returns whether events may be recorded on it.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Standalone | Stage::Open { .. })
    }

    /// Returns the connection on which its events are in flight, if they are.
    pub(crate) fn holder(&self) -> Option<ConnectionKey> {
        self.attached.or(self.draining)
    }

    /// Returns whether every event so far was acknowledged.
    pub(crate) fn is_acknowledged(&self) -> bool {
        self.acknowledged >= self.log.last()
    }

    /// Returns how many requests it counts for while it is retained.
    pub(crate) fn weight(&self) -> usize {
        self.requests.len().max(1)
    }

    pub(crate) fn requests(&self) -> &[StreamRequest] {
        &self.requests
    }

    /// Adds a request that opened it.
    pub(crate) fn add_request(&mut self, request: StreamRequest) {
        self.pending += usize::from(request.outcome == Outcome::Pending);
        self.requests.push(request);
    }

    /// Returns the number of its pending requests.
    pub(crate) fn pending_count(&self) -> usize {
        self.pending
    }

    /// Iterates over its pending requests, in the order of the POST.
    pub(crate) fn pending(&self) -> impl Iterator<Item = &RequestId> {
        self.requests
            .iter()
            .filter(|request| request.outcome == Outcome::Pending)
            .map(|request| &request.id)
    }

    /// Records the outcome of a pending request. Returns its progress token.
    pub(crate) fn resolve(&mut self, id: &RequestId, outcome: Outcome) -> Option<ProgressToken> {
        let request = self
            .requests
            .iter_mut()
            .find(|request| request.outcome == Outcome::Pending && request.id == *id)?;
        request.outcome = outcome;
        self.pending -= 1;
        request.token.take()
    }

    /// Returns whether any of its requests was answered.
    pub(crate) fn has_response(&self) -> bool {
        self.requests.iter().any(|request| matches!(request.outcome, Outcome::Answered { .. }))
    }

    /// Returns the log, and the responses to its requests, which are the events at their indexes.
    pub(crate) fn into_log_and_responses(self) -> (Log<M>, impl Iterator<Item = (u64, RequestId)>) {
        let responses = self.requests.into_iter().filter_map(|request| match request.outcome {
            Outcome::Answered { index } => Some((index, request.id)),
            Outcome::Pending | Outcome::Cancelled => None,
        });
        (self.log, responses)
    }
}

impl Stage {
    /// Returns its timer.
    pub(crate) fn timer(self) -> Option<TimerKey> {
        match self {
            Self::Retained { timer } => Some(timer),
            Self::Open { orphan_timer } => orphan_timer,
            Self::Standalone | Self::Complete { .. } => None,
        }
    }

    /// Returns whether a request stream in this stage counts as in use.
    fn is_in_use(self) -> bool {
        !matches!(self, Self::Retained { .. })
    }
}

impl<M> Streams<M> {
    pub(crate) fn new() -> Self {
        let mut slab = Slab::with_capacity(1);
        slab.insert(Stream::new(StreamId::Standalone, Stage::Standalone, Log::new()));
        Self { slab, ended: None, numbers: AscendingMap::new(), next_number: 0, in_use: 0 }
    }

    /// Numbers request streams, and events of the standalone stream, from `origin` on.
    pub(crate) fn start_at(&mut self, origin: u64) {
        self.next_number = origin;
        let standalone = &mut self[STANDALONE];
        standalone.acknowledged = origin;
        let log = &mut standalone.log;
        // The event at the origin stands for all those of the earlier session.
        log.skip(origin.saturating_sub(1));
        log.skip_to(origin);
        log.note_missed(origin);
    }

    /// Returns the key of a stream that has a log.
    pub(crate) fn find(&self, id: StreamId) -> Option<StreamKey> {
        match id {
            StreamId::Standalone => Some(STANDALONE),
            StreamId::Request(number) => self.numbers.get(number),
        }
    }

    /// Returns the number of request streams that are open or complete.
    pub(crate) fn in_use(&self) -> usize {
        self.in_use
    }

    /// Returns the number of the next request stream.
    pub(crate) fn next_number(&self) -> u64 {
        self.next_number
    }

    /// Restores the number of the next request stream.
    #[cfg(feature = "serde")]
    pub(crate) fn set_next_number(&mut self, number: u64) {
        self.next_number = number;
    }

    /// Allocates the number of a request stream.
    pub(crate) fn allocate_number(&mut self) -> u64 {
        let number = self.next_number;
        self.next_number = number.saturating_add(1);
        number
    }

    /// Adds a request stream under its number.
    pub(crate) fn add(&mut self, number: u64, stream: Stream<M>) -> StreamKey {
        self.in_use += usize::from(stream.stage.is_in_use());
        capacity::grow_slab(&mut self.slab);
        let key = StreamKey(to_key(self.slab.insert(stream)));
        self.numbers.insert(number, key);
        key
    }

    /// Retains a complete stream until a timer fires.
    pub(crate) fn retain(&mut self, key: StreamKey, timer: TimerKey) {
        debug_assert!(matches!(self[key].stage, Stage::Complete { .. }), "it is complete");
        self[key].stage = Stage::Retained { timer };
        self.in_use -= 1;
    }

    /// Takes a stream out of retention, if it is retained. Returns its timer.
    pub(crate) fn unretain(&mut self, key: StreamKey) -> Option<TimerKey> {
        let Stage::Retained { timer } = self[key].stage else {
            return None;
        };
        self[key].stage = Stage::Complete { revived: false };
        self.in_use += 1;
        Some(timer)
    }

    /// Returns a request stream, or its tombstone.
    pub(crate) fn lookup(&self, number: u64) -> Option<StreamRef<'_>> {
        match self.numbers.get(number) {
            Some(key) => Some(StreamRef::Stream(key)),
            None => self.ended.as_deref()?.tombstones.get(number).map(StreamRef::Tombstone),
        }
    }

    /// Returns an empty log.
    pub(crate) fn new_log(&mut self) -> Log<M> {
        match self.ended.as_deref_mut() {
            Some(ended) => Log::with_buffer(mem::take(&mut ended.spare_buffer)),
            None => Log::new(),
        }
    }

    /// Drops a log, and keeps its buffer for the next one if it is small.
    pub(crate) fn recycle_log(&mut self, log: Log<M>) {
        let buffer = log.into_buffer();
        if buffer.capacity() <= SPARE_EVENTS_MAX {
            self.ended.get_or_insert_default().spare_buffer = buffer;
        }
    }

    /// Removes a request stream. Returns it, with its number.
    #[expect(clippy::panic, reason = "the standalone stream is never removed")]
    pub(crate) fn remove(&mut self, key: StreamKey) -> (u64, Stream<M>) {
        let stream = self.slab.remove(key.0 as usize);
        let StreamId::Request(number) = stream.id else {
            panic!("the standalone stream was removed");
        };
        self.numbers.remove(number);
        self.in_use -= usize::from(stream.stage.is_in_use());
        capacity::shrink_slab(&mut self.slab);
        (number, stream)
    }

    /// Adds the tombstone of a removed stream.
    pub(crate) fn add_tombstone(&mut self, tombstone: Tombstone) {
        self.ended.get_or_insert_default().tombstones.add(tombstone);
    }

    /// Removes and returns the tombstone of a request stream. Panics if it has none.
    #[expect(clippy::expect_used, reason = "the check of an input has found it")]
    pub(crate) fn remove_tombstone(&mut self, number: u64) -> Tombstone {
        let ended = self.ended.as_deref_mut();
        ended.and_then(|ended| ended.tombstones.remove(number)).expect("a tombstone")
    }

    /// Makes the tombstone of a stream, if it has one, that of a cancelled stream.
    #[cfg(feature = "serde")]
    pub(crate) fn cancel_tombstone(&mut self, number: u64) {
        if let Some(ended) = self.ended.as_deref_mut() {
            ended.tombstones.cancel(number);
        }
    }

    /// Removes the tombstones that expire first, until the others count for at most `max`
    /// requests.
    pub(crate) fn limit_tombstones(&mut self, max: usize) {
        if let Some(ended) = self.ended.as_deref_mut() {
            while ended.tombstones.weight() > max {
                ended.tombstones.remove_first();
            }
        }
    }

    /// Removes the tombstone that expires first.
    pub(crate) fn remove_first_tombstone(&mut self) {
        if let Some(ended) = self.ended.as_deref_mut() {
            ended.tombstones.remove_first();
        }
    }

    /// Returns when the first tombstone expires; [`Instant::MAX`] is never.
    pub(crate) fn tombstone_deadline(&self) -> Instant {
        self.ended.as_deref().map_or(Instant::MAX, |ended| ended.tombstones.deadline())
    }

    /// Iterates over the tombstones, by deadline.
    #[cfg(feature = "serde")]
    pub(crate) fn tombstones(&self) -> impl Iterator<Item = &Tombstone> {
        self.ended.as_deref().into_iter().flat_map(|ended| ended.tombstones.iter())
    }

    /// Iterates over the streams whose log has a message, in no particular order.
    pub(crate) fn non_empty(&self) -> impl Iterator<Item = StreamKey> {
        let non_empty = self.slab.iter().filter(|(_, stream)| !stream.log.is_empty());
        non_empty.map(|(key, _)| StreamKey(to_key(key)))
    }

    /// Iterates over the request streams that have a log, by number.
    pub(crate) fn request_streams(&self) -> impl Iterator<Item = StreamKey> {
        self.numbers.iter().map(|(_, key)| key)
    }
}

#[expect(clippy::indexing_slicing, reason = "a key is dropped with the entry it refers to")]
impl<M> Index<StreamKey> for Streams<M> {
    type Output = Stream<M>;

    fn index(&self, key: StreamKey) -> &Stream<M> {
        &self.slab[key.0 as usize]
    }
}

#[expect(clippy::indexing_slicing, reason = "a key is dropped with the entry it refers to")]
impl<M> IndexMut<StreamKey> for Streams<M> {
    fn index_mut(&mut self, key: StreamKey) -> &mut Stream<M> {
        &mut self.slab[key.0 as usize]
    }
}

/// Returns the outcome of a request whose response is the last event.
pub(crate) fn answered_last<M>(log: &Log<M>) -> Outcome {
    Outcome::Answered { index: log.last() }
}
