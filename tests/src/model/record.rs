//! Section "Recording".

use rejoin_core::{Action, EventId, FailureReason, Report, StreamId, UnansweredReason};

use super::{
    Model,
    stream::{Entry, Kind, RecordedEvent, Stream},
};

impl Model {
    /// Records an event.
    pub(super) fn record(&mut self, stream: StreamId, kind: Kind, entry: Entry, cost: usize) {
        let index = self.streams[stream].last + 1;
        let event = RecordedEvent { index, kind: kind.clone(), cost, entry };
        if self.may_send(stream, event.index_and_cost()) {
            self.send_live(stream, &event);
        }
        let it = &mut self.streams[stream];
        it.last = index;
        it.events.push(event);
        self.update_eviction_order(stream);
        if let Kind::Request(id) = kind {
            self.add_server_request(id, stream, index);
        }
        self.enforce_limits(stream);
    }

    /// Sends an event on the connection that is attached to the stream.
    pub(super) fn send_live(&mut self, stream: StreamId, event: &RecordedEvent) {
        let Some(attached) = self.attached(stream) else {
            return;
        };
        let connection = attached.id;
        let is_last_response =
            matches!(event.kind, Kind::Response(_)) && self.streams[stream].pending().is_empty();
        let is_whole_body = !attached.is_sse && event.index == 1 && is_last_response;
        let id = (!is_whole_body).then(|| EventId::new(stream, event.index));
        self.send(connection, event.index_and_cost(), id, event.to_event());
    }

    /// Evicts events until the limits of `stream` and of the session are kept.
    fn enforce_limits(&mut self, stream: StreamId) {
        self.enforce_stream_limits(stream);
        let max = self.config.session_bytes_max;
        while self.logged_bytes().saturating_mul(4) > 3 * max && !self.has_single_event() {
            let acknowledged =
                self.streams.iter().filter(|stream| stream.acknowledged_since.is_some());
            let acknowledged = acknowledged.filter(|stream| !self.is_protected(stream.id));
            let longest_acknowledged =
                acknowledged.min_by_key(|stream| stream.acknowledged_since).map(|stream| stream.id);
            if let Some(first) = self.first_retained(true) {
                self.leave_tombstone(first, false);
            } else if let Some(stream) = longest_acknowledged {
                self.evict(stream);
            } else {
                break;
            }
        }
        while self.logged_bytes() > max && !self.has_single_event() {
            let non_empty = self.streams.iter().filter(|stream| stream.non_empty_since.is_some());
            let first = non_empty.min_by_key(|stream| {
                let is_read = self.reader(stream.id).is_some();
                (is_read, is_read && !self.is_stuck(stream.id), stream.non_empty_since)
            });
            if let Some(stream) = first.map(|stream| stream.id) {
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

    fn is_protected(&self, stream: StreamId) -> bool {
        let oldest = self.streams[stream].events.iter().find(|event| event.is_message());
        let reader = self.reader(stream);
        oldest
            .zip(reader)
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
        let oldest = self.streams[stream].events.iter().find(|event| event.is_message()).cloned();
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
        self.update_eviction_order(stream);
    }

    /// Updates since when a log has events, and since when its oldest one is acknowledged.
    pub(super) fn update_eviction_order(&mut self, stream: StreamId) {
        let order = self.stamp().order;
        let it: &mut Stream = &mut self.streams[stream];
        it.non_empty_since = (it.event_count() > 0).then(|| it.non_empty_since.unwrap_or(order));
        let oldest = it.events.iter().find(|event| event.is_message());
        let is_acknowledged = oldest.is_some_and(|oldest| oldest.index <= it.acknowledged);
        let is_removed_first = it.retained.is_some() && it.is_fully_acknowledged();
        it.acknowledged_since =
            (is_acknowledged && !is_removed_first).then(|| it.acknowledged_since.unwrap_or(order));
    }
}
