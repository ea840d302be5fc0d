//! The streams of a session, from the first reservation to the last tombstone.

use alloc::collections::VecDeque;
use core::{
    mem,
    ops::{Index, IndexMut},
    time::Duration,
};

use slab::Slab;
use smallvec::SmallVec;

use super::{
    connection::ConnectionKey,
    graveyard::{Graveyard, PlotKey, Tombstone},
};
use crate::{
    Instant, Log, Logged, ProgressToken, RequestId, StreamId,
    ascending::Ascending,
    queue::{Key, Ticket, small},
    rarely::Rarely,
    shrink,
};

/// Names a stream that has a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StreamKey(pub(crate) Key);

/// A stream that has a log.
#[derive(Debug)]
pub(crate) struct Stream<M> {
    pub(crate) id: StreamId,
    pub(crate) stage: Stage,
    pub(crate) log: Log<M>,
    /// The requests that it opened with.
    pub(crate) requests: SmallVec<[Opening; 1]>,
    /// How many of them are pending.
    pub(crate) pending: usize,
    /// The highest index that any connection took, or a valid resume named.
    pub(crate) taken: u64,
    pub(crate) carrier: Option<ConnectionKey>,
    /// The connection that carried it last, while it drains; request streams only.
    pub(crate) drain: Option<ConnectionKey>,
    /// Its place among the streams whose log has an event.
    pub(crate) eventful: Option<Ticket>,
    /// Its place among the streams whose oldest event was taken.
    pub(crate) spent: Option<Ticket>,
    /// Whether a sender was told to wait.
    pub(crate) holds: bool,
    /// For how long the readers before the present one were silent in all, since `taken` rose.
    pub(crate) earlier_silence: Duration,
    /// Whether a priming event had index 0.
    pub(crate) is_primed: bool,
    /// When its client comes back that was told to do so later; meaningless while a
    /// connection carries it.
    pub(crate) retry_at: Instant,
}

/// How far a stream has got.
#[derive(Debug)]
pub(crate) enum Stage {
    Reserved {
        expiry: Ticket,
    },
    /// The standalone stream is always open, and never an orphan.
    Open {
        orphan: Option<Ticket>,
    },
    /// Complete, and carried by a connection that was not sent all of it.
    Finishing {
        exhumed: bool,
    },
    Retained {
        queue: Ticket,
    },
}

/// A request that a stream opened with.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Opening {
    pub(crate) id: RequestId,
    pub(crate) token: Option<ProgressToken>,
    pub(crate) outcome: Outcome,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) enum Outcome {
    Pending,
    Answered { index: u64 },
    Cancelled,
}

/// What is left of a request stream.
#[derive(Debug)]
pub(crate) enum Remains<'a> {
    Stream(StreamKey),
    Tombstone(&'a Tombstone),
}

/// Where what is left of a request stream is.
#[derive(Clone, Copy, Debug)]
enum Place {
    Stream(StreamKey),
    Tombstone(PlotKey),
}

/// All streams of a session, by key and by number.
#[derive(Debug)]
pub(crate) struct Streams<M> {
    slab: Slab<Stream<M>>,
    past: Rarely<Past<M>>,
    /// Every request stream that something is left of, by number.
    places: Ascending<u64, Place>,
    /// The number of the next request stream.
    pub(crate) next: u64,
    /// How many are reserved, open or finishing, the standalone stream not counted.
    pub(crate) in_use: usize,
}

/// What is left of streams that are over.
#[derive(Debug)]
struct Past<M> {
    graveyard: Graveyard,
    /// The memory of the last log that was dropped, for the next stream.
    spare: VecDeque<Logged<M>>,
}

impl<M> Default for Past<M> {
    fn default() -> Self {
        Self { graveyard: Graveyard::default(), spare: VecDeque::new() }
    }
}

/// How many events the memory of a log has room for that is kept for another.
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
            taken: 0,
            carrier: None,
            drain: None,
            eventful: None,
            spent: None,
            holds: false,
            earlier_silence: Duration::ZERO,
            is_primed: false,
            retry_at: Instant::EPOCH,
        }
    }

    /// Returns whether more may be recorded on it.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Open { .. })
    }

    /// Returns whether everything that it will ever have was taken.
    pub(crate) fn is_taken(&self) -> bool {
        self.taken >= self.log.last()
    }

    /// Returns whether its oldest event was taken. One that is retained for who
    /// may come back once more is let go of as a whole, and does not count.
    pub(crate) fn is_spent(&self) -> bool {
        let is_buried_first = matches!(self.stage, Stage::Retained { .. }) && self.is_taken();
        self.taken > 0
            && !is_buried_first
            && self.log.oldest().is_some_and(|oldest| oldest <= self.taken)
    }

    /// Returns for how many requests it counts while it is retained.
    pub(crate) fn weight(&self) -> usize {
        self.requests.len().max(1)
    }

    /// Returns its requests that are pending, in the order of the POST.
    pub(crate) fn pending(&self) -> impl Iterator<Item = &RequestId> {
        self.requests
            .iter()
            .filter(|request| request.outcome == Outcome::Pending)
            .map(|request| &request.id)
    }

    /// Notes what became of a pending request. Returns its progress token.
    pub(crate) fn resolve(&mut self, id: &RequestId, outcome: Outcome) -> Option<ProgressToken> {
        let request = self
            .requests
            .iter_mut()
            .find(|request| request.outcome == Outcome::Pending && request.id == *id)?;
        request.outcome = outcome;
        self.pending -= 1;
        request.token.take()
    }

    /// Returns whether one of its requests was answered.
    pub(crate) fn has_answer(&self) -> bool {
        self.requests.iter().any(|request| matches!(request.outcome, Outcome::Answered { .. }))
    }
}

impl<M> Streams<M> {
    pub(crate) fn new() -> Self {
        let mut slab = Slab::with_capacity(1);
        let open = Stage::Open { orphan: None };
        slab.insert(Stream::new(StreamId::Standalone, open, Log::new()));
        Self { slab, past: Rarely::new(), places: Ascending::new(), next: 0, in_use: 0 }
    }

    /// Returns the key of a stream that has a log.
    pub(crate) fn find(&self, id: StreamId) -> Option<StreamKey> {
        match id {
            StreamId::Standalone => Some(STANDALONE),
            StreamId::Request(number) => match self.places.get(&number)? {
                Place::Stream(key) => Some(*key),
                Place::Tombstone(_) => None,
            },
        }
    }

    /// Adds a request stream under its number.
    pub(crate) fn add(&mut self, number: u64, stream: Stream<M>) -> StreamKey {
        let key = StreamKey(small(self.slab.insert(stream)));
        self.places.insert(number, Place::Stream(key));
        self.in_use += 1;
        key
    }

    /// Returns what is left of a request stream.
    pub(crate) fn remains(&self, number: u64) -> Option<Remains<'_>> {
        match self.places.get(&number)? {
            Place::Stream(key) => Some(Remains::Stream(*key)),
            Place::Tombstone(at) => {
                let tombstone = self.past.get()?.graveyard.get(*at)?;
                Some(Remains::Tombstone(tombstone))
            }
        }
    }

    /// Returns an empty log.
    pub(crate) fn new_log(&mut self) -> Log<M> {
        match self.past.get_mut() {
            Some(past) => Log::reusing(mem::take(&mut past.spare)),
            None => Log::new(),
        }
    }

    /// Drops a log, and keeps its memory for the next one, unless it is large.
    pub(crate) fn drop_log(&mut self, log: Log<M>) {
        let memory = log.into_memory();
        if memory.capacity() <= SPARE_EVENTS_MAX {
            self.past.need().spare = memory;
        }
    }

    /// Takes a stream out. Its number goes on to name it until it has a tombstone.
    pub(crate) fn remove(&mut self, key: StreamKey) -> Stream<M> {
        let stream = self.slab.remove(key.0 as usize);
        shrink::slab(&mut self.slab);
        stream
    }

    /// Lets nothing be left of a stream that was taken out.
    pub(crate) fn forget(&mut self, id: StreamId) {
        if let StreamId::Request(number) = id {
            self.places.remove(&number);
        }
    }

    /// Puts a tombstone in the place of a stream.
    pub(crate) fn add_tombstone(&mut self, tombstone: Tombstone) {
        let number = tombstone.number;
        let key = self.past.need().graveyard.add(tombstone);
        self.places.insert(number, Place::Tombstone(key));
    }

    /// Takes out the tombstone of a request stream, if that is what is left of it.
    pub(crate) fn remove_tombstone(&mut self, number: u64) -> Option<Tombstone> {
        let Place::Tombstone(key) = *self.places.get(&number)? else {
            return None;
        };
        self.places.remove(&number);
        let graveyard = &mut self.past.get_mut()?.graveyard;
        let tombstone = graveyard.remove(key);
        if graveyard.is_sparse() {
            for (number, key) in graveyard.close() {
                self.places.insert(number, Place::Tombstone(key));
            }
        }
        tombstone
    }

    /// Takes out the tombstone that goes first.
    pub(crate) fn remove_first_tombstone(&mut self) {
        let past = self.past.get_mut();
        if let Some(first) = past.and_then(|past| past.graveyard.remove_first()) {
            self.places.remove(&first.number);
        }
    }

    /// Returns when the first tombstone goes; [`Instant::MAX`] is never.
    pub(crate) fn tombstone_deadline(&self) -> Instant {
        self.past.get().map_or(Instant::MAX, |past| past.graveyard.deadline())
    }

    /// Returns for how many requests there are tombstones.
    pub(crate) fn tombstones_weight(&self) -> usize {
        self.past.get().map_or(0, |past| past.graveyard.weight())
    }

    /// Goes through all tombstones, in the order in which they go.
    #[cfg(feature = "serde")]
    pub(crate) fn tombstones(&self) -> impl Iterator<Item = &Tombstone> {
        self.past.get().into_iter().flat_map(|past| past.graveyard.iter())
    }

    /// Goes through all request streams that have a log, by number.
    pub(crate) fn request_streams(&self) -> impl Iterator<Item = StreamKey> {
        self.places.iter().filter_map(|(_, place)| match place {
            Place::Stream(key) => Some(*key),
            Place::Tombstone(_) => None,
        })
    }
}

#[expect(clippy::indexing_slicing, reason = "a key is given up with what it names")]
impl<M> Index<StreamKey> for Streams<M> {
    type Output = Stream<M>;

    fn index(&self, key: StreamKey) -> &Stream<M> {
        &self.slab[key.0 as usize]
    }
}

#[expect(clippy::indexing_slicing, reason = "a key is given up with what it names")]
impl<M> IndexMut<StreamKey> for Streams<M> {
    fn index_mut(&mut self, key: StreamKey) -> &mut Stream<M> {
        &mut self.slab[key.0 as usize]
    }
}

/// The outcome of a request whose answer is recorded next.
pub(crate) fn answered<M>(log: &Log<M>) -> Outcome {
    Outcome::Answered { index: log.last().saturating_add(1) }
}
