//! Completion, retention and cancellation of streams.

use smallvec::SmallVec;

use super::{
    Session,
    requests::failure,
    stream::{Outcome, STANDALONE, Stage, Stream, StreamKey, StreamRequest},
    tombstones::{Responses, Tombstone},
};
use crate::{
    Action, Actions, Change, CloseReason, FailureReason, Log, Report, RequestOutcome, StreamId,
    UnansweredReason, timers::TimerKind,
};

impl<C, S: Clone> Session<C, S> {
    /// Handles the outcome of the last pending request of a stream: the stream is complete.
    pub(super) fn complete(&mut self, stream: StreamKey, out: &mut Actions<C, S>) {
        self.next_sequence();
        self.commit(|| Change::Completed { number: self.number(stream) }, out);
        if self.streams[stream].is_acknowledged() {
            self.commit_acknowledged(stream, out);
        }
        self.drop_deferred_disconnect(stream);
        if let Some(timer) = self.streams[stream].complete() {
            self.timers.remove(timer);
        }
        match self.streams[stream].attached() {
            Some(_) => self.close_if_caught_up(stream, out),
            None => self.retain(stream, out),
        }
    }

    /// Closes the connection of a complete stream, and retains the stream, once all was sent.
    pub(super) fn close_if_caught_up(&mut self, stream: StreamKey, out: &mut Actions<C, S>) {
        if let Stage::Complete { .. } = self.streams[stream].stage()
            && let Some(connection) = self.streams[stream].attached()
            && self.is_at_head(stream, connection)
        {
            self.close_connection(connection, CloseReason::Complete, out);
            self.retain(stream, out);
        }
    }

    /// Cancels a stream and its pending requests for the driver.
    pub(super) fn abandon(&mut self, stream: StreamKey, out: &mut Actions<C, S>) {
        let pending: SmallVec<[_; 1]> = self.streams[stream].pending().cloned().collect();
        for id in pending {
            self.resolve(&id, RequestOutcome::Abandoned, out);
            self.reserve_id(id);
        }
        self.cancel_stream(stream, CloseReason::Abandoned, out);
    }

    /// Replaces a stream that the client or the driver no longer wants with a tombstone.
    pub(super) fn cancel_stream(
        &mut self,
        stream: StreamKey,
        reason: CloseReason,
        out: &mut Actions<C, S>,
    ) {
        if let Some(connection) = self.streams[stream].attached() {
            self.close_connection(connection, reason, out);
        }
        self.next_sequence();
        self.commit(|| Change::Cancelled { number: self.number(stream) }, out);
        self.fail_undelivered(stream, UnansweredReason::Cancelled, out);
        self.replace_with_tombstone(stream, true, out);
    }

    /// Retains a complete stream for its client to come back.
    pub(super) fn retain(&mut self, key: StreamKey, out: &mut Actions<C, S>) {
        self.start_delivery_timers(key, out);
        let retention = self.config.timeouts().retention;
        let deadline = self.client_expected_at(key).deadline_after(retention);
        let stream = &self.streams[key];
        if matches!(stream.stage(), Stage::Complete { revived: true }) || retention.is_zero() {
            self.replace_with_tombstone(key, false, out);
            return;
        }
        let is_acknowledged = stream.is_acknowledged();
        let kind = if is_acknowledged {
            TimerKind::RetainedAcknowledged
        } else {
            TimerKind::RetainedUnacknowledged
        };
        let timer = self.timers.insert_weighted(kind, key.0, deadline, stream.weight());
        self.streams.retain(key, timer);
        self.enforce_retention_limits(out);
    }

    /// Records that a stream was acknowledged through an index, on any connection.
    pub(super) fn acknowledge_stream(
        &mut self,
        key: StreamKey,
        through: u64,
        out: &mut Actions<C, S>,
    ) {
        if through <= self.streams[key].acknowledged {
            return;
        }
        self.on_delivered(key, through);
        let stream = &mut self.streams[key];
        stream.acknowledged = through;
        stream.earlier_silence = 0;
        if key == STANDALONE || !stream.is_open() && stream.is_acknowledged() {
            self.commit_acknowledged(key, out);
        }
        let stream = &self.streams[key];
        if let Stage::Retained { timer } = stream.stage()
            && stream.is_acknowledged()
        {
            self.timers.change_kind(timer, TimerKind::RetainedAcknowledged);
            self.enforce_retention_limits(out);
        }
    }

    /// Requires the commit of the acknowledged index of a stream.
    fn commit_acknowledged(&self, key: StreamKey, out: &mut Actions<C, S>) {
        let Stream { id: stream, acknowledged: through, .. } = self.streams[key];
        self.commit(|| Change::Acknowledged { stream, through }, out);
    }

    /// Takes a stream out of retention, for a connection that resumes it.
    pub(super) fn unretain(&mut self, stream: StreamKey) {
        if let Some(timer) = self.streams.unretain(stream) {
            self.timers.remove(timer);
        }
    }

    /// Replaces a stream with its tombstone.
    pub(super) fn replace_with_tombstone(
        &mut self,
        key: StreamKey,
        was_cancelled: bool,
        out: &mut Actions<C, S>,
    ) {
        self.fail_undelivered(key, UnansweredReason::Evicted, out);
        let stream = &self.streams[key];
        if self.config.activity_reports && !was_cancelled && !stream.is_acknowledged() {
            out.push(Action::Report(Report::StreamExpired { stream: stream.id }));
        }
        self.add_unlogged_from(key);
        let (number, stream) = self.remove_stream(key);
        let (log, responses) = stream.into_log_and_responses();
        self.logged_bytes -= log.bytes();
        let tombstone = Tombstone {
            number,
            last: log.last(),
            missed_through: log.missed_through_if_cleared(),
            responses: if was_cancelled {
                Responses::Cancelled
            } else {
                Responses::new(responses, log.last())
            },
            deadline: self.now.deadline_after(self.config.timeouts().tombstone),
        };
        self.streams.recycle_log(log);
        let room = self.config.tombstones_max.checked_sub(tombstone.weight());
        // Before it is added, so that the memory of the tombstones does not grow beyond the limit.
        self.streams.limit_tombstones(room.unwrap_or(0));
        if room.is_some() {
            self.timers.lower_bound_to(tombstone.deadline);
            self.streams.add_tombstone(tombstone);
        }
    }

    /// Returns the number of a request stream.
    fn number(&self, stream: StreamKey) -> u64 {
        self.streams[stream].id.number().unwrap_or_default()
    }

    /// Removes a request stream that has no attached connection, and its timer. Returns its
    /// number and the stream.
    fn remove_stream(&mut self, key: StreamKey) -> (u64, Stream<S>) {
        self.clear_retry(key);
        let (number, stream) = self.streams.remove(key);
        self.forget_commits(stream.id);
        if let Some(timer) = stream.stage().timer() {
            self.timers.remove(timer);
        }
        if let Some(draining) = stream.draining() {
            self.connections[draining].on_stream_removed(stream.id);
        }
        (number, stream)
    }

    /// Revives a stream from its tombstone, with failures in place of its responses.
    pub(super) fn revive(&mut self, number: u64) -> StreamKey {
        let tombstone = self.streams.remove_tombstone(number);
        let mut log = Log::revived(tombstone.last, tombstone.missed_through);
        for (index, id) in tombstone.responses() {
            // No record has it: its client may get it at once.
            log.append(index, 0, failure(id.clone(), FailureReason::Expired));
        }
        let stage = Stage::Complete { revived: true };
        let mut stream = Stream::new(StreamId::Request(number), stage, log);
        for (index, id) in tombstone.responses() {
            let outcome = Outcome::Answered { index };
            stream.add_request(StreamRequest { id: id.clone(), token: None, outcome });
        }
        self.streams.add(number, stream)
    }

    /// Replaces the oldest retained streams beyond the limits with tombstones.
    fn enforce_retention_limits(&mut self, out: &mut Actions<C, S>) {
        let limits = [
            (TimerKind::RetainedUnacknowledged, self.config.retained_unacknowledged_max),
            (TimerKind::RetainedAcknowledged, self.config.retained_acknowledged_max),
        ];
        for (kind, max) in limits {
            while self.timers.weight(kind) > max
                && let Some(first) = self.timers.first(kind)
            {
                self.replace_with_tombstone(StreamKey(first), false, out);
            }
        }
    }
}
