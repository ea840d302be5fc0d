//! Completion, retention and cancellation of streams.

use core::mem;

use smallvec::SmallVec;

use super::{
    Session,
    connection::{Role, Source},
    requests::failure,
    stream::{Outcome, Stage, Stream, StreamKey, StreamRequest},
    tombstones::{Responses, Tombstone},
};
use crate::{
    Actions, CloseReason, FailureReason, Log, RequestId, StreamId, UnansweredReason,
    timers::{TimerKey, TimerKind},
};

impl<M: Clone> Session<M> {
    /// Handles the outcome of the last pending request of a stream: the stream is complete.
    pub(super) fn complete(&mut self, stream: StreamKey, out: &mut Actions<M>) {
        self.next_sequence();
        let completed = &mut self.streams[stream];
        if let Stage::Open { orphan_timer: Some(timer) } = completed.stage {
            self.timers.remove(timer);
        }
        completed.stage = Stage::Complete { revived: false };
        match completed.attached {
            Some(_) => self.close_if_caught_up(stream, out),
            None => self.retain(stream, out),
        }
    }

    /// Closes the connection of a complete stream, and retains the stream, once all was sent.
    pub(super) fn close_if_caught_up(&mut self, stream: StreamKey, out: &mut Actions<M>) {
        if let Stream { stage: Stage::Complete { .. }, attached: Some(connection), .. } =
            self.streams[stream]
            && self.is_at_head(stream, connection)
        {
            self.close_connection(connection, CloseReason::Complete, out);
            self.retain(stream, out);
        }
    }

    /// Cancels a stream and its pending requests for the driver.
    pub(super) fn abandon(&mut self, stream: StreamKey, out: &mut Actions<M>) {
        let pending: SmallVec<[_; 1]> = self.streams[stream].pending().cloned().collect();
        for id in pending {
            self.resolve(&id, |_| Outcome::Cancelled);
            self.reserve_id(id);
        }
        self.cancel_stream(stream, CloseReason::Abandoned, out);
    }

    /// Replaces a stream that the client or the driver no longer wants with a tombstone.
    pub(super) fn cancel_stream(
        &mut self,
        stream: StreamKey,
        reason: CloseReason,
        out: &mut Actions<M>,
    ) {
        if let Some(connection) = self.streams[stream].attached {
            self.close_connection(connection, reason, out);
        }
        self.next_sequence();
        self.fail_undelivered(stream, UnansweredReason::Cancelled, out);
        self.replace_with_tombstone(stream, true, out);
    }

    /// Retains a complete stream for its client to come back.
    pub(super) fn retain(&mut self, key: StreamKey, out: &mut Actions<M>) {
        self.start_delivery_timers(key, out);
        let retention = self.config.timeouts().retention;
        let deadline = self.client_expected_at(key).deadline_after(retention);
        let stream = &mut self.streams[key];
        if matches!(stream.stage, Stage::Complete { revived: true }) || retention.is_zero() {
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
        out: &mut Actions<M>,
    ) {
        if through <= self.streams[key].acknowledged {
            return;
        }
        self.on_delivered(key, through);
        let stream = &mut self.streams[key];
        stream.acknowledged = through;
        stream.earlier_silence = 0;
        if let Stage::Retained { timer } = stream.stage
            && stream.is_acknowledged()
        {
            self.timers.change_kind(timer, TimerKind::RetainedAcknowledged);
            self.enforce_retention_limits(out);
        }
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
        out: &mut Actions<M>,
    ) {
        self.fail_undelivered(key, UnansweredReason::Evicted, out);
        self.add_unlogged_from(key);
        let Stream { id, requests, log, .. } = &mut self.streams[key];
        let (id, requests, log) = (*id, mem::take(requests), mem::replace(log, Log::new()));
        self.logged_bytes -= log.bytes();
        self.remove_stream(key);
        let tombstone = Tombstone {
            number: id.number().unwrap_or_default(),
            last: log.last(),
            missed_through: log.missed_through_if_cleared(),
            responses: if was_cancelled {
                Responses::Cancelled
            } else {
                Responses::new(responses(requests), log.last())
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

    /// Removes a stream that has no attached connection and an empty log, and its timers.
    fn remove_stream(&mut self, key: StreamKey) {
        self.clear_retry(key);
        let Stream { id, stage, draining, .. } = &self.streams[key];
        if let Some(timer) = stage_timer(stage) {
            self.timers.remove(timer);
        }
        if let Some(draining) = draining {
            self.connections[*draining].role = Role::Draining(Source::Removed(*id));
        }
        let is_in_use = !matches!(stage, Stage::Retained { .. });
        self.streams.in_use -= usize::from(is_in_use);
        self.streams.remove(key);
    }

    /// Revives a stream from its tombstone, with failures in place of its responses.
    pub(super) fn revive(&mut self, number: u64) -> StreamKey {
        let tombstone = self.streams.remove_tombstone(number);
        let mut log = Log::revived(tombstone.last, tombstone.missed_through);
        let mut requests = SmallVec::new();
        for (index, id) in tombstone.responses() {
            let sequence = self.next_sequence();
            log.append(index, sequence, failure(id.clone(), FailureReason::Expired));
            let outcome = Outcome::Answered { index };
            requests.push(StreamRequest { id: id.clone(), token: None, outcome });
        }
        let stage = Stage::Complete { revived: true };
        let mut stream = Stream::new(StreamId::Request(number), stage, log);
        stream.requests = requests;
        self.streams.add(number, stream)
    }

    /// Replaces the oldest retained streams beyond the limits with tombstones.
    fn enforce_retention_limits(&mut self, out: &mut Actions<M>) {
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

fn stage_timer(stage: &Stage) -> Option<TimerKey> {
    match stage {
        Stage::Retained { timer } => Some(*timer),
        Stage::Open { orphan_timer } => *orphan_timer,
        Stage::Standalone | Stage::Complete { .. } => None,
    }
}

/// Returns the responses to requests, which are the events at their indexes.
fn responses(
    requests: impl IntoIterator<Item = StreamRequest>,
) -> impl Iterator<Item = (u64, RequestId)> {
    requests.into_iter().filter_map(|request| match request.outcome {
        Outcome::Answered { index } => Some((index, request.id)),
        Outcome::Pending | Outcome::Cancelled => None,
    })
}
