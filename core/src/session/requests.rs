//! The requests of both sides that are under way.

use alloc::collections::BTreeMap;
use core::ops::Bound;

use super::{
    Session,
    stream::{Outcome, StreamKey},
};
use crate::{
    Entry, Failure, FailureReason, Log, ProgressToken, RequestId, StreamId,
    queue::{Entrant, Queue, Ticket},
};

/// The client's requests.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    /// Those that are pending, `initialize` not included.
    pub(crate) pending: BTreeMap<RequestId, StreamKey>,
    /// The progress tokens of the pending ones.
    pub(crate) tokens: BTreeMap<ProgressToken, StreamKey>,
    /// The reserved ids of cancelled ones.
    pub(crate) cancelled: BTreeMap<RequestId, Ticket>,
}

impl Requests {
    pub(crate) fn is_in_use(&self, id: &RequestId) -> bool {
        self.pending.contains_key(id) || self.cancelled.contains_key(id)
    }

    /// Returns the stream of the only pending request, if there is but one.
    pub(crate) fn sole(&self) -> Option<StreamKey> {
        match self.pending.len() {
            1 => self.pending.values().next().copied(),
            _ => None,
        }
    }
}

/// The backend's requests that wait for the client.
#[derive(Debug, Default)]
pub(crate) struct Questions {
    questions: BTreeMap<RequestId, Question>,
    places: BTreeMap<(StreamId, u64), RequestId>,
}

/// A request of the backend that waits for the client.
#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) stream: StreamId,
    pub(crate) index: u64,
    /// Its place among those that wait for a connection.
    pub(crate) listen: Option<Ticket>,
}

impl Questions {
    pub(crate) fn len(&self) -> usize {
        self.questions.len()
    }

    pub(crate) fn get(&self, id: &RequestId) -> Option<&Question> {
        self.questions.get(id)
    }

    pub(crate) fn get_mut(&mut self, id: &RequestId) -> Option<&mut Question> {
        self.questions.get_mut(id)
    }

    pub(crate) fn at(&self, stream: StreamId, index: u64) -> Option<&RequestId> {
        self.places.get(&(stream, index))
    }

    pub(crate) fn add(&mut self, id: RequestId, question: Question) {
        self.places.insert((question.stream, question.index), id.clone());
        self.questions.insert(id, question);
    }

    pub(crate) fn remove(&mut self, id: &RequestId) -> Option<Question> {
        let question = self.questions.remove(id)?;
        self.places.remove(&(question.stream, question.index));
        Some(question)
    }

    /// Returns the index of the first one on `stream` after `index`.
    pub(crate) fn next(&self, stream: StreamId, index: u64) -> Option<u64> {
        if self.places.is_empty() {
            return None;
        }
        let after = (Bound::Excluded((stream, index)), Bound::Included((stream, u64::MAX)));
        let ((_, next), _) = self.places.range(after).next()?;
        Some(*next)
    }

    /// Goes through all of them, by stream and index.
    #[cfg(feature = "serde")]
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&RequestId, &Question)> {
        self.places.values().filter_map(|id| self.questions.get_key_value(id))
    }
}

impl<M> Session<M> {
    /// Notes what became of a pending request, and lets go of its id and token.
    /// Returns its stream.
    pub(super) fn resolve(
        &mut self,
        id: &RequestId,
        outcome: impl FnOnce(&Log<M>) -> Outcome,
    ) -> Option<StreamKey> {
        let key = self.requests.pending.remove(id)?;
        let stream = &mut self.streams[key];
        let outcome = outcome(&stream.log);
        if let Some(token) = stream.resolve(id, outcome) {
            self.requests.tokens.remove(&token);
        }
        Some(key)
    }

    /// Keeps the id of a cancelled request from being used again, for a while.
    pub(super) fn reserve_id(&mut self, id: RequestId) {
        let due = self.now.due(self.config.cancelled_timeout);
        let ticket = self.queues.enter(Entrant::Cancelled(id.clone()), due);
        self.requests.cancelled.insert(id, ticket);
        if self.requests.cancelled.len() > self.config.cancelled_max
            && let Some(Entrant::Cancelled(first)) = self.queues.first(Queue::Cancelled)
        {
            self.release_id(&first.clone());
        }
    }

    /// Lets the id of a cancelled request be used again. Returns whether it was reserved.
    pub(super) fn release_id(&mut self, id: &RequestId) -> bool {
        let ticket = self.requests.cancelled.remove(id);
        if let Some(ticket) = ticket {
            self.queues.leave(ticket);
        }
        ticket.is_some()
    }

    /// Lets a request of the backend wait no longer.
    pub(super) fn remove_question(&mut self, id: &RequestId) -> Option<Question> {
        let question = self.questions.remove(id)?;
        if let Some(listen) = question.listen {
            self.queues.leave(listen);
        }
        Some(question)
    }
}

/// Makes the entry of a request that gets no response.
pub(super) fn failure<M>(id: RequestId, reason: FailureReason) -> Entry<M> {
    Entry::Failure(Failure { id, reason })
}
