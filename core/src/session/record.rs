//! Recording of events: sending and logging.

use core::time::Duration;

use super::{
    Session,
    connection::ConnectionKey,
    kept::UnloggedEvent,
    requests::{ServerRequest, failure},
    stream::StreamKey,
};
use crate::{
    ANSWER_INDEX, Action, Actions, Answer, Change, Entry, Event, EventId, FailureReason,
    MessageKind, UnansweredReason,
};

impl<C, S: Clone> Session<C, S> {
    /// Records an event on an open stream: sends it if possible, and logs it.
    pub(super) fn record(&mut self, stream: StreamKey, entry: Entry<S>, out: &mut Actions<C, S>) {
        self.keep_retry_index(stream);
        let fits = self.make_room(entry.cost(), out);
        let reader = self.streams[stream].attached();
        let reader = reader.filter(|reader| self.may_send_next(stream, *reader));
        let index = self.allocate_index(stream);
        if fits {
            self.send_and_log(stream, reader, index, entry, out);
        } else {
            self.record_evicted(stream, reader, index, entry, out);
        }
        self.enforce_stream_limits(stream, out);
        if self.streams[stream].attached().is_none()
            && let Some(request) = self.server_requests.at_event(self.streams[stream].id, index)
        {
            self.start_delivery_timer(stream, request);
        }
    }

    fn send_and_log(
        &mut self,
        stream: StreamKey,
        reader: Option<ConnectionKey>,
        index: u64,
        entry: Entry<S>,
        out: &mut Actions<C, S>,
    ) {
        let server_request = match &entry {
            Entry::Message { kind: MessageKind::Request(id), .. } => Some(id.clone()),
            Entry::Message {
                kind: MessageKind::Response(_) | MessageKind::Notification, ..
            }
            | Entry::Failure(_) => None,
        };
        if let Some(connection) = reader
            && self.commits.is_none()
        {
            self.send_entry(stream, connection, index, &entry, out);
        }
        self.append(stream, index, entry, out);
        if let Some(id) = server_request {
            let stream = self.streams[stream].id;
            let was_delivered = false;
            let request = ServerRequest { id, stream, index, timer: None, was_delivered };
            self.server_requests.add(request);
        }
    }

    /// Records a new event that is evicted: a response is replaced by a failure, and any other
    /// event by a gap.
    #[cold]
    fn record_evicted(
        &mut self,
        stream: StreamKey,
        reader: Option<ConnectionKey>,
        index: u64,
        entry: Entry<S>,
        out: &mut Actions<C, S>,
    ) {
        match entry {
            Entry::Message { kind: MessageKind::Response(id), .. } => {
                self.report_evicted(stream, id.clone(), out);
                let failure = failure(id, FailureReason::Evicted);
                return self.send_and_log(stream, reader, index, failure, out);
            }
            Entry::Message { kind: MessageKind::Request(id), .. } => {
                out.push(Action::FailServerRequest { id, reason: UnansweredReason::Evicted });
            }
            Entry::Message { kind: MessageKind::Notification, .. } | Entry::Failure(_) => {}
        }
        self.streams[stream].log.note_missed(index);
        self.commit(|| Change::Missed { stream: self.streams[stream].id, index }, out);
        if let Some(connection) = reader {
            self.send_logged(stream, connection, out);
        }
    }

    /// Sends the entry of a log, at an index.
    pub(super) fn send_entry(
        &mut self,
        stream: StreamKey,
        connection: ConnectionKey,
        index: u64,
        entry: &Entry<S>,
        out: &mut Actions<C, S>,
    ) {
        let id = EventId::new(self.streams[stream].id, index);
        out.push(self.connections[connection].entry_action(id, entry));
        self.note_sent(connection, index);
    }

    /// Sends an event that is not logged, with an id that a client can resume after.
    pub(super) fn send_sse(
        &mut self,
        stream: StreamKey,
        connection: ConnectionKey,
        index: u64,
        event: Event<S>,
        out: &mut Actions<C, S>,
    ) {
        let id = EventId::new(self.streams[stream].id, index);
        out.push(self.connections[connection].event_action(id, event));
        self.note_sent(connection, index);
    }

    /// Sends the whole answer to a POST that opened no stream.
    pub(super) fn respond(
        &mut self,
        connection: ConnectionKey,
        answer: Answer<S>,
        cost: usize,
        out: &mut Actions<C, S>,
    ) {
        out.push(Action::Respond { connection: self.connections[connection].id, answer });
        self.add_unlogged(connection, UnloggedEvent { index: ANSWER_INDEX, cost });
        self.note_sent(connection, ANSWER_INDEX);
    }

    /// Sends a priming event on a connection that is at the head with nothing in flight. The
    /// first one of a stream has index 0 if no event came before, so that no id is used twice.
    ///
    /// Specification: MCP 2025-11-25, Transports, "Resumability and Redelivery".
    pub(super) fn send_priming(
        &mut self,
        stream: StreamKey,
        connection: ConnectionKey,
        out: &mut Actions<C, S>,
    ) {
        let event = Event::Priming { retry: None };
        if self.streams[stream].is_primed || self.streams[stream].log.last() > 0 {
            let index = self.allocate_index(stream);
            self.send_sse(stream, connection, index, event, out);
            return;
        }
        self.streams[stream].is_primed = true;
        self.send_sse(stream, connection, 0, event, out);
    }

    /// Sends the client of a stream a reconnection delay, at an index that was kept for it or the
    /// next one, if the window admits it.
    pub(super) fn send_retry(
        &mut self,
        (stream, connection): (StreamKey, ConnectionKey),
        retry: Duration,
        kept: Option<u64>,
        out: &mut Actions<C, S>,
    ) {
        let cursor = &self.connections[connection].cursor;
        let index = match kept {
            // What comes before it was sent, or the window admits neither.
            Some(index) if cursor.admits(index, self.config.window_events_max) => index,
            None if self.may_send_next(stream, connection) => self.allocate_index(stream),
            Some(_) | None => return,
        };
        self.send_sse(stream, connection, index, Event::Priming { retry: Some(retry) }, out);
        let retry_at = self.now.saturating_add(retry);
        self.streams[stream].retry_at = retry_at;
        self.retry_at = self.retry_at.max(retry_at);
    }

    /// Allocates the next index of a stream.
    pub(super) fn allocate_index(&mut self, stream: StreamKey) -> u64 {
        let log = &mut self.streams[stream].log;
        let index = log.allocate_index();
        self.exhausted |= log.is_exhausted();
        index
    }

    pub(super) fn append(
        &mut self,
        key: StreamKey,
        index: u64,
        entry: Entry<S>,
        out: &mut Actions<C, S>,
    ) {
        let sequence = self.next_sequence();
        if self.commits.is_some() {
            self.commit_event(key, index, &entry, out);
        }
        self.logged_bytes += self.streams[key].log.append(index, sequence, entry);
    }

    /// Records that the event at `index` was sent.
    #[inline]
    fn note_sent(&mut self, key: ConnectionKey, index: u64) {
        self.connections[key].cursor.sent(index);
        self.arm_stall_timer(key);
    }
}

impl<C, S> Session<C, S> {
    /// Returns whether a connection is at the head, and its window admits the event at the
    /// next index.
    pub(super) fn may_send_next(&self, stream: StreamKey, connection: ConnectionKey) -> bool {
        let index = self.streams[stream].log.last().saturating_add(1);
        let cursor = &self.connections[connection].cursor;
        cursor.admits(index, self.config.window_events_max) && self.is_at_head(stream, connection)
    }
}
