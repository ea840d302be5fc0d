//! Section "Recording".

use rejoin_core::{
    Action, Change, ConnectionId, Event, EventId, FailureReason, Overflow, Report, StreamId,
    UnansweredReason,
};

use super::{
    Case, Cause, Model,
    stream::{Entry, Kind, RecordedEvent, Stream},
};

impl Model {
    /// Records an event.
    pub(super) fn record(
        &mut self,
        stream: StreamId,
        kind: Kind,
        entry: Entry,
        cost: usize,
        overflow: Overflow,
    ) {
        self.keep_retry_index(stream);
        self.streams[stream].last += 1;
        let index = self.streams[stream].last;
        let order = self.stamp().order;
        let mut event = RecordedEvent { index, order, number: 0, kind, cost, entry };
        if cost > 0 {
            self.evict_acknowledged(cost, three_quarters(self.limit), Cause::NewEvent);
            self.evict_unacknowledged(cost, overflow, Cause::NewEvent);
        }
        let live = self.live(stream, index).map(|live| (live.id, live.next));
        if cost > 0 && !self.has_room(cost) {
            self.reach(match &event.kind {
                Kind::Response(_) => Case::EvictedNewResponse,
                Kind::Request(_) => Case::EvictedNewRequest,
                Kind::Notification => Case::EvictedNewNotification,
            });
            event = RecordedEvent { entry: self.evict(stream, &event), cost: 0, ..event };
            if let Kind::Request(id) = &event.kind {
                let (id, reason) = (id.clone(), UnansweredReason::Evicted);
                self.emit(Action::FailServerRequest { id, reason });
            }
        } else if let Kind::Request(id) = &event.kind {
            self.add_server_request(id.clone(), stream, index);
        }
        if event.is_in_log() {
            event.number = self.take_number();
            self.streams[stream].last_number = event.number;
            self.commit_event(stream, &event);
        } else {
            self.commit(Change::Missed { stream, index });
        }
        if let Some((connection, next)) = live {
            let is_barred =
                self.streams[stream].opening.is_some() || self.kept_for_retry(stream) < index;
            if !event.is_in_log() && !is_barred {
                let id = EventId::new(stream, index);
                self.send(connection, 0, id, Event::Gap { first: next });
            } else if event.is_in_log() && !self.config.commits {
                self.send_live(connection, stream, &event);
            }
        }
        self.streams[stream].append(event);
        self.enforce_stream_limits(stream);
        if self.kept_bytes() > self.limit {
            self.reach(Case::AboveLimit);
        }
    }

    /// Sends an event on the connection that is attached to the stream.
    pub(super) fn send_live(
        &mut self,
        connection: ConnectionId,
        stream: StreamId,
        event: &RecordedEvent,
    ) {
        let is_response = matches!(event.kind, Kind::Response(_));
        let sent = event.index_and_cost();
        self.send_event(connection, stream, sent, event.to_event(), is_response);
    }

    /// Evicts acknowledged events, while the kept events and one with this cost exceed `max`.
    pub(super) fn evict_acknowledged(&mut self, cost: usize, max: usize, cause: Cause) {
        while self.exceeds(cost, max) {
            if let Some(first) = self.first_retained(true) {
                self.reach(Case::EvictedStream(cause));
                self.leave_tombstone(first, false);
                continue;
            }
            let candidates = self.streams.iter().filter_map(|it| {
                let oldest = self.oldest_acknowledged(it)?;
                Some((oldest.order, it.id))
            });
            let Some((_, stream)) = candidates.min() else {
                break;
            };
            while self.exceeds(cost, max)
                && let Some(oldest) = self.oldest_acknowledged(&self.streams[stream]).cloned()
            {
                self.reach(Case::EvictedAcknowledged(cause));
                self.evict_logged(stream, &oldest);
            }
        }
    }

    /// Evicts unacknowledged events, while the kept events and one with this cost exceed the
    /// limit: those that an active reader awaits only if `overflow` is `Evict`.
    pub(super) fn evict_unacknowledged(&mut self, cost: usize, overflow: Overflow, cause: Cause) {
        let max = self.limit;
        while self.exceeds(cost, max) {
            let candidates = self.streams.iter().filter_map(|it| {
                let is_read = self.reader(it.id).is_some();
                let is_active = is_read && !self.is_stuck(it.id);
                let is_candidate = !is_active || overflow == Overflow::Evict;
                let oldest = self.oldest_not_in_flight(it).filter(|_| is_candidate)?;
                Some(((is_read, is_active, oldest.order), it.id))
            });
            let Some(((is_read, is_active, _), stream)) = candidates.min() else {
                break;
            };
            while self.exceeds(cost, max)
                && let Some(oldest) = self.oldest_not_in_flight(&self.streams[stream]).cloned()
            {
                self.reach(match (is_read, is_active) {
                    (false, _) => Case::EvictedWithoutReader(cause),
                    (true, false) => Case::EvictedStuck(cause),
                    (true, true) => Case::EvictedUnsent,
                });
                self.evict_logged(stream, &oldest);
            }
        }
    }

    /// Evicts the oldest events of `stream` that its reader has acknowledged, until its own
    /// limits are kept.
    pub(super) fn enforce_stream_limits(&mut self, stream: StreamId) {
        while self.exceeds_limits(stream)
            && let Some(oldest) = self.oldest_read(&self.streams[stream]).cloned()
        {
            self.evict_logged(stream, &oldest);
        }
    }

    fn exceeds_limits(&self, stream: StreamId) -> bool {
        let has_reader = self.reader(stream).is_some();
        let events = self.streams[stream].logged_messages();
        let counted = events.filter(|it| has_reader || !self.is_in_flight(stream, it.index));
        let costs: Vec<usize> = counted.map(|event| event.cost).collect();
        let is_single = costs.len() == 1 && self.config.stream_bytes_max > 0;
        let bytes = costs.iter().fold(0usize, |bytes, cost| bytes.saturating_add(*cost));
        costs.len() > self.config.stream_events_max
            || (bytes > self.config.stream_bytes_max && !is_single)
    }

    fn oldest_not_in_flight<'a>(&self, stream: &'a Stream) -> Option<&'a RecordedEvent> {
        stream.logged_messages().find(|event| !self.is_in_flight(stream.id, event.index))
    }

    /// Returns the oldest event that is not in flight, and that the reader has acknowledged, if
    /// there is one.
    fn oldest_read<'a>(&self, stream: &'a Stream) -> Option<&'a RecordedEvent> {
        self.oldest_not_in_flight(stream).filter(|event| {
            self.reader(stream.id).is_none_or(|reader| event.index < reader.first_unacknowledged)
        })
    }

    /// Returns that event, if it was acknowledged.
    fn oldest_acknowledged<'a>(&self, stream: &'a Stream) -> Option<&'a RecordedEvent> {
        self.oldest_read(stream).filter(|event| event.index <= stream.acknowledged)
    }

    fn evict_logged(&mut self, stream: StreamId, event: &RecordedEvent) {
        let entry = self.evict(stream, event);
        self.streams[stream].replace(event.index, entry);
    }

    /// Evicts an event. Returns what takes its place.
    fn evict(&mut self, stream: StreamId, event: &RecordedEvent) -> Entry {
        if let Kind::Response(id) = &event.kind {
            self.emit(Action::Report(Report::ResponseEvicted { stream, id: id.clone() }));
            return Entry::Failure(FailureReason::Evicted);
        }
        let it = &mut self.streams[stream];
        it.missed = it.missed.max(event.index);
        let unacknowledged = self.unacknowledged_server_requests(stream);
        let request = unacknowledged.into_iter().find(|request| request.index == event.index);
        if let Some(request) = request {
            self.fail_server_request(request.id, UnansweredReason::Evicted);
        }
        Entry::Removed
    }
}

/// Returns three quarters of `bytes`, rounded down.
fn three_quarters(bytes: usize) -> usize {
    bytes / 4 * 3 + bytes % 4 * 3 / 4
}
