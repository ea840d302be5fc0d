//! Commits: what is recorded is sent once it is committed.

use alloc::{boxed::Box, collections::BTreeMap, vec::Vec};
use core::time::Duration;

use super::{
    Session,
    connection::ConnectionKey,
    stream::{Stream, StreamKey},
};
use crate::{Action, Actions, Change, Entry, Event, Record, StreamId};

/// What is committed, and the streams that wait for the rest.
#[derive(Debug, Default)]
pub(super) struct Commits {
    /// The highest number that was reported as committed.
    through: u64,
    /// The streams that have a number that is not committed, all of which have a log.
    waiting: BTreeMap<StreamId, Waiting>,
}

/// What a stream waits for.
#[derive(Debug, Default)]
struct Waiting {
    /// The last number that its opening or an event of it has taken.
    last: u64,
    /// Its opening, until that is committed.
    opening: Option<Opening>,
    disconnect: Option<DeferredDisconnect>,
}

/// The opening of a stream.
#[derive(Clone, Copy, Debug)]
struct Opening {
    sequence: u64,
    /// Whether the connection of its POST begins with a priming event.
    primes: bool,
}

/// A stream is disconnected once everything is committed that was recorded on it before.
#[derive(Clone, Copy, Debug)]
struct DeferredDisconnect {
    sequence: u64,
    retry: Option<Duration>,
    /// The index that is kept for the retry, once an event was recorded after it.
    retry_index: Option<u64>,
}

impl Commits {
    /// Returns a state in which everything through a number is committed.
    #[cfg(feature = "serde")]
    pub(super) fn committed(through: u64) -> Self {
        Self { through, waiting: BTreeMap::new() }
    }

    /// Notes that the last number is that of an event of `stream`.
    fn wait(&mut self, stream: StreamId, sequence: u64) -> &mut Waiting {
        let waiting = self.waiting.entry(stream).or_default();
        waiting.last = sequence;
        waiting
    }

    #[cold]
    fn forget(&mut self, stream: StreamId) {
        self.waiting.remove(&stream);
    }

    /// Returns the index from which on nothing of a stream may be sent.
    #[cold]
    fn send_end<S>(&self, stream: &Stream<S>) -> u64 {
        match self.waiting.get(&stream.id) {
            None => u64::MAX,
            Some(Waiting { opening: Some(_), .. }) => 0,
            Some(Waiting { disconnect, .. }) => {
                let retry_index = disconnect.and_then(|disconnect| disconnect.retry_index);
                let uncommitted = stream.log.first_uncommitted(self.through);
                uncommitted.unwrap_or(u64::MAX).min(retry_index.unwrap_or(u64::MAX))
            }
        }
    }

    #[cold]
    fn drop_disconnect(&mut self, stream: StreamId) {
        if let Some(waiting) = self.waiting.get_mut(&stream) {
            waiting.disconnect = None;
        }
    }
}

impl<C, S> Session<C, S> {
    /// Requires the commit of a change that was just made.
    #[inline]
    pub(super) fn commit(&self, change: impl FnOnce() -> Change<S>, out: &mut Actions<C, S>) {
        if self.commits.is_some() {
            self.push_record(change, out);
        }
    }

    #[cold]
    #[inline(never)]
    fn push_record(&self, change: impl FnOnce() -> Change<S>, out: &mut Actions<C, S>) {
        let (sequence, change) = (self.sequence, change());
        out.push(Action::Commit(Box::new(Record { sequence, change })));
    }

    /// Returns the index from which on nothing of a stream may be sent.
    #[inline]
    pub(super) fn send_end(&self, stream: StreamKey) -> u64 {
        match &self.commits {
            None => u64::MAX,
            Some(commits) => commits.send_end(&self.streams[stream]),
        }
    }

    /// Returns the last index of a stream that a client may know.
    #[inline]
    pub(super) fn last_committed(&self, stream: StreamKey) -> u64 {
        self.streams[stream].log.last().min(self.send_end(stream).saturating_sub(1))
    }

    /// Forgets a stream that has no log any more.
    #[inline]
    pub(super) fn forget_commits(&mut self, stream: StreamId) {
        if let Some(commits) = &mut self.commits {
            commits.forget(stream);
        }
    }

    /// Drops the deferred disconnect of a stream: it is complete, or its client has left or come
    /// back.
    #[inline]
    pub(super) fn drop_deferred_disconnect(&mut self, stream: StreamKey) {
        if let Some(commits) = &mut self.commits {
            commits.drop_disconnect(self.streams[stream].id);
        }
    }

    /// Returns whether a connection will be sent an event with an id once that is committed.
    pub(super) fn awaits_commit(&self, stream: StreamKey, connection: ConnectionKey) -> bool {
        let waiting =
            self.commits.as_ref().and_then(|commits| commits.waiting.get(&self.streams[stream].id));
        waiting.is_some_and(|waiting| {
            waiting.opening.is_some_and(|opening| opening.primes)
                || !self.is_at_head(stream, connection)
        })
    }

    /// Defers the disconnect of a stream with a connection, until what was recorded on it is
    /// committed. Returns whether it is deferred.
    pub(super) fn defer_disconnect(&mut self, key: StreamKey, retry: Option<Duration>) -> bool {
        let Some(commits) = &mut self.commits else { return false };
        let stream = &self.streams[key];
        let waiting = stream.attached().and_then(|_| commits.waiting.get_mut(&stream.id));
        waiting.is_some_and(|waiting| {
            let sequence = waiting.last;
            let disconnect = DeferredDisconnect { sequence, retry, retry_index: None };
            waiting.disconnect.get_or_insert(disconnect);
            true
        })
    }

    /// Keeps the next index of a stream for the retry of its deferred disconnect, before an event
    /// takes it.
    #[inline]
    pub(super) fn keep_retry_index(&mut self, stream: StreamKey) {
        if self.commits.is_some() && self.uses_priming() {
            self.allocate_retry_index(stream);
        }
    }

    #[cold]
    fn allocate_retry_index(&mut self, key: StreamKey) {
        let stream = &mut self.streams[key];
        let waiting = self.commits.as_mut().and_then(|it| it.waiting.get_mut(&stream.id));
        if let Some(disconnect) = waiting.and_then(|waiting| waiting.disconnect.as_mut())
            && disconnect.retry.is_some()
            && disconnect.retry_index.is_none()
        {
            disconnect.retry_index = Some(stream.log.allocate_index());
            self.exhausted |= stream.log.is_exhausted();
        }
    }
}

impl<C, S: Clone> Session<C, S> {
    /// Requires the commit of the opening of a stream.
    #[cold]
    pub(super) fn commit_opening(&mut self, key: StreamKey, primes: bool, out: &mut Actions<C, S>) {
        let (sequence, stream) = (self.sequence, &self.streams[key]);
        if let (Some(commits), Some(number)) = (&mut self.commits, stream.id.number()) {
            commits.wait(stream.id, sequence).opening = Some(Opening { sequence, primes });
            let requests = stream.requests().iter();
            let requests = requests.map(|request| (request.id.clone(), request.token.clone()));
            let change = Change::Opened { number, requests: requests.collect() };
            out.push(Action::Commit(Box::new(Record { sequence, change })));
        }
    }

    /// Requires the commit of an event that takes the last number.
    #[cold]
    pub(super) fn commit_event(
        &mut self,
        stream: StreamKey,
        index: u64,
        entry: &Entry<S>,
        out: &mut Actions<C, S>,
    ) {
        let (sequence, stream) = (self.sequence, self.streams[stream].id);
        if let Some(commits) = &mut self.commits {
            commits.wait(stream, sequence);
            let change = Change::Logged { stream, index, entry: entry.clone() };
            out.push(Action::Commit(Box::new(Record { sequence, change })));
        }
    }

    /// Handles a commit: sends what has waited for it.
    #[cold]
    pub(super) fn on_committed(&mut self, through: u64, out: &mut Actions<C, S>) {
        let Some(commits) = &mut self.commits else { return };
        if through <= commits.through {
            return;
        }
        commits.through = through;
        let waiting: Vec<StreamId> = commits.waiting.keys().copied().collect();
        for id in waiting {
            self.send_committed(id, through, out);
        }
        if let Some(commits) = &mut self.commits {
            commits.waiting.retain(|_, waiting| waiting.last > through);
        }
    }

    /// Sends what a stream has that is committed, and disconnects the stream if that was deferred.
    fn send_committed(&mut self, id: StreamId, through: u64, out: &mut Actions<C, S>) {
        let primes = self.take_opening(id, through).is_some_and(|opening| opening.primes);
        if let Some((stream, connection)) = self.find_attached(id) {
            if primes && !self.connections[connection].can_resume {
                self.streams[stream].is_primed = true;
                self.send_sse(stream, connection, 0, Event::Priming { retry: None }, out);
            }
            self.send_logged(stream, connection, out);
        }
        if let Some(deferred) = self.take_disconnect(id, through)
            && let Some(stream) = self.streams.find(id)
        {
            self.disconnect(stream, deferred.retry, deferred.retry_index, out);
        }
    }

    /// Returns a stream that has a connection attached, and that connection.
    fn find_attached(&self, id: StreamId) -> Option<(StreamKey, ConnectionKey)> {
        let stream = self.streams.find(id)?;
        Some((stream, self.streams[stream].attached()?))
    }

    /// Takes the opening of a stream, if it is committed.
    fn take_opening(&mut self, id: StreamId, through: u64) -> Option<Opening> {
        let waiting = self.commits.as_mut()?.waiting.get_mut(&id)?;
        waiting.opening.take_if(|opening| opening.sequence <= through)
    }

    /// Takes the disconnect of a stream, if everything that was recorded before is committed.
    fn take_disconnect(&mut self, id: StreamId, through: u64) -> Option<DeferredDisconnect> {
        let waiting = self.commits.as_mut()?.waiting.get_mut(&id)?;
        waiting.disconnect.take_if(|deferred| deferred.sequence <= through)
    }
}
