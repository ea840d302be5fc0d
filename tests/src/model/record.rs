//! Section "Recording".

use rejoin_core::{Action, FailureReason, Report, StreamId, UnansweredReason};

use super::{
    Model,
    stream::{Entry, Kind, RecordedEvent, Stream},
};

impl Model {
    /// Records an event.
    pub(super) fn record(&mut self, stream: StreamId, kind: Kind, entry: Entry, cost: usize) {
        let index = self.streams[stream].last + 1;
        let order = self.stamp().order;
        let event = RecordedEvent { index, order, kind: kind.clone(), cost, entry };
        if self.may_send(stream, event.index_and_cost()) {
            self.send_live(stream, &event);
        }
        let it = &mut self.streams[stream];
        it.last = index;
        it.events.push(event);
        if let Kind::Request(id) = kind {
            self.add_server_request(id, stream, index);
        }
        self.enforce_limits(stream);
    }

    /// Sends an event on the connection that is attached to the stream.
    pub(super) fn send_live(&mut self, stream: StreamId, event: &RecordedEvent) {
        if let Some(attached) = self.attached(stream) {
            let is_response = matches!(event.kind, Kind::Response(_));
            let sent = event.index_and_cost();
            self.send_event(attached.id, stream, sent, event.to_event(), is_response);
        }
    }

    /// Evicts events until the limits of `stream` and of the session are kept.
    fn enforce_limits(&mut self, stream: StreamId) {
        self.enforce_stream_limits(stream);
        let max = self.config.session_bytes_max;
        let is_full = |it: &Self| it.logged_bytes().saturating_mul(4) > 3 * max;
        while is_full(self) && !self.has_single_event() {
            if let Some(first) = self.first_retained(true) {
                self.leave_tombstone(first, false);
                continue;
            }
            let candidates = self.streams.iter().filter(|it| self.may_lose_acknowledged(it.id));
            let oldest_first = |it: &&Stream| it.oldest().map(|oldest| oldest.order);
            let Some(stream) = candidates.min_by_key(oldest_first).map(|it| it.id) else {
                break;
            };
            while is_full(self) && !self.has_single_event() && self.may_lose_acknowledged(stream) {
                self.evict(stream);
            }
        }
        let exceeds = |it: &Self| it.logged_bytes() > max && !it.has_single_event();
        while exceeds(self) {
            let candidates = self.streams.iter().filter(|it| it.oldest().is_some());
            let first = candidates.min_by_key(|it| {
                let is_read = self.reader(it.id).is_some();
                let oldest_first = it.oldest().map(|oldest| oldest.order);
                (is_read, is_read && !self.is_stuck(it.id), oldest_first)
            });
            let Some(stream) = first.map(|it| it.id) else {
                break;
            };
            while exceeds(self) && self.streams[stream].oldest().is_some() {
                self.evict(stream);
            }
        }
    }

    /// Evicts the oldest events of `stream` until its own limits are kept, or its reader has
    /// not acknowledged the oldest one.
    pub(super) fn enforce_stream_limits(&mut self, stream: StreamId) {
        while self.exceeds_limits(stream) && !self.is_protected(stream) {
            self.evict(stream);
        }
    }

    /// Returns whether the oldest event of a stream was acknowledged, and may be evicted.
    fn may_lose_acknowledged(&self, stream: StreamId) -> bool {
        let it = &self.streams[stream];
        let is_acknowledged = it.oldest().is_some_and(|oldest| oldest.index <= it.acknowledged);
        is_acknowledged && !self.is_protected(stream)
    }

    fn is_protected(&self, stream: StreamId) -> bool {
        let oldest = self.streams[stream].oldest();
        oldest
            .zip(self.reader(stream))
            .is_some_and(|(oldest, reader)| oldest.index >= reader.first_unacknowledged)
    }

    fn exceeds_limits(&self, stream: StreamId) -> bool {
        let it = &self.streams[stream];
        let is_only_one = it.event_count() == 1 && self.config.stream_bytes_max > 0;
        let too_many = it.event_count() > self.config.stream_events_max;
        too_many || (it.logged_bytes() > self.config.stream_bytes_max && !is_only_one)
    }

    /// Returns whether all logs together have a single event, which is kept at any size.
    fn has_single_event(&self) -> bool {
        let events: usize = self.streams.iter().map(Stream::event_count).sum();
        events == 1 && self.config.session_bytes_max > 0
    }

    /// Evicts the oldest event of a log.
    fn evict(&mut self, stream: StreamId) {
        let oldest = self.streams[stream].oldest().cloned();
        let Some(RecordedEvent { index, kind, .. }) = oldest else {
            return;
        };
        if let Kind::Response(id) = kind {
            let events = self.streams[stream].events.iter_mut();
            for event in events.filter(|event| event.index == index) {
                event.entry = Entry::Failure(FailureReason::Evicted);
            }
            self.emit(Action::Report(Report::ResponseEvicted { stream, id }));
        } else {
            let it = &mut self.streams[stream];
            it.missed = it.missed.max(index);
            it.remove_from_log(index);
            let is_sent = self
                .attached(stream)
                .is_some_and(|it| it.in_flight.iter().any(|(sent, _)| *sent == index));
            let unacknowledged = self.unacknowledged_server_requests(stream);
            let request = unacknowledged.into_iter().find(|request| request.index == index);
            if let Some(request) = request.filter(|_| !is_sent) {
                self.fail_server_request(request.id, UnansweredReason::Evicted);
            }
        }
    }
}
