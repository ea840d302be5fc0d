//! Section "Retention": complete streams without a connection, and tombstones.

use std::time::Duration;

use rejoin_core::{Change, FailureReason, Instant, Report, RequestId, StreamId, UnansweredReason};

use super::{
    Model,
    state::Stamp,
    stream::{Kind, Phase, RecordedEvent, Stream},
};

/// What remains of a stream after retention, or after its cancellation.
#[derive(Clone, Debug)]
pub(super) struct Tombstone {
    pub(super) stream: StreamId,
    pub(super) is_cancelled: bool,
    pub(super) last: u64,
    pub(super) missed: u64,
    pub(super) responses: Vec<(RequestId, u64)>,
    pub(super) since: Stamp,
}

impl Model {
    /// Retains a complete stream that has no connection.
    pub(super) fn retain(&mut self, stream: StreamId) {
        self.start_delivery_timers(stream);
        let stamp = self.stamp_when_expected(stream);
        let it = &mut self.streams[stream];
        if it.is_revived || self.config.retention == Some(Duration::ZERO) {
            self.leave_tombstone(stream, false);
        } else {
            it.retained = Some(stamp);
            let end_is_acknowledged = it.is_fully_acknowledged();
            self.enforce_retained_limit(end_is_acknowledged);
        }
    }

    /// Raises the acknowledged index of a stream to `index`.
    pub(super) fn raise_acknowledged(&mut self, stream: StreamId, index: u64) {
        let delivered_since = self.stamp();
        let order = self.stamp().order;
        let it = &mut self.streams[stream];
        let was_acknowledged = it.is_fully_acknowledged();
        let has_risen = index > it.acknowledged;
        if has_risen {
            it.acknowledged = index;
            it.earlier_silence = Duration::ZERO;
        }
        let is_end = it.phase == Phase::Complete && it.is_fully_acknowledged();
        if has_risen && (stream == StreamId::Standalone || is_end) {
            self.commit_acknowledged(stream);
        }
        let it = &mut self.streams[stream];
        for request in &mut self.server_requests {
            if request.stream == stream && request.index <= it.acknowledged {
                request.undelivered_since = None;
                request.delivered_since.get_or_insert(delivered_since);
            }
        }
        if let Some(retained) = &mut it.retained
            && !was_acknowledged
            && it.acknowledged >= it.last
        {
            retained.order = order;
            self.enforce_retained_limit(true);
        }
    }

    pub(super) fn commit_acknowledged(&mut self, stream: StreamId) {
        let through = self.streams[stream].acknowledged;
        self.commit(Change::Acknowledged { stream, through });
    }

    /// Leaves tombstones of the streams that are retained over the limit.
    fn enforce_retained_limit(&mut self, end_is_acknowledged: bool) {
        let max = if end_is_acknowledged {
            self.config.retained_acknowledged_max
        } else {
            self.config.retained_unacknowledged_max
        };
        let weight = |it: &Self| -> usize {
            it.retained(end_is_acknowledged).iter().map(|stream| stream.requests.len().max(1)).sum()
        };
        while weight(self) > max {
            if let Some(first) = self.first_retained(end_is_acknowledged) {
                self.leave_tombstone(first, false);
            }
        }
    }

    fn retained(&self, end_is_acknowledged: bool) -> Vec<&Stream> {
        let retained = self.streams.iter().filter(|stream| stream.retained.is_some());
        retained.filter(|stream| stream.is_fully_acknowledged() == end_is_acknowledged).collect()
    }

    /// Returns the retained stream that is removed first.
    pub(super) fn first_retained(&self, end_is_acknowledged: bool) -> Option<StreamId> {
        let first = self.retained(end_is_acknowledged).into_iter().min_by_key(|stream| {
            let due = stream.retained.and_then(|stamp| stamp.deadline(self.config.retention));
            // `None` is later than any deadline.
            (due.unwrap_or(Instant::MAX), stream.retained.map(|stamp| stamp.order))
        })?;
        Some(first.id)
    }

    /// Replaces a stream by its tombstone.
    pub(super) fn leave_tombstone(&mut self, stream: StreamId, is_cancelled: bool) {
        self.fail_unacknowledged(stream, UnansweredReason::Evicted);
        if !is_cancelled && !self.streams[stream].is_fully_acknowledged() {
            self.report_activity(Report::StreamExpired { stream });
        }
        let stamp = self.stamp();
        let removed = self.streams.remove(stream);
        self.tombstones.push(Tombstone {
            stream,
            is_cancelled,
            last: removed.last,
            missed: missed_without_log(&removed),
            responses: if is_cancelled { Vec::new() } else { responses(&removed) },
            since: stamp,
        });
        let weight = |it: &Self| -> usize {
            it.tombstones.iter().map(|tombstone| tombstone.responses.len().max(1)).sum()
        };
        while weight(self) > self.config.tombstones_max {
            self.tombstones.remove(0);
        }
    }

    /// Revives a complete stream from its tombstone.
    pub(super) fn revive(&mut self, stream: StreamId) {
        for tombstone in self.tombstones.iter().filter(|tombstone| tombstone.stream == stream) {
            let mut it = Stream::new(stream, Phase::Complete);
            it.is_revived = true;
            it.last = tombstone.last;
            it.missed = tombstone.missed;
            it.events = tombstone
                .responses
                .iter()
                .map(|(id, index)| {
                    RecordedEvent::failure(*index, id.clone(), FailureReason::Expired)
                })
                .collect();
            self.streams.push(it);
        }
        self.tombstones.retain(|tombstone| tombstone.stream != stream);
    }
}

fn missed_without_log(stream: &Stream) -> u64 {
    let others = stream.logged_from(0).filter(|event| !is_response(event));
    others.map(|event| event.index).fold(stream.missed, u64::max)
}

fn responses(stream: &Stream) -> Vec<(RequestId, u64)> {
    let logged = stream.logged_from(0);
    logged
        .filter_map(|event| match &event.kind {
            Kind::Response(id) => Some((id.clone(), event.index)),
            Kind::Request(_) | Kind::Notification => None,
        })
        .collect()
}

/// Returns whether it is a response, or a failure in its place.
fn is_response(event: &RecordedEvent) -> bool {
    matches!(event.kind, Kind::Response(_))
}
