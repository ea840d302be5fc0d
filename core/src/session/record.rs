//! Recording of events: sending, logging, and eviction by limits.

use core::time::Duration;

use super::{
    Session,
    connection::ConnectionKey,
    in_flight::Sent,
    requests::ServerRequest,
    stream::{Stream, StreamKey},
};
use crate::{
    ANSWER_INDEX, Action, Actions, Answer, Entry, Event, EventId, MessageKind, Report,
    UnansweredReason, log::Evicted, timers::TimerKind,
};

impl<M: Clone> Session<M> {
    /// Records an event on an open stream: sends it if possible, and logs it.
    pub(super) fn record(&mut self, stream: StreamKey, entry: Entry<M>, out: &mut Actions<M>) {
        let cost = entry.cost();
        let reader = self.streams[stream].attached;
        let reader = reader.filter(|reader| self.may_send_next(stream, *reader, cost));
        let index = self.allocate_index(stream);
        let server_request = match &entry {
            Entry::Message { kind: MessageKind::Request(id), .. } => Some(id.clone()),
            Entry::Message {
                kind: MessageKind::Response(_) | MessageKind::Notification, ..
            }
            | Entry::Failure(_) => None,
        };
        if let Some(connection) = reader {
            self.send_entry(stream, connection, index, &entry, out);
        }
        self.append(stream, index, entry);
        if let Some(id) = server_request {
            let stream = self.streams[stream].id;
            self.server_requests.add(ServerRequest {
                id,
                stream,
                index,
                timer: None,
                was_delivered: false,
            });
        }
        self.enforce_limits(stream, out);
        if self.streams[stream].attached.is_none()
            && let Some(request) = self.server_requests.at_event(self.streams[stream].id, index)
        {
            self.start_delivery_timer(stream, request);
        }
    }

    /// Sends the entry of a log, at an index.
    pub(super) fn send_entry(
        &mut self,
        stream: StreamKey,
        connection: ConnectionKey,
        index: u64,
        entry: &Entry<M>,
        out: &mut Actions<M>,
    ) {
        let id = EventId::new(self.streams[stream].id, index);
        out.push(self.connections[connection].entry_action(id, entry));
        self.add_in_flight(connection, Sent { index, cost: entry.cost() });
    }

    /// Sends an event that is not logged, with an id that a client can resume after.
    pub(super) fn send_sse(
        &mut self,
        stream: StreamKey,
        connection: ConnectionKey,
        index: u64,
        event: Event<M>,
        out: &mut Actions<M>,
    ) {
        let id = EventId::new(self.streams[stream].id, index);
        out.push(self.connections[connection].event_action(id, event));
        self.add_in_flight(connection, Sent { index, cost: 0 });
    }

    /// Sends the whole answer to a POST.
    pub(super) fn respond(
        &mut self,
        connection: ConnectionKey,
        answer: Answer<M>,
        cost: usize,
        out: &mut Actions<M>,
    ) {
        out.push(Action::Respond { connection: self.connections[connection].id, answer });
        self.add_in_flight(connection, Sent { index: ANSWER_INDEX, cost });
    }

    /// Sends a priming event on a connection that is at the head with nothing in flight. The
    /// first one of a stream has index 0 if no event came before, so that no id is used twice.
    ///
    /// Specification: MCP 2025-11-25, Transports, "Resumability and Redelivery".
    pub(super) fn send_priming(
        &mut self,
        stream: StreamKey,
        connection: ConnectionKey,
        out: &mut Actions<M>,
    ) {
        let event = Event::Priming { retry: None };
        if self.streams[stream].is_primed || self.streams[stream].log.last() > 0 {
            self.send_unlogged(stream, connection, event, out);
            return;
        }
        self.streams[stream].is_primed = true;
        self.send_sse(stream, connection, 0, event, out);
    }

    /// Sends the client of a stream a reconnection delay, if the window admits it.
    pub(super) fn send_retry(&mut self, stream: StreamKey, retry: Duration, out: &mut Actions<M>) {
        let Some(connection) = self.streams[stream].attached else {
            return;
        };
        if !self.may_send_next(stream, connection, 0) {
            return;
        }
        self.send_unlogged(stream, connection, Event::Priming { retry: Some(retry) }, out);
        let retry_at = self.now.saturating_add(retry);
        self.streams[stream].retry_at = retry_at;
        self.retry_at = self.retry_at.max(retry_at);
    }

    /// Sends an event that has an index, and is not logged.
    fn send_unlogged(
        &mut self,
        stream: StreamKey,
        connection: ConnectionKey,
        event: Event<M>,
        out: &mut Actions<M>,
    ) {
        let index = self.allocate_index(stream);
        self.send_sse(stream, connection, index, event, out);
    }

    /// Allocates the next index of a stream.
    pub(super) fn allocate_index(&mut self, stream: StreamKey) -> u64 {
        let log = &mut self.streams[stream].log;
        let index = log.allocate_index();
        self.exhausted |= log.is_exhausted();
        index
    }

    fn append(&mut self, key: StreamKey, index: u64, entry: Entry<M>) {
        let sequence = self.next_sequence();
        self.logged_bytes += self.streams[key].log.append(index, sequence, entry);
    }

    /// Evicts events and streams until the limits hold.
    fn enforce_limits(&mut self, stream: StreamKey, out: &mut Actions<M>) {
        self.enforce_stream_limits(stream, out);
        let max = self.acknowledged_bytes_max();
        if self.logged_bytes > max {
            self.evict_acknowledged(max, out);
            self.evict_unacknowledged(out);
        }
    }

    /// Returns the maximum size of all logs in bytes while they have acknowledged events: the
    /// last quarter of `session_bytes_max` is for unacknowledged ones.
    fn acknowledged_bytes_max(&self) -> usize {
        let max = self.config.session_bytes_max;
        max - max.div_ceil(4)
    }

    /// Evicts acknowledged events and fully acknowledged streams until all logs together hold
    /// at most `max` bytes.
    #[cold]
    fn evict_acknowledged(&mut self, max: usize, out: &mut Actions<M>) {
        while self.exceeds_session_limit(max)
            && let Some(stream) = self.timers.first(TimerKind::RetainedAcknowledged)
        {
            self.replace_with_tombstone(StreamKey(stream), false, out);
        }
        while self.exceeds_session_limit(max)
            && let Some(stream) = self.stream_with_oldest_acknowledged()
        {
            while self.exceeds_session_limit(max) && self.has_acknowledged_front(stream) {
                self.evict(stream, out);
            }
        }
    }

    /// Evicts unacknowledged events until all logs together hold at most `session_bytes_max`.
    #[cold]
    fn evict_unacknowledged(&mut self, out: &mut Actions<M>) {
        let max = self.config.session_bytes_max;
        while self.exceeds_session_limit(max)
            && let Some(stream) = self.stream_with_oldest_unacknowledged()
        {
            while self.exceeds_session_limit(max) && !self.streams[stream].log.is_empty() {
                self.evict(stream, out);
            }
        }
    }

    /// Evicts events of a stream until its limits hold, or its reader still awaits the oldest.
    pub(super) fn enforce_stream_limits(&mut self, stream: StreamKey, out: &mut Actions<M>) {
        while self.exceeds_stream_limits(stream) && !self.is_front_awaited(stream) {
            self.evict(stream, out);
        }
    }

    /// Returns the stream with the oldest event of those that may lose an acknowledged event.
    fn stream_with_oldest_acknowledged(&self) -> Option<StreamKey> {
        let candidates = self.streams.non_empty().filter(|key| self.has_acknowledged_front(*key));
        candidates.min_by_key(|key| self.streams[*key].log.oldest_sequence())
    }

    /// Returns whether the oldest event of a stream was acknowledged, and its reader does not
    /// await it again.
    fn has_acknowledged_front(&self, key: StreamKey) -> bool {
        let Stream { log, acknowledged, .. } = &self.streams[key];
        log.oldest().is_some_and(|oldest| oldest.index <= *acknowledged)
            && !self.is_front_awaited(key)
    }

    /// Returns the stream with the oldest event of those whose reader comes first in the order
    /// of eviction.
    fn stream_with_oldest_unacknowledged(&self) -> Option<StreamKey> {
        self.streams
            .non_empty()
            .min_by_key(|key| (self.reader_state(*key), self.streams[*key].log.oldest_sequence()))
    }

    /// Returns whether a stream has a reader that has yet to acknowledge the oldest event.
    fn is_front_awaited(&self, stream: StreamKey) -> bool {
        let Some(reader) = self.reader(stream) else { return false };
        let oldest = self.streams[stream].log.oldest();
        oldest.is_some_and(|oldest| oldest.index >= reader.cursor.first_unacknowledged())
    }

    fn exceeds_stream_limits(&self, stream: StreamKey) -> bool {
        let log = &self.streams[stream].log;
        let bytes_max = self.config.stream_bytes_max;
        // A single event that exceeds the limit is still kept for its reader.
        let exempt_events = usize::from(bytes_max > 0);
        log.len() > self.config.stream_events_max
            || log.bytes() > bytes_max && log.len() > exempt_events
    }

    /// Returns whether all logs together exceed `bytes_max`. A single event that exceeds it is
    /// still kept for its reader.
    fn exceeds_session_limit(&self, bytes_max: usize) -> bool {
        let exempts_single = self.config.session_bytes_max > 0;
        self.logged_bytes > bytes_max && !(exempts_single && self.has_single_event())
    }

    /// Returns whether all logs together have at most one event.
    fn has_single_event(&self) -> bool {
        let mut non_empty = self.streams.non_empty();
        let first = non_empty.next().map_or(0, |key| self.streams[key].log.len());
        first <= 1 && non_empty.next().is_none()
    }

    /// Evicts the oldest event of a stream that is not a failure.
    fn evict(&mut self, stream: StreamKey, out: &mut Actions<M>) {
        let log = &mut self.streams[stream].log;
        let before = log.bytes();
        let evicted = log.evict();
        self.logged_bytes -= before - log.bytes();
        let id = self.streams[stream].id;
        match evicted {
            Some(Evicted::Response(request)) => {
                out.push(Action::Report(Report::ResponseEvicted { stream: id, id: request }));
            }
            Some(Evicted::ServerRequest { index }) => self.fail_unsent(stream, index, out),
            Some(Evicted::Notification) | None => {}
        }
    }

    /// Fails a server request whose event was evicted before it was sent.
    fn fail_unsent(&mut self, stream: StreamKey, index: u64, out: &mut Actions<M>) {
        let stream = &self.streams[stream];
        let attached = stream.attached.map(|attached| &self.connections[attached]);
        let was_sent = attached.is_some_and(|attached| attached.cursor.next() > index);
        if index <= stream.acknowledged || was_sent {
            return;
        }
        if let Some(request) = self.server_requests.at_event(stream.id, index) {
            self.fail_server_request(request, UnansweredReason::Evicted, out);
        }
    }
}
