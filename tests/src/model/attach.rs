//! Section "Sending": attaching connections, and what is sent on them.

use rejoin_core::{Action, Answer, CloseReason, ConnectionId, Event, EventId, Instant, StreamId};

use super::{
    Model,
    connection::{Connection, Role},
    stream::Kind,
};

impl Model {
    /// Returns the connection that is attached to `stream`.
    pub(super) fn attached(&self, stream: StreamId) -> Option<&Connection> {
        self.connections.iter().find(|connection| {
            connection.role == Role::Attached && connection.stream == Some(stream)
        })
    }

    /// Attaches a connection to a stream.
    pub(super) fn attach(
        &mut self,
        connection: ConnectionId,
        stream: StreamId,
        after: u64,
        is_primed: bool,
    ) {
        let it = &mut self.connections[connection];
        it.role = Role::Attached;
        it.stream = Some(stream);
        it.start_after(after);
        let it = &mut self.streams[stream];
        (it.orphaned, it.retry_at, it.deferred) = (None, Instant::EPOCH, None);
        self.stop_delivery_timers(stream);
        self.catch_up(connection);
        if is_primed
            && self.is_priming_on()
            && self.is_at_head(stream)
            && self.connections[connection].in_flight.is_empty()
        {
            let it = &mut self.streams[stream];
            let is_first = it.last == 0 && !it.is_primed;
            it.is_primed |= is_first;
            it.last += u64::from(!is_first);
            let index = it.last;
            let id = EventId::new(stream, index);
            self.send(connection, 0, id, Event::Priming { retry: None });
        }
    }

    /// Discards what is in flight on a connection, so that it can be sent on another one.
    pub(super) fn discard(&mut self, connection: ConnectionId) {
        self.note_silence(connection);
        let it = &mut self.connections[connection];
        if !it.in_flight.is_empty() {
            it.in_flight.clear();
            it.next = it.rewind_to;
            it.first_unacknowledged = it.next;
            it.silent_since = None;
            it.is_stalled = false;
            let stamp = self.stamp();
            self.connections[connection].note_if_drained(stamp);
            self.emit(Action::Discard { connection });
        }
    }

    /// Sends an attached connection what its window admits.
    pub(super) fn catch_up(&mut self, connection: ConnectionId) {
        let it = &self.connections[connection];
        let Some(stream) = it.stream.filter(|_| it.role == Role::Attached) else {
            return;
        };
        while let Some((sent, event, is_response)) = self.next_event(connection, stream)
            && self.connections[connection].admits(sent.0, &self.config)
        {
            self.send_event(connection, stream, sent, event, is_response);
        }
        self.close_if_complete(stream);
    }

    /// Returns what a connection is sent next, with its index and cost: the next event of the
    /// log, or the gap before it; and whether it is a response.
    fn next_event(
        &self,
        connection: ConnectionId,
        stream: StreamId,
    ) -> Option<((u64, usize), Event<u64>, bool)> {
        if self.streams[stream].opening.is_some() {
            return None;
        }
        let next = self.connections[connection].next;
        let kept = self.kept_for_retry(stream);
        let logged = self.streams[stream].logged_from(next).next();
        let logged = logged.filter(|logged| logged.index < kept);
        let missed = self.streams[stream].missed.min(kept - 1);
        let is_logged = logged.is_some_and(|logged| logged.index == next);
        if missed >= next && !is_logged {
            let last = logged.map_or(missed, |logged| missed.min(logged.index - 1));
            let first = next.max(self.streams[stream].skipped_below);
            return Some(((last, 0), Event::Gap { first }, false));
        }
        let logged = logged.filter(|logged| self.is_committed(logged.number))?;
        let is_response = matches!(logged.kind, Kind::Response(_));
        Some((logged.index_and_cost(), logged.to_event(), is_response))
    }

    /// Sends an event of a stream: the response to a POST in JSON format is its whole answer.
    pub(super) fn send_event(
        &mut self,
        connection: ConnectionId,
        stream: StreamId,
        (index, cost): (u64, usize),
        event: Event<u64>,
        is_response: bool,
    ) {
        let is_whole = is_response && index == 1 && !self.connections[connection].is_sse;
        let answer = match &event {
            Event::Message(body) if is_whole => Some(Answer::Message(*body)),
            Event::Failure(failure) if is_whole => Some(Answer::Failure(failure.clone())),
            Event::Message(_) | Event::Failure(_) | Event::Priming { .. } | Event::Gap { .. } => {
                None
            }
        };
        match answer {
            Some(answer) => self.respond(connection, cost, answer),
            None => self.send(connection, cost, EventId::new(stream, index), event),
        }
    }

    /// Returns whether a connection is attached to `stream` and is at its head.
    pub(super) fn is_at_head(&self, stream: StreamId) -> bool {
        let it = &self.streams[stream];
        self.attached(stream).is_some_and(|attached| {
            it.logged_from(attached.next).next().is_none() && it.missed < attached.next
        })
    }

    /// Returns the connection that is attached to `stream`, if it is at the head, and its window
    /// admits the event at `index`.
    pub(super) fn live(&self, stream: StreamId, index: u64) -> Option<&Connection> {
        let attached = self.attached(stream).filter(|_| self.is_at_head(stream));
        attached.filter(|attached| attached.admits(index, &self.config))
    }

    /// Sends an event as SSE.
    pub(super) fn send(
        &mut self,
        connection: ConnectionId,
        cost: usize,
        id: EventId,
        event: Event<u64>,
    ) {
        let has_logging = self.initialized.is_some_and(|initialized| initialized.logging);
        let it = &mut self.connections[connection];
        it.is_sse = true;
        if has_logging || !matches!(event, Event::Gap { .. }) {
            it.was_sent_id = true;
            self.streams[id.stream].can_come_back = true;
        }
        self.emit(Action::Send { connection, id, event });
        self.note_sent(connection, id.index, cost);
    }

    /// Sends the whole answer to a POST.
    pub(super) fn respond(&mut self, connection: ConnectionId, cost: usize, answer: Answer<u64>) {
        self.emit(Action::Respond { connection, answer });
        self.note_sent(connection, 1, cost);
    }

    fn note_sent(&mut self, connection: ConnectionId, index: u64, cost: usize) {
        let stamp = self.stamp();
        self.connections[connection].note_sent(index, cost, stamp);
    }

    /// Closes a connection, which drains.
    pub(super) fn close_connection(&mut self, connection: ConnectionId, reason: CloseReason) {
        self.note_silence(connection);
        self.emit(Action::Close { connection, reason });
        let stamp = self.stamp();
        let it = &mut self.connections[connection];
        it.role = Role::Draining;
        it.close_reason = Some(reason);
        it.note_if_drained(stamp);
    }
}
