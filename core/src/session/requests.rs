//! The requests of both sides that are under way.

use alloc::collections::{BTreeMap, VecDeque};
use core::ops::Bound;

use slab::Slab;

use super::{
    Session,
    stream::{Outcome, StreamKey},
};
use crate::{
    Entry, Failure, FailureReason, Log, ProgressToken, RequestId, StreamId,
    ascending::Ascending,
    queue::{Key, Queue, Ticket, small},
    rarely::Rarely,
    shrink,
};

/// The client's requests.
#[derive(Debug)]
pub(crate) struct Requests {
    /// Those that are pending, `initialize` not included: at most `pending_requests_max`.
    pub(crate) pending: Ascending<RequestId, StreamKey>,
    /// The progress tokens of the pending ones.
    pub(crate) tokens: BTreeMap<ProgressToken, StreamKey>,
    /// The reserved ids of cancelled ones: with the pending ones at most `pending_requests_max` and
    /// `cancelled_requests_max` together.
    pub(crate) cancelled: Cancelled,
    /// The progress tokens of tasks.
    pub(crate) tasks: TaskTokens,
}

/// The progress tokens of requests that were answered by a task, which live on with it.
/// Nobody has to say when a task ends, so the latest ones are kept: at most `pending_requests_max`.
///
/// Specification: MCP 2025-11-25, Utilities, "Progress".
#[derive(Debug)]
pub(crate) struct TaskTokens(Rarely<VecDeque<ProgressToken>>);

/// The reserved ids of cancelled requests.
#[derive(Debug)]
pub(crate) struct Cancelled(Rarely<CancelledTables>);

#[derive(Debug, Default)]
struct CancelledTables {
    slab: Slab<(RequestId, Ticket)>,
    ids: BTreeMap<RequestId, Key>,
}

/// The backend's requests that wait for the client.
#[derive(Debug)]
pub(crate) struct Questions(Rarely<QuestionTables>);

#[derive(Debug, Default)]
struct QuestionTables {
    slab: Slab<Question>,
    ids: BTreeMap<RequestId, QuestionKey>,
    places: BTreeMap<(StreamId, u64), QuestionKey>,
}

/// Names a request of the backend that waits for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct QuestionKey(pub(crate) Key);

/// A request of the backend that waits for the client.
#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) id: RequestId,
    pub(crate) stream: StreamId,
    pub(crate) index: u64,
    /// Its place among those that wait for a connection, or for their answer.
    pub(crate) timer: Option<Ticket>,
    /// Whether it was taken, and waits for its answer only.
    pub(crate) was_delivered: bool,
}

impl Requests {
    pub(crate) const fn new() -> Self {
        Self {
            pending: Ascending::new(),
            tokens: BTreeMap::new(),
            cancelled: Cancelled(Rarely::new()),
            tasks: TaskTokens(Rarely::new()),
        }
    }

    pub(crate) fn is_in_use(&self, id: &RequestId) -> bool {
        self.pending.get(id).is_some() || self.cancelled.find(id).is_some()
    }

    /// Returns the stream of the only pending request, if there is but one.
    pub(crate) fn sole(&self) -> Option<StreamKey> {
        match self.pending.len() {
            1 => self.pending.iter().next().map(|(_, stream)| *stream),
            _ => None,
        }
    }
}

impl TaskTokens {
    pub(crate) fn contains(&self, token: &ProgressToken) -> bool {
        self.0.get().is_some_and(|tokens| tokens.contains(token))
    }

    /// Adds a token, and drops the oldest ones where there are more than `max`.
    pub(crate) fn add(&mut self, token: ProgressToken, max: usize) {
        let tokens = self.0.need();
        tokens.push_back(token);
        while tokens.len() > max {
            tokens.pop_front();
        }
    }

    pub(crate) fn remove(&mut self, token: &ProgressToken) {
        if let Some(tokens) = self.0.get_mut() {
            tokens.retain(|other| other != token);
        }
    }

    /// Goes through all of them, the oldest first.
    #[cfg(feature = "serde")]
    pub(crate) fn iter(&self) -> impl Iterator<Item = &ProgressToken> {
        self.0.get().into_iter().flatten()
    }
}

impl Cancelled {
    pub(crate) fn find(&self, id: &RequestId) -> Option<Key> {
        self.0.get()?.ids.get(id).copied()
    }

    /// Adds an id, which `queue` gives a place by its key. Returns whether it is new.
    pub(crate) fn add(&mut self, id: RequestId, queue: impl FnOnce(Key) -> Ticket) -> bool {
        let tables = self.0.need();
        let entry = tables.slab.vacant_entry();
        let key = small(entry.key());
        entry.insert((id.clone(), queue(key)));
        tables.ids.insert(id, key).is_none()
    }

    pub(crate) fn remove(&mut self, key: Key) -> Option<Ticket> {
        let tables = self.0.get_mut()?;
        let (id, ticket) = tables.slab.try_remove(key as usize)?;
        tables.ids.remove(&id);
        shrink::slab(&mut tables.slab);
        Some(ticket)
    }

    #[cfg(feature = "serde")]
    pub(crate) fn id(&self, key: Key) -> Option<&RequestId> {
        let (id, _) = self.0.get()?.slab.get(key as usize)?;
        Some(id)
    }
}

impl Questions {
    pub(crate) const fn new() -> Self {
        Self(Rarely::new())
    }

    pub(crate) fn len(&self) -> usize {
        self.0.get().map_or(0, |tables| tables.ids.len())
    }

    pub(crate) fn find(&self, id: &RequestId) -> Option<QuestionKey> {
        self.0.get()?.ids.get(id).copied()
    }

    #[inline]
    pub(crate) fn at(&self, stream: StreamId, index: u64) -> Option<QuestionKey> {
        self.0.get()?.places.get(&(stream, index)).copied()
    }

    /// Returns the first one on `stream` after `index`.
    #[inline]
    pub(crate) fn next(&self, stream: StreamId, index: u64) -> Option<(u64, QuestionKey)> {
        let after = (Bound::Excluded((stream, index)), Bound::Included((stream, u64::MAX)));
        let ((_, next), key) = self.0.get()?.places.range(after).next()?;
        Some((*next, *key))
    }

    pub(crate) fn get_mut(&mut self, key: QuestionKey) -> Option<&mut Question> {
        self.0.get_mut()?.slab.get_mut(key.0 as usize)
    }

    pub(crate) fn add(&mut self, question: Question) {
        let tables = self.0.need();
        let (id, place) = (question.id.clone(), (question.stream, question.index));
        let key = QuestionKey(small(tables.slab.insert(question)));
        tables.ids.insert(id, key);
        tables.places.insert(place, key);
    }

    pub(crate) fn remove(&mut self, key: QuestionKey) -> Option<Question> {
        let tables = self.0.get_mut()?;
        let question = tables.slab.try_remove(key.0 as usize)?;
        tables.ids.remove(&question.id);
        tables.places.remove(&(question.stream, question.index));
        shrink::slab(&mut tables.slab);
        Some(question)
    }

    #[cfg(feature = "serde")]
    pub(crate) fn id(&self, key: Key) -> Option<&RequestId> {
        let question = self.0.get()?.slab.get(key as usize)?;
        Some(&question.id)
    }

    /// Goes through all of them, by stream and index.
    #[cfg(feature = "serde")]
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Question> {
        let tables = self.0.get().into_iter();
        tables.flat_map(|tables| {
            tables.places.values().filter_map(|key| tables.slab.get(key.0 as usize))
        })
    }
}

impl<M> Session<M> {
    /// Notes what became of a pending request, and lets go of its id and token.
    /// Returns its stream, and the token.
    pub(super) fn resolve(
        &mut self,
        id: &RequestId,
        outcome: impl FnOnce(&Log<M>) -> Outcome,
    ) -> Option<(StreamKey, Option<ProgressToken>)> {
        let key = self.requests.pending.remove(id)?;
        let stream = &mut self.streams[key];
        let outcome = outcome(&stream.log);
        let token = stream.resolve(id, outcome);
        if let Some(token) = &token {
            self.requests.tokens.remove(token);
        }
        Some((key, token))
    }

    /// Keeps the id of a cancelled request from being used again, for a while.
    pub(super) fn reserve_id(&mut self, id: RequestId) {
        let due = self.now.due(self.config.timeouts().cancelled);
        let queues = &mut self.queues;
        self.requests.cancelled.add(id, |key| queues.enter(Queue::Cancelled, key, due));
    }

    /// Lets the id of a cancelled request be used again.
    pub(super) fn release_id(&mut self, key: Key) {
        if let Some(ticket) = self.requests.cancelled.remove(key) {
            self.queues.leave(ticket);
        }
    }

    /// Lets a request of the backend wait no longer.
    pub(super) fn remove_question(&mut self, key: QuestionKey) -> Option<Question> {
        let question = self.questions.remove(key)?;
        if let Some(timer) = question.timer {
            self.queues.leave(timer);
        }
        Some(question)
    }
}

/// Makes the entry of a request that gets no response.
pub(super) fn failure<M>(id: RequestId, reason: FailureReason) -> Entry<M> {
    Entry::Failure(Failure { id, reason })
}
