//! Section "Committing".

use std::time::Duration;

use rejoin_core::{
    Action, ApiMisuse, Change, EVENT_OVERHEAD_BYTES, Entry, Event, EventId, Failure, MessageKind,
    Record, Rejection, StreamId,
};

use super::{
    Case, Model,
    connection::Origin,
    stream::{self, Deferred, Kind, Opening, Phase, RecordedEvent, Stream},
};

impl Model {
    /// Takes the next number of the sequence.
    pub(super) fn take_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    pub(super) fn is_committed(&self, number: u64) -> bool {
        !self.config.commits || number <= self.committed
    }

    /// Requires the commit of a change.
    pub(super) fn commit(&mut self, change: Change<u64>) {
        if self.config.commits {
            let sequence = self.last_number;
            self.emit(Action::Commit(Box::new(Record { sequence, change })));
        }
    }

    /// Requires the commit of the opening of a stream that took the last number.
    pub(super) fn commit_opening(&mut self, stream: StreamId, is_sse: bool) {
        if let StreamId::Request(id) = stream
            && self.config.commits
        {
            let (number, primes) = (self.last_number, is_sse && self.is_priming_on());
            let it = &mut self.streams[stream];
            it.opening = Some(Opening { number, primes });
            let requests = it.requests.iter().map(|it| (it.id.clone(), it.token.clone())).collect();
            self.commit(Change::Opened { number: id, requests });
        }
    }

    /// Requires the commit of an event that took the last number.
    pub(super) fn commit_event(&mut self, stream: StreamId, event: &RecordedEvent) {
        let entry = match (&event.entry, &event.kind) {
            (stream::Entry::Message(body), kind) => Entry::Message {
                body: *body,
                bytes: event.cost - EVENT_OVERHEAD_BYTES,
                kind: match kind {
                    Kind::Response(id) => MessageKind::Response(id.clone()),
                    Kind::Request(id) => MessageKind::Request(id.clone()),
                    Kind::Notification => MessageKind::Notification,
                },
            },
            (stream::Entry::Failure(reason), Kind::Response(id)) => {
                Entry::Failure(Failure { id: id.clone(), reason: *reason })
            }
            (stream::Entry::Failure(_) | stream::Entry::Removed, _) => {
                unreachable!("{event:?} is not in the log")
            }
        };
        self.commit(Change::Logged { stream, index: event.index, entry });
    }

    pub(super) fn check_committed(&self, through: u64) -> Result<(), Rejection> {
        if through > self.last_number {
            return Err(ApiMisuse::CommittedUnrecorded(through).into());
        }
        Ok(())
    }

    pub(super) fn on_committed(&mut self, through: u64) {
        if !self.config.commits || through <= self.committed {
            return;
        }
        let mut waiting: Vec<StreamId> =
            self.streams.iter().filter(|it| self.waits(it)).map(|it| it.id).collect();
        waiting.sort();
        self.committed = through;
        for stream in waiting {
            // Those before may have left its tombstone.
            if self.streams.get(stream).is_some() {
                self.prime_if_opened(stream);
                if let Some(connection) = self.attached(stream).map(|attached| attached.id) {
                    self.catch_up(connection);
                }
                self.disconnect_if_due(stream);
            }
        }
    }

    /// Returns whether a stream waits for a commit.
    fn waits(&self, stream: &Stream) -> bool {
        !self.is_committed(stream.last_number)
    }

    /// Primes the connection of the POST of a stream, if its opening is committed now.
    fn prime_if_opened(&mut self, stream: StreamId) {
        let committed = self.committed;
        let it = &mut self.streams[stream];
        let opening = it.opening.take_if(|opening| opening.number <= committed);
        if opening.is_some_and(|opening| opening.primes)
            && let Some(attached) = self.attached(stream)
            && attached.origin != Origin::Resume
        {
            let connection = attached.id;
            self.streams[stream].is_primed = true;
            let id = EventId::new(stream, 0);
            self.send(connection, 0, id, Event::Priming { retry: None });
        }
    }

    /// Defers the disconnect of a stream that has a connection and waits. Returns whether it does.
    pub(super) fn defer_disconnect(&mut self, stream: StreamId, retry: Option<Duration>) -> bool {
        let is_deferred = self.attached(stream).is_some() && self.waits(&self.streams[stream]);
        if is_deferred {
            let it = &mut self.streams[stream];
            let deferred = Deferred { number: it.last_number, retry, kept: None };
            it.deferred.get_or_insert(deferred);
            self.reach(Case::DeferredDisconnect);
        }
        is_deferred
    }

    fn disconnect_if_due(&mut self, stream: StreamId) {
        let committed = self.committed;
        // It may be a tombstone now.
        if self.streams.get(stream).is_none() {
            return;
        }
        if let Some(Deferred { number, retry, kept }) = self.deferred(stream)
            && number <= committed
        {
            self.streams[stream].deferred = None;
            self.disconnect(stream, retry, kept);
        }
    }

    /// Returns the deferred disconnect of a stream, unless it was dropped.
    fn deferred(&self, stream: StreamId) -> Option<Deferred> {
        let it = &self.streams[stream];
        let is_dropped = it.phase == Phase::Complete || self.attached(stream).is_none();
        it.deferred.filter(|_| !is_dropped)
    }

    /// Keeps an index for a deferred retry, before an event takes the next one.
    pub(super) fn keep_retry_index(&mut self, stream: StreamId) {
        if let Some(Deferred { retry: Some(_), kept: None, .. }) = self.deferred(stream)
            && self.is_priming_on()
        {
            let it = &mut self.streams[stream];
            it.last += 1;
            let kept = Some(it.last);
            it.deferred.iter_mut().for_each(|deferred| deferred.kept = kept);
            self.reach(Case::KeptRetryIndex);
        }
    }

    /// Returns the index from which on nothing is sent, because it is kept for a retry.
    pub(super) fn kept_for_retry(&self, stream: StreamId) -> u64 {
        self.deferred(stream).and_then(|deferred| deferred.kept).unwrap_or(u64::MAX)
    }

    /// Returns whether the client on the connection of a stream gets an event id with a commit.
    pub(super) fn awaits_event_id(&self, stream: StreamId) -> bool {
        let it = &self.streams[stream];
        let is_to_be_primed = it.opening.is_some_and(|opening| opening.primes);
        self.waits(it) && (is_to_be_primed || !self.is_at_head(stream))
    }

    /// Returns the highest index that a client may have.
    pub(super) fn last_known(&self, stream: &Stream) -> u64 {
        if stream.opening.is_some() {
            return 0;
        }
        let mut uncommitted = stream.logged_from(0).filter(|it| !self.is_committed(it.number));
        let last = uncommitted.next().map_or(stream.last, |first| first.index - 1);
        last.min(self.kept_for_retry(stream.id) - 1)
    }
}
