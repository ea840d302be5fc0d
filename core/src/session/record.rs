//! Recording: what a stream gets is sent, kept, and let go of by limits.

use core::time::Duration;

use super::{
    Session, connection::ConnectionKey, in_flight::Sent, requests::ServerRequest, stream::StreamKey,
};
use crate::{
    Action, Actions, AnswerFormat, Entry, Event, EventId, Instant, MessageKind, Report,
    UnansweredReason, log::Evicted, timers::TimerKind,
};

impl<M: Clone> Session<M> {
    /// Records an event on a stream that is open.
    pub(super) fn record(&mut self, stream: StreamKey, entry: Entry<M>, out: &mut Actions<M>) {
        let cost = entry.cost();
        let reader = self.streams[stream].attached;
        let reader = reader.filter(|reader| self.may_send_next(stream, *reader, cost));
        let Some(index) = self.streams[stream].log.allocate_index() else {
            self.exhausted = true;
            return;
        };
        let (is_response, asks) = match &entry {
            Entry::Message { kind: MessageKind::Response(_), .. } | Entry::Failure(_) => {
                (true, None)
            }
            Entry::Message { kind: MessageKind::Request(id), .. } => (false, Some(id.clone())),
            Entry::Message { kind: MessageKind::Notification, .. } => (false, None),
        };
        if let Some(connection) = reader {
            let event = entry.to_event();
            self.send_next(stream, connection, event, cost, is_response, out);
        }
        self.append(stream, index, entry);
        if let Some(id) = asks {
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

    /// Sends the event whose index was claimed last.
    pub(super) fn send_next(
        &mut self,
        stream: StreamKey,
        connection: ConnectionKey,
        event: Event<M>,
        cost: usize,
        is_response: bool,
        out: &mut Actions<M>,
    ) {
        let stream = &self.streams[stream];
        let index = stream.log.last();
        // It is a single request, and anything before its answer has made an SSE connection of it.
        if is_response && self.connections[connection].format == AnswerFormat::Json {
            self.send_without_id(connection, Sent { index, cost }, event, out);
        } else {
            let id = EventId::new(stream.id, index);
            self.send_with_id(connection, id, event, cost, out);
        }
    }

    /// Sends an event that a client can resume from.
    pub(super) fn send_with_id(
        &mut self,
        connection: ConnectionKey,
        id: EventId,
        event: Event<M>,
        cost: usize,
        out: &mut Actions<M>,
    ) {
        self.add_in_flight(connection, Sent { index: id.index, cost });
        let attached = &mut self.connections[connection];
        attached.cursor.sent(id.index, id.index);
        attached.format = AnswerFormat::Sse;
        attached.can_resume = true;
        let connection_id = attached.id;
        self.arm_stall_timer(connection);
        out.push(Action::Send { connection: connection_id, index: id.index, id: Some(id), event });
    }

    /// Sends an event that is a whole answer.
    pub(super) fn send_without_id(
        &mut self,
        connection: ConnectionKey,
        sent: Sent,
        event: Event<M>,
        out: &mut Actions<M>,
    ) {
        self.add_in_flight(connection, sent);
        let index = sent.index;
        let attached = &mut self.connections[connection];
        attached.cursor.sent(index, index);
        let connection_id = attached.id;
        self.arm_stall_timer(connection);
        out.push(Action::Send { connection: connection_id, index, id: None, event });
    }

    /// Sends a priming event on a connection that is at the head and holds nothing. The
    /// first event of a stream has index 0 then, so that no id is used twice.
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
        let attached = &mut self.connections[connection];
        attached.cursor.prime();
        attached.can_resume = true;
        let id = EventId::new(self.streams[stream].id, 0);
        let connection_id = attached.id;
        self.arm_stall_timer(connection);
        out.push(Action::Send { connection: connection_id, index: id.index, id: Some(id), event });
    }

    /// Tells the client of a stream when to come back, if the window has room for it.
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

    /// Sends an event that takes an index, and no place in the log.
    fn send_unlogged(
        &mut self,
        stream: StreamKey,
        connection: ConnectionKey,
        event: Event<M>,
        out: &mut Actions<M>,
    ) {
        if self.streams[stream].log.allocate_index().is_none() {
            self.exhausted = true;
            return;
        }
        self.send_next(stream, connection, event, 0, false, out);
    }

    fn append(&mut self, stream: StreamKey, index: u64, entry: Entry<M>) {
        let sequence = self.next_sequence();
        let Session { streams, timers, logged_bytes: bytes, .. } = self;
        let was_empty = streams[stream].log.is_empty();
        let stream_key = stream;
        let stream = &mut streams[stream];
        let before = stream.log.bytes();
        stream.log.append(index, sequence, entry);
        *bytes += stream.log.bytes() - before;
        if was_empty && !stream.log.is_empty() {
            stream.non_empty = Some(timers.insert(TimerKind::NonEmpty, stream_key.0, Instant::MAX));
        }
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

    /// Returns how much all logs hold with what was taken, in bytes: the last quarter of what
    /// the session may keep is for what was not.
    fn acknowledged_bytes_max(&self) -> usize {
        let max = self.config.session_bytes_max;
        max - max.div_ceil(4)
    }

    /// Evicts events that were taken, until all logs together hold no more than `max` bytes.
    #[cold]
    fn evict_acknowledged(&mut self, max: usize, out: &mut Actions<M>) {
        while self.exceeds_session_limit(max)
            && let Some(stream) = self.timers.first(TimerKind::RetainedAcknowledged)
        {
            self.replace_with_tombstone(StreamKey(stream), false, out);
        }
        while self.exceeds_session_limit(max)
            && let Some(stream) = self.first_with_evictable_front()
        {
            while self.exceeds_session_limit(max) && self.has_evictable_front(stream) {
                self.evict(stream, out);
            }
        }
    }

    /// Evicts events that were not taken, until the limit of the session holds.
    #[cold]
    fn evict_unacknowledged(&mut self, out: &mut Actions<M>) {
        let max = self.config.session_bytes_max;
        while self.exceeds_session_limit(max)
            && let Some(stream) = self.least_needed()
        {
            while self.exceeds_session_limit(max) && !self.streams[stream].log.is_empty() {
                self.evict(stream, out);
            }
        }
    }

    /// Lets go of events of a stream until its own limits hold, or the oldest one is
    /// still to come to a reader.
    pub(super) fn enforce_stream_limits(&mut self, stream: StreamKey, out: &mut Actions<M>) {
        while self.exceeds_stream_limits(stream) && !self.is_front_awaited(stream) {
            self.evict(stream, out);
        }
    }

    /// Returns which stream loses events that were taken.
    fn first_with_evictable_front(&self) -> Option<StreamKey> {
        let mut front_acknowledged =
            self.timers.iter(TimerKind::FrontAcknowledged).map(|(key, _)| StreamKey(key));
        front_acknowledged.find(|key| self.has_evictable_front(*key))
    }

    /// Returns whether the oldest event of a stream was taken, and its reader does not take
    /// it once more.
    fn has_evictable_front(&self, stream: StreamKey) -> bool {
        self.streams[stream].front_acknowledged.is_some() && !self.is_front_awaited(stream)
    }

    /// Returns which stream loses events that were not taken.
    fn least_needed(&self) -> Option<StreamKey> {
        let non_empty = self.timers.iter(TimerKind::NonEmpty).map(|(key, _)| StreamKey(key));
        non_empty.min_by_key(|key| self.reader_state(*key))
    }

    /// Returns whether a reader that makes progress has not taken the oldest event of its
    /// stream.
    fn is_front_awaited(&self, stream: StreamKey) -> bool {
        let Some(reader) = self.reader(stream) else { return false };
        let oldest = self.streams[stream].log.oldest();
        oldest.is_some_and(|oldest| oldest >= reader.cursor.first_unacknowledged())
    }

    fn exceeds_stream_limits(&self, stream: StreamKey) -> bool {
        let log = &self.streams[stream].log;
        let bytes_max = self.config.stream_bytes_max;
        // A single event that is larger than its log still waits for its reader.
        let may_be_single = usize::from(bytes_max > 0);
        log.len() > self.config.stream_events_max
            || log.bytes() > bytes_max && log.len() > may_be_single
    }

    /// Returns whether all logs together hold too much. A single event that is larger than
    /// they may be still waits for its reader.
    fn exceeds_session_limit(&self, bytes_max: usize) -> bool {
        let may_be_single = self.config.session_bytes_max > 0;
        self.logged_bytes > bytes_max && !(may_be_single && self.has_single_event())
    }

    /// Returns whether all logs together have no more than one event.
    fn has_single_event(&self) -> bool {
        let mut non_empty = self.timers.iter(TimerKind::NonEmpty).map(|(key, _)| StreamKey(key));
        let first = non_empty.next().map_or(0, |key| self.streams[key].log.len());
        first <= 1 && non_empty.next().is_none()
    }

    /// Lets go of the oldest event of a stream that is no failure.
    fn evict(&mut self, stream: StreamKey, out: &mut Actions<M>) {
        let log = &mut self.streams[stream].log;
        let before = log.bytes();
        let evicted = log.evict();
        self.logged_bytes -= before - log.bytes();
        self.update_non_empty(stream);
        self.update_front_acknowledged(stream);
        let id = self.streams[stream].id;
        match evicted {
            Some(Evicted::Response(request)) => {
                out.push(Action::Report(Report::ResponseEvicted { stream: id, id: request }));
            }
            Some(Evicted::ServerRequest { index }) => self.fail_unsent(stream, index, out),
            Some(Evicted::Notification) | None => {}
        }
    }

    /// Lets a request of the backend fail whose event is gone before anybody got it.
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

impl<M> Session<M> {
    /// Notes that the oldest event of a stream may have been taken, or be another.
    pub(super) fn update_front_acknowledged(&mut self, key: StreamKey) {
        let stream = &mut self.streams[key];
        match (stream.is_front_acknowledged(), stream.front_acknowledged) {
            (true, None) => {
                stream.front_acknowledged =
                    Some(self.timers.insert(TimerKind::FrontAcknowledged, key.0, Instant::MAX));
            }
            (false, Some(timer)) => {
                stream.front_acknowledged = None;
                self.timers.remove(timer);
            }
            (true, Some(_)) | (false, None) => {}
        }
    }

    /// Notes that a log may have no event left.
    pub(super) fn update_non_empty(&mut self, stream: StreamKey) {
        let stream = &mut self.streams[stream];
        if stream.log.is_empty()
            && let Some(timer) = stream.non_empty.take()
        {
            self.timers.remove(timer);
        }
    }
}
