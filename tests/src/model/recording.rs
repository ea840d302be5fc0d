//! Section "Recording".

use rejoin_core::{Action, EventId, FailureReason, Report, StreamId, UnansweredReason};

use super::{
    Model,
    stream::{Bearing, Entry, Recorded, Stream},
};

impl Model {
    /// Records an event.
    pub(super) fn record(&mut self, stream: StreamId, bearing: Bearing, entry: Entry, cost: usize) {
        let index = self.streams[stream].last + 1;
        let event = Recorded { index, bearing: bearing.clone(), cost, entry };
        if self.may_send(stream, event.sent()) {
            self.send_live(stream, &event);
        }
        let it = &mut self.streams[stream];
        it.last = index;
        it.events.push(event);
        self.note_whether_filled(stream);
        if let Bearing::Asks(id) = bearing {
            self.question_waits(id, stream, index);
        }
        self.keep_limits(stream);
    }

    /// Sends an event on the connection that carries the stream.
    pub(super) fn send_live(&mut self, stream: StreamId, event: &Recorded) {
        let Some(carrier) = self.carrier(stream) else {
            return;
        };
        let connection = carrier.id;
        let answers_last = matches!(event.bearing, Bearing::Answers(_))
            && self.streams[stream].pending().is_empty();
        let is_whole_answer = !carrier.is_sse && event.index == 1 && answers_last;
        let id = (!is_whole_answer).then(|| EventId::new(stream, event.index));
        self.send(connection, event.sent(), id, event.event());
    }

    /// What was recorded on `stream` is evicted until the limits are kept.
    fn keep_limits(&mut self, stream: StreamId) {
        self.keep_stream_limits(stream);
        let max = self.config.session_bytes_max;
        while self.bytes().saturating_mul(4) > 3 * max && !self.is_only_one_kept() {
            let spent = self.streams.iter().filter(|stream| stream.spent.is_some());
            let spent = spent.filter(|stream| !self.is_awaited(stream.id));
            let longest_spent = spent.min_by_key(|stream| stream.spent).map(|stream| stream.id);
            if let Some(first) = self.first_retained(true) {
                self.bury(first, false);
            } else if let Some(stream) = longest_spent {
                self.evict(stream);
            } else {
                break;
            }
        }
        while self.bytes() > max && !self.is_only_one_kept() {
            let filled = self.streams.iter().filter(|stream| stream.filled.is_some());
            let first = filled.min_by_key(|stream| {
                let is_read = self.reader(stream.id).is_some();
                (is_read, is_read && !self.is_stuck(stream.id), stream.filled)
            });
            if let Some(stream) = first.map(|stream| stream.id) {
                self.evict(stream);
            }
        }
    }

    /// The oldest events of `stream` are evicted until its own limits are kept, or a reader
    /// did not take the oldest one.
    pub(super) fn keep_stream_limits(&mut self, stream: StreamId) {
        while self.has_too_much(stream) && !self.is_awaited(stream) {
            self.evict(stream);
        }
    }

    fn is_awaited(&self, stream: StreamId) -> bool {
        let oldest = self.streams[stream].events.iter().find(|event| event.is_message());
        let reader = self.reader(stream);
        oldest.zip(reader).is_some_and(|(oldest, reader)| oldest.index >= reader.untaken)
    }

    fn has_too_much(&self, stream: StreamId) -> bool {
        let it = &self.streams[stream];
        let is_only_one = it.count() == 1 && self.config.stream_bytes_max > 0;
        let too_many = it.count() > self.config.stream_events_max;
        too_many || (it.bytes() > self.config.stream_bytes_max && !is_only_one)
    }

    /// Whether all logs together have only one event, which may be as large as it is.
    fn is_only_one_kept(&self) -> bool {
        let events: usize = self.streams.iter().map(Stream::count).sum();
        events == 1 && self.config.session_bytes_max > 0
    }

    /// The oldest event of a log is evicted.
    fn evict(&mut self, stream: StreamId) {
        let oldest = self.streams[stream].events.iter().find(|event| event.is_message()).cloned();
        let Some(Recorded { index, bearing, .. }) = oldest else {
            return;
        };
        if let Bearing::Answers(id) = bearing {
            let events = self.streams[stream].events.iter_mut();
            for event in events.filter(|event| event.index == index) {
                event.entry = Entry::Failure(FailureReason::Evicted);
            }
            self.act(Action::Report(Report::ResponseEvicted { stream, id }));
        } else {
            let it = &mut self.streams[stream];
            it.missed = it.missed.max(index);
            it.let_go(index);
            let is_sent = self
                .carrier(stream)
                .is_some_and(|it| it.sent.iter().any(|(sent, _)| *sent == index));
            let untaken = self.untaken_questions(stream);
            let question = untaken.into_iter().find(|question| question.index == index);
            if let Some(question) = question.filter(|_| !is_sent) {
                self.fail(question.id, UnansweredReason::Evicted);
            }
        }
        self.note_whether_filled(stream);
    }

    /// Keeps the order in which the logs ceased to be without an event, and in
    /// which their oldest event was taken.
    pub(super) fn note_whether_filled(&mut self, stream: StreamId) {
        let order = self.begin().order;
        let it: &mut Stream = &mut self.streams[stream];
        it.filled = (it.count() > 0).then(|| it.filled.unwrap_or(order));
        let oldest = it.events.iter().find(|event| event.is_message());
        let is_taken = oldest.is_some_and(|oldest| oldest.index <= it.taken);
        let is_buried_first = it.retained.is_some() && it.end_is_taken();
        it.spent = (is_taken && !is_buried_first).then(|| it.spent.unwrap_or(order));
    }
}
