//! Recording: what a stream gets is sent, kept, and let go of by limits.

use core::time::Duration;

use super::{
    Session, connection::ConnectionKey, in_flight::Sent, requests::Question, stream::StreamKey,
};
use crate::{
    Action, Actions, AnswerFormat, Entry, Event, EventId, Instant, MessageKind, Report,
    UnansweredReason, log::Evicted, queue::Queue,
};

impl<M: Clone> Session<M> {
    /// Records an event on a stream that is open.
    pub(super) fn record(&mut self, stream: StreamKey, entry: Entry<M>, out: &mut Actions<M>) {
        let cost = entry.cost();
        let reader = self.streams[stream].carrier;
        let reader = reader.filter(|reader| self.may_send_next(stream, *reader, cost));
        let Some(index) = self.streams[stream].log.claim() else {
            self.exhausted = true;
            return;
        };
        let (is_answer, asks) = match &entry {
            Entry::Message { bearing: MessageKind::Response(_), .. } | Entry::Failure(_) => {
                (true, None)
            }
            Entry::Message { bearing: MessageKind::Request(id), .. } => (false, Some(id.clone())),
            Entry::Message { bearing: MessageKind::Notification, .. } => (false, None),
        };
        if let Some(connection) = reader {
            let event = entry.to_event();
            self.send_next(stream, connection, event, cost, is_answer, out);
        }
        self.append(stream, index, entry);
        if let Some(id) = asks {
            let stream = self.streams[stream].id;
            self.questions.add(Question { id, stream, index, timer: None, was_delivered: false });
        }
        self.enforce_limits(stream, out);
        if self.streams[stream].carrier.is_none()
            && let Some(question) = self.questions.at(self.streams[stream].id, index)
        {
            self.await_listener(stream, question);
        }
    }

    /// Sends the event whose index was claimed last.
    pub(super) fn send_next(
        &mut self,
        stream: StreamKey,
        connection: ConnectionKey,
        event: Event<M>,
        cost: usize,
        is_answer: bool,
        out: &mut Actions<M>,
    ) {
        let stream = &self.streams[stream];
        let index = stream.log.last();
        // It is a single request, and anything before its answer has made an SSE connection of it.
        if is_answer && self.connections[connection].format == AnswerFormat::Json {
            self.send_unnamed(connection, Sent { index, cost }, event, out);
        } else {
            let id = EventId::new(stream.id, index);
            self.send_named(connection, id, event, cost, out);
        }
    }

    /// Sends an event that a client can resume from.
    pub(super) fn send_named(
        &mut self,
        connection: ConnectionKey,
        id: EventId,
        event: Event<M>,
        cost: usize,
        out: &mut Actions<M>,
    ) {
        self.add_in_flight(connection, Sent { index: id.index, cost });
        let carrier = &mut self.connections[connection];
        carrier.cursor.sent(id.index, id.index);
        carrier.format = AnswerFormat::Sse;
        carrier.can_resume = true;
        let connection_id = carrier.id;
        self.watch(connection);
        out.push(Action::Send { connection: connection_id, index: id.index, id: Some(id), event });
    }

    /// Sends an event that is a whole answer.
    pub(super) fn send_unnamed(
        &mut self,
        connection: ConnectionKey,
        sent: Sent,
        event: Event<M>,
        out: &mut Actions<M>,
    ) {
        self.add_in_flight(connection, sent);
        let index = sent.index;
        let carrier = &mut self.connections[connection];
        carrier.cursor.sent(index, index);
        let connection_id = carrier.id;
        self.watch(connection);
        out.push(Action::Send { connection: connection_id, index, id: None, event });
    }

    /// Sends a priming event on a connection that is at the head and holds nothing. The
    /// first event of a stream has index 0 then, so that no id is used twice.
    ///
    /// Specification: MCP 2025-11-25, Transports, "Resumability and Redelivery".
    pub(super) fn prime(
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
        let carrier = &mut self.connections[connection];
        carrier.cursor.prime();
        carrier.can_resume = true;
        let id = EventId::new(self.streams[stream].id, 0);
        let connection_id = carrier.id;
        self.watch(connection);
        out.push(Action::Send { connection: connection_id, index: id.index, id: Some(id), event });
    }

    /// Tells the client of a stream when to come back, if the window has room for it.
    pub(super) fn prime_to_retry(
        &mut self,
        stream: StreamKey,
        retry: Duration,
        out: &mut Actions<M>,
    ) {
        let Some(connection) = self.streams[stream].carrier else {
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
        if self.streams[stream].log.claim().is_none() {
            self.exhausted = true;
            return;
        }
        self.send_next(stream, connection, event, 0, false, out);
    }

    fn append(&mut self, stream: StreamKey, index: u64, entry: Entry<M>) {
        let sequence = self.next_sequence();
        let Session { streams, queues, bytes, .. } = self;
        let was_empty = streams[stream].log.is_empty();
        let stream_key = stream;
        let stream = &mut streams[stream];
        let before = stream.log.bytes();
        stream.log.append(index, sequence, entry);
        *bytes += stream.log.bytes() - before;
        if was_empty && !stream.log.is_empty() {
            stream.eventful = Some(queues.enter(Queue::Eventful, stream_key.0, Instant::MAX));
        }
    }

    /// Evicts events and streams until the limits hold.
    fn enforce_limits(&mut self, stream: StreamKey, out: &mut Actions<M>) {
        self.enforce_stream_limits(stream, out);
        let max = self.taken_bytes_max();
        if self.bytes > max {
            self.evict_taken(max, out);
            self.evict_untaken(out);
        }
    }

    /// Returns how much all logs hold with what was taken, in bytes: the last quarter of what
    /// the session may keep is for what was not.
    fn taken_bytes_max(&self) -> usize {
        let max = self.config.session_bytes_max;
        max - max.div_ceil(4)
    }

    /// Evicts events that were taken, until all logs together hold no more than `max` bytes.
    #[cold]
    fn evict_taken(&mut self, max: usize, out: &mut Actions<M>) {
        while self.exceeds_in_all(max)
            && let Some(stream) = self.queues.first(Queue::Taken)
        {
            self.bury(StreamKey(stream), false, out);
        }
        while self.exceeds_in_all(max)
            && let Some(stream) = self.first_spent()
        {
            while self.exceeds_in_all(max) && self.has_spent(stream) {
                self.evict(stream, out);
            }
        }
    }

    /// Evicts events that were not taken, until the limit of the session holds.
    #[cold]
    fn evict_untaken(&mut self, out: &mut Actions<M>) {
        let max = self.config.session_bytes_max;
        while self.exceeds_in_all(max)
            && let Some(stream) = self.first_eventful()
        {
            while self.exceeds_in_all(max) && !self.streams[stream].log.is_empty() {
                self.evict(stream, out);
            }
        }
    }

    /// Lets go of events of a stream until its own limits hold, or the oldest one is
    /// still to come to a reader.
    pub(super) fn enforce_stream_limits(&mut self, stream: StreamKey, out: &mut Actions<M>) {
        while self.exceeds_limits(stream) && !self.is_oldest_awaited(stream) {
            self.evict(stream, out);
        }
    }

    /// Returns which stream loses events that were taken.
    fn first_spent(&self) -> Option<StreamKey> {
        let mut spent = self.queues.iter(Queue::Spent).map(|(key, _)| StreamKey(key));
        spent.find(|key| self.has_spent(*key))
    }

    /// Returns whether the oldest event of a stream was taken, and its reader does not take
    /// it once more.
    fn has_spent(&self, stream: StreamKey) -> bool {
        self.streams[stream].spent.is_some() && !self.is_oldest_awaited(stream)
    }

    /// Returns which stream loses events that were not taken.
    fn first_eventful(&self) -> Option<StreamKey> {
        let eventful = self.queues.iter(Queue::Eventful).map(|(key, _)| StreamKey(key));
        eventful.min_by_key(|key| self.standing(*key))
    }

    /// Returns whether a reader that makes progress has not taken the oldest event of its
    /// stream.
    fn is_oldest_awaited(&self, stream: StreamKey) -> bool {
        let Some(reader) = self.reader(stream) else { return false };
        let oldest = self.streams[stream].log.oldest();
        oldest.is_some_and(|oldest| oldest >= reader.cursor.untaken())
    }

    fn exceeds_limits(&self, stream: StreamKey) -> bool {
        let log = &self.streams[stream].log;
        let bytes_max = self.config.stream_bytes_max;
        // A single event that is larger than its log still waits for its reader.
        let may_be_single = usize::from(bytes_max > 0);
        log.len() > self.config.stream_events_max
            || log.bytes() > bytes_max && log.len() > may_be_single
    }

    /// Returns whether all logs together hold too much. A single event that is larger than
    /// they may be still waits for its reader.
    fn exceeds_in_all(&self, bytes_max: usize) -> bool {
        let may_be_single = self.config.session_bytes_max > 0;
        self.bytes > bytes_max && !(may_be_single && self.has_single_event())
    }

    /// Returns whether all logs together have no more than one event.
    fn has_single_event(&self) -> bool {
        let mut eventful = self.queues.iter(Queue::Eventful).map(|(key, _)| StreamKey(key));
        let first = eventful.next().map_or(0, |key| self.streams[key].log.len());
        first <= 1 && eventful.next().is_none()
    }

    /// Lets go of the oldest event of a stream that is no failure.
    fn evict(&mut self, stream: StreamKey, out: &mut Actions<M>) {
        let log = &mut self.streams[stream].log;
        let before = log.bytes();
        let evicted = log.evict();
        self.bytes -= before - log.bytes();
        self.note_empty(stream);
        self.note_spent(stream);
        let id = self.streams[stream].id;
        match evicted {
            Some(Evicted::Answer(request)) => {
                out.push(Action::Report(Report::ResponseEvicted { stream: id, id: request }));
            }
            Some(Evicted::Question { index }) => self.fail_unsent(stream, index, out),
            Some(Evicted::Notification) | None => {}
        }
    }

    /// Lets a request of the backend fail whose event is gone before anybody got it.
    fn fail_unsent(&mut self, stream: StreamKey, index: u64, out: &mut Actions<M>) {
        let stream = &self.streams[stream];
        let carrier = stream.carrier.map(|carrier| &self.connections[carrier]);
        let was_sent = carrier.is_some_and(|carrier| carrier.cursor.next() > index);
        if index <= stream.taken || was_sent {
            return;
        }
        if let Some(question) = self.questions.at(stream.id, index) {
            self.fail(question, UnansweredReason::Evicted, out);
        }
    }
}

impl<M> Session<M> {
    /// Notes that the oldest event of a stream may have been taken, or be another.
    pub(super) fn note_spent(&mut self, key: StreamKey) {
        let stream = &mut self.streams[key];
        match (stream.is_spent(), stream.spent) {
            (true, None) => {
                stream.spent = Some(self.queues.enter(Queue::Spent, key.0, Instant::MAX));
            }
            (false, Some(ticket)) => {
                stream.spent = None;
                self.queues.leave(ticket);
            }
            (true, Some(_)) | (false, None) => {}
        }
    }

    /// Notes that a log may have no event left.
    pub(super) fn note_empty(&mut self, stream: StreamKey) {
        let stream = &mut self.streams[stream];
        if stream.log.is_empty()
            && let Some(ticket) = stream.eventful.take()
        {
            self.queues.leave(ticket);
        }
    }
}
