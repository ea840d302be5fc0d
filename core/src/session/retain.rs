//! Retention: what is left of a stream that is over, and for how long.

use core::time::Duration;

use smallvec::SmallVec;

use super::{
    Session,
    connection::Subject,
    graveyard::Tombstone,
    requests::failure,
    stream::{Opening, Outcome, Stage, Stream, StreamKey},
};
use crate::{
    Actions, EndReason, FailureReason, Instant, Log, StreamId, UnansweredReason,
    queue::{Queue, Ticket},
};

impl<M: Clone> Session<M> {
    /// Treats that the last request of a stream was answered or cancelled.
    pub(super) fn complete(&mut self, stream: StreamKey, out: &mut Actions<M>) {
        self.next_sequence();
        if let Stage::Open { orphan: Some(orphan) } = self.streams[stream].stage {
            self.queues.leave(orphan);
        }
        self.streams[stream].stage = Stage::Finishing { exhumed: false };
        match self.streams[stream].carrier {
            Some(_) => self.finish(stream, out),
            None => self.retain(stream, out),
        }
    }

    /// Ends the connection of a complete stream that was sent all of it.
    pub(super) fn finish(&mut self, stream: StreamKey, out: &mut Actions<M>) {
        if let Stream { stage: Stage::Finishing { .. }, carrier: Some(connection), .. } =
            self.streams[stream]
            && self.is_at_head(stream, connection)
        {
            self.end(connection, EndReason::Complete, out);
            self.retain(stream, out);
        }
    }

    /// Treats that nobody wants an open or a complete stream any more.
    pub(super) fn abandon(&mut self, stream: StreamKey, out: &mut Actions<M>) {
        let pending: SmallVec<[_; 1]> = self.streams[stream].pending().cloned().collect();
        for id in pending {
            self.resolve(&id, |_| Outcome::Cancelled);
            self.reserve_id(id);
        }
        self.cancel(stream, EndReason::Abandoned, out);
    }

    /// Lets go of a stream that nobody waits for.
    pub(super) fn cancel(&mut self, stream: StreamKey, reason: EndReason, out: &mut Actions<M>) {
        let was_open = !matches!(self.streams[stream].stage, Stage::Reserved { .. });
        if let Some(connection) = self.streams[stream].carrier {
            self.end(connection, reason, out);
        }
        if was_open {
            self.next_sequence();
            self.fail_untaken(stream, UnansweredReason::Cancelled, out);
            self.bury(stream, true, out);
        } else {
            let stream = self.take_out(stream);
            self.streams.forget(stream.id);
        }
    }

    /// Keeps a complete stream for those who come back.
    pub(super) fn retain(&mut self, stream: StreamKey, out: &mut Actions<M>) {
        self.lose_listener(stream, out);
        let is_exhumed = matches!(self.streams[stream].stage, Stage::Finishing { exhumed: true });
        if is_exhumed || self.config.retention.is_some_and(|retention| retention.is_zero()) {
            self.bury(stream, false, out);
            return;
        }
        let due = self.expected_at(stream).due(self.config.timeouts().retention);
        let is_taken = self.streams[stream].is_taken();
        let queue = if is_taken { Queue::Taken } else { Queue::Untaken };
        let weight = self.streams[stream].weight();
        let queue = self.queues.enter_weighing(queue, stream.0, due, weight);
        self.streams[stream].stage = Stage::Retained { queue };
        self.streams.in_use -= 1;
        self.note_spent(stream);
        self.enforce_retention(out);
    }

    /// Notes that a stream was taken through an index, on whatever connection.
    pub(super) fn note_taken(&mut self, key: StreamKey, through: u64, out: &mut Actions<M>) {
        if through <= self.streams[key].taken {
            return;
        }
        self.was_heard(key, through);
        self.streams[key].taken = through;
        self.streams[key].earlier_silence = Duration::ZERO;
        if let Stage::Retained { queue } = self.streams[key].stage
            && self.streams[key].is_taken()
        {
            let due = self.queues.due(queue);
            self.queues.leave(queue);
            let weight = self.streams[key].weight();
            let queue = self.queues.enter_weighing(Queue::Taken, key.0, due, weight);
            self.streams[key].stage = Stage::Retained { queue };
            self.note_spent(key);
            self.enforce_retention(out);
        } else {
            self.note_spent(key);
        }
    }

    /// Takes a stream out of retention, for a connection that carries it.
    pub(super) fn wake(&mut self, stream: StreamKey) {
        if let Stage::Retained { queue } = self.streams[stream].stage {
            self.queues.leave(queue);
            self.streams[stream].stage = Stage::Finishing { exhumed: false };
            self.streams.in_use += 1;
            self.note_spent(stream);
        }
    }

    /// Replaces a stream by its tombstone.
    pub(super) fn bury(&mut self, key: StreamKey, cancelled: bool, out: &mut Actions<M>) {
        self.fail_untaken(key, UnansweredReason::Evicted, out);
        let mut stream = self.take_out(key);
        let due = self.now.due(self.config.timeouts().tombstone);
        self.streams.add_tombstone(tombstone(&mut stream, cancelled, due));
        self.streams.drop_log(stream.log);
        while self.streams.tombstones_weight() > self.config.tombstones_max {
            self.streams.remove_first_tombstone();
        }
    }

    /// Takes out a stream that no connection carries, with all that refers to it
    /// but its number.
    fn take_out(&mut self, key: StreamKey) -> Stream<M> {
        self.forget_retry(key);
        let stream = self.streams.remove(key);
        if let Some(ticket) = stage_ticket(&stream.stage) {
            self.queues.leave(ticket);
        }
        if !matches!(stream.stage, Stage::Retained { .. }) {
            self.streams.in_use -= 1;
        }
        for ticket in [stream.eventful, stream.spent].into_iter().flatten() {
            self.queues.leave(ticket);
        }
        if let Some(drain) = stream.drain {
            self.connections[drain].subject = Subject::Buried(stream.id);
        }
        self.bytes -= stream.log.bytes();
        stream
    }

    /// Makes a stream again of a tombstone.
    pub(super) fn exhume(&mut self, number: u64) -> Option<StreamKey> {
        let tombstone = self.streams.remove_tombstone(number)?;
        let mut log = Log::exhumed(tombstone.last, tombstone.missed);
        let mut requests = SmallVec::new();
        for (index, id) in tombstone.answers {
            let sequence = self.next_sequence();
            log.append(index, sequence, failure(id.clone(), FailureReason::Expired));
            let outcome = Outcome::Answered { index };
            requests.push(Opening { id, token: None, outcome });
        }
        let stage = Stage::Finishing { exhumed: true };
        let mut stream = Stream::new(StreamId::Request(number), stage, log);
        stream.requests = requests;
        Some(self.streams.add(number, stream))
    }

    /// Buries what is more than may be retained.
    fn enforce_retention(&mut self, out: &mut Actions<M>) {
        let limits = [
            (Queue::Untaken, self.config.retained_unacknowledged_max),
            (Queue::Taken, self.config.retained_acknowledged_max),
        ];
        for (queue, max) in limits {
            while self.queues.weight(queue) > max {
                let Some(first) = self.queues.first(queue) else {
                    break;
                };
                self.bury(StreamKey(first), false, out);
            }
        }
    }
}

fn stage_ticket(stage: &Stage) -> Option<Ticket> {
    match stage {
        Stage::Reserved { expiry } => Some(*expiry),
        Stage::Open { orphan } => *orphan,
        Stage::Finishing { .. } => None,
        Stage::Retained { queue } => Some(*queue),
    }
}

fn tombstone<M>(stream: &mut Stream<M>, cancelled: bool, due: Instant) -> Tombstone {
    let mut answers = SmallVec::new();
    if !cancelled {
        for request in stream.requests.drain(..) {
            if let Outcome::Answered { index } = request.outcome {
                answers.push((index, request.id));
            }
        }
        if answers.len() > 1 {
            answers.sort_unstable();
        }
    }
    Tombstone {
        number: stream.id.number().unwrap_or_default(),
        cancelled,
        last: stream.log.last(),
        missed: stream.log.missed_without_events(),
        answers,
        due,
    }
}
