//! Retention: what is left of a stream that is over, and for how long.

use core::time::Duration;

use smallvec::SmallVec;

use super::{
    Session,
    connection::Subject,
    requests::failure,
    stream::{Outcome, Stage, Stream, StreamKey, StreamRequest},
    tombstones::Tombstone,
};
use crate::{
    Actions, EndReason, FailureReason, Instant, Log, StreamId, UnansweredReason,
    timers::{TimerKey, TimerKind},
};

impl<M: Clone> Session<M> {
    /// Treats that the last request of a stream was answered or cancelled.
    pub(super) fn complete(&mut self, stream: StreamKey, out: &mut Actions<M>) {
        self.next_sequence();
        if let Stage::Open { orphan_timer: Some(orphan) } = self.streams[stream].stage {
            self.timers.remove(orphan);
        }
        self.streams[stream].stage = Stage::Complete { revived: false };
        match self.streams[stream].attached {
            Some(_) => self.close_if_caught_up(stream, out),
            None => self.retain(stream, out),
        }
    }

    /// Ends the connection of a complete stream that was sent all of it.
    pub(super) fn close_if_caught_up(&mut self, stream: StreamKey, out: &mut Actions<M>) {
        if let Stream { stage: Stage::Complete { .. }, attached: Some(connection), .. } =
            self.streams[stream]
            && self.is_at_head(stream, connection)
        {
            self.close_connection(connection, EndReason::Complete, out);
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
        self.cancel_stream(stream, EndReason::Abandoned, out);
    }

    /// Lets go of a stream that nobody waits for.
    pub(super) fn cancel_stream(
        &mut self,
        stream: StreamKey,
        reason: EndReason,
        out: &mut Actions<M>,
    ) {
        let was_open = !matches!(self.streams[stream].stage, Stage::Reserved { .. });
        if let Some(connection) = self.streams[stream].attached {
            self.close_connection(connection, reason, out);
        }
        if was_open {
            self.next_sequence();
            self.fail_undelivered(stream, UnansweredReason::Cancelled, out);
            self.replace_with_tombstone(stream, true, out);
        } else {
            let stream = self.remove_stream(stream);
            self.streams.remove_number(stream.id);
        }
    }

    /// Keeps a complete stream for those who come back.
    pub(super) fn retain(&mut self, stream: StreamKey, out: &mut Actions<M>) {
        self.start_delivery_timers(stream, out);
        let is_revived = matches!(self.streams[stream].stage, Stage::Complete { revived: true });
        if is_revived || self.config.retention.is_some_and(|retention| retention.is_zero()) {
            self.replace_with_tombstone(stream, false, out);
            return;
        }
        let deadline =
            self.client_expected_at(stream).deadline_after(self.config.timeouts().retention);
        let is_acknowledged = self.streams[stream].is_acknowledged();
        let kind = if is_acknowledged {
            TimerKind::RetainedAcknowledged
        } else {
            TimerKind::RetainedUnacknowledged
        };
        let weight = self.streams[stream].weight();
        let kind = self.timers.insert_weighted(kind, stream.0, deadline, weight);
        self.streams[stream].stage = Stage::Retained { timer: kind };
        self.streams.in_use -= 1;
        self.update_front_acknowledged(stream);
        self.enforce_retention_limits(out);
    }

    /// Notes that a stream was taken through an index, on whatever connection.
    pub(super) fn acknowledge_stream(
        &mut self,
        key: StreamKey,
        through: u64,
        out: &mut Actions<M>,
    ) {
        if through <= self.streams[key].acknowledged {
            return;
        }
        self.on_delivered(key, through);
        self.streams[key].acknowledged = through;
        self.streams[key].earlier_silence = Duration::ZERO;
        if let Stage::Retained { timer: kind } = self.streams[key].stage
            && self.streams[key].is_acknowledged()
        {
            let deadline = self.timers.deadline_of(kind);
            self.timers.remove(kind);
            let weight = self.streams[key].weight();
            let kind = self.timers.insert_weighted(
                TimerKind::RetainedAcknowledged,
                key.0,
                deadline,
                weight,
            );
            self.streams[key].stage = Stage::Retained { timer: kind };
            self.update_front_acknowledged(key);
            self.enforce_retention_limits(out);
        } else {
            self.update_front_acknowledged(key);
        }
    }

    /// Takes a stream out of retention, for a connection that carries it.
    pub(super) fn unretain(&mut self, stream: StreamKey) {
        if let Stage::Retained { timer: kind } = self.streams[stream].stage {
            self.timers.remove(kind);
            self.streams[stream].stage = Stage::Complete { revived: false };
            self.streams.in_use += 1;
            self.update_front_acknowledged(stream);
        }
    }

    /// Replaces a stream by its tombstone.
    pub(super) fn replace_with_tombstone(
        &mut self,
        key: StreamKey,
        cancelled: bool,
        out: &mut Actions<M>,
    ) {
        self.fail_undelivered(key, UnansweredReason::Evicted, out);
        let mut stream = self.remove_stream(key);
        let deadline = self.now.deadline_after(self.config.timeouts().tombstone);
        self.streams.add_tombstone(make_tombstone(&mut stream, cancelled, deadline));
        self.streams.recycle_log(stream.log);
        while self.streams.tombstones_weight() > self.config.tombstones_max {
            self.streams.remove_first_tombstone();
        }
    }

    /// Takes out a stream that no connection carries, with all that refers to it
    /// but its number.
    fn remove_stream(&mut self, key: StreamKey) -> Stream<M> {
        self.clear_retry(key);
        let stream = self.streams.remove(key);
        if let Some(timer) = stage_timer(&stream.stage) {
            self.timers.remove(timer);
        }
        if !matches!(stream.stage, Stage::Retained { .. }) {
            self.streams.in_use -= 1;
        }
        for timer in [stream.non_empty, stream.front_acknowledged].into_iter().flatten() {
            self.timers.remove(timer);
        }
        if let Some(drain) = stream.draining {
            self.connections[drain].subject = Subject::Removed(stream.id);
        }
        self.logged_bytes -= stream.log.bytes();
        stream
    }

    /// Makes a stream again of a tombstone.
    pub(super) fn revive(&mut self, number: u64) -> Option<StreamKey> {
        let tombstone = self.streams.remove_tombstone(number)?;
        let mut log = Log::revived(tombstone.last, tombstone.missed_through);
        let mut requests = SmallVec::new();
        for (index, id) in tombstone.responses {
            let sequence = self.next_sequence();
            log.append(index, sequence, failure(id.clone(), FailureReason::Expired));
            let outcome = Outcome::Answered { index };
            requests.push(StreamRequest { id, token: None, outcome });
        }
        let stage = Stage::Complete { revived: true };
        let mut stream = Stream::new(StreamId::Request(number), stage, log);
        stream.requests = requests;
        Some(self.streams.add(number, stream))
    }

    /// Buries what is more than may be retained.
    fn enforce_retention_limits(&mut self, out: &mut Actions<M>) {
        let limits = [
            (TimerKind::RetainedUnacknowledged, self.config.retained_unacknowledged_max),
            (TimerKind::RetainedAcknowledged, self.config.retained_acknowledged_max),
        ];
        for (kind, max) in limits {
            while self.timers.weight(kind) > max {
                let Some(first) = self.timers.first(kind) else {
                    break;
                };
                self.replace_with_tombstone(StreamKey(first), false, out);
            }
        }
    }
}

fn stage_timer(stage: &Stage) -> Option<TimerKey> {
    match stage {
        Stage::Reserved { timer } => Some(*timer),
        Stage::Open { orphan_timer } => *orphan_timer,
        Stage::Complete { .. } => None,
        Stage::Retained { timer: kind } => Some(*kind),
    }
}

fn make_tombstone<M>(stream: &mut Stream<M>, cancelled: bool, deadline: Instant) -> Tombstone {
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
        was_cancelled: cancelled,
        last: stream.log.last(),
        missed_through: stream.log.missed_through_if_cleared(),
        responses: answers,
        deadline,
    }
}
