//! Firing of timers, and their effects.

use smallvec::SmallVec;

use super::{
    Session,
    connection::ConnectionKey,
    requests::{ServerRequestKey, failure},
    stream::StreamKey,
};
use crate::{
    Action, Actions, FailureReason, Report, RequestId, RequestOutcome, SessionCloseReason,
    UnansweredReason,
    timers::{Key, TimerKind},
};

impl<C, S: Clone> Session<C, S> {
    /// Fires all due timers, in order.
    #[inline]
    pub(super) fn tick(&mut self, out: &mut Actions<C, S>) {
        if self.now >= self.timers.lower_bound() {
            self.fire_due(out);
        }
    }

    fn fire_due(&mut self, out: &mut Actions<C, S>) {
        while let Some((kind, key)) = self.timers.pop_due(self.now) {
            self.clear_timer(kind, key);
            self.fire(kind, key, out);
            self.flush_deferred(out);
        }
        while self
            .streams
            .tombstone_deadline()
            .finite()
            .is_some_and(|deadline| deadline <= self.now)
        {
            self.streams.remove_first_tombstone();
        }
        if self.idle_deadline().finite().is_some_and(|deadline| deadline <= self.now) {
            self.close(SessionCloseReason::Idle, out);
        }
        self.timers.lower_bound_to(self.streams.tombstone_deadline().min(self.idle_at));
    }

    /// Clears the handle of a timer that is about to fire.
    fn clear_timer(&mut self, kind: TimerKind, key: Key) {
        match kind {
            TimerKind::Hold => self.clear_hold_timer(StreamKey(key)),
            TimerKind::Shrink => self.limit.clear_timer(),
            TimerKind::StallLongest
            | TimerKind::Stall
            | TimerKind::StallShortest
            | TimerKind::StallDisconnect => {
                self.connections[ConnectionKey(key)].stall_timer = None;
            }
            TimerKind::Delivery | TimerKind::Response => {
                if let Some(request) = self.server_requests.get_mut(ServerRequestKey(key)) {
                    request.timer = None;
                }
            }
            TimerKind::Orphan => {
                self.streams[StreamKey(key)].take_orphan_timer();
            }
            TimerKind::RetainedUnacknowledged | TimerKind::RetainedAcknowledged => {
                self.streams.unretain(StreamKey(key));
            }
            TimerKind::Initialize | TimerKind::Cancelled => {}
        }
    }

    /// Fires one timer, whose handle was cleared.
    fn fire(&mut self, kind: TimerKind, key: Key, out: &mut Actions<C, S>) {
        match kind {
            TimerKind::Initialize => self.close(SessionCloseReason::InitializeTimeout, out),
            TimerKind::StallLongest | TimerKind::Stall | TimerKind::StallShortest => {
                self.mark_stalled(ConnectionKey(key), out);
            }
            TimerKind::StallDisconnect => self.cut_stalled(ConnectionKey(key), out),
            TimerKind::Delivery => self.on_delivery_timeout(ServerRequestKey(key), out),
            TimerKind::Response => {
                self.fail_server_request(ServerRequestKey(key), UnansweredReason::TimedOut, out);
            }
            TimerKind::Orphan => self.fail_orphaned(StreamKey(key), out),
            TimerKind::Cancelled => {
                self.requests.cancelled.remove(key);
            }
            TimerKind::RetainedUnacknowledged | TimerKind::RetainedAcknowledged => {
                self.replace_with_tombstone(StreamKey(key), false, out);
            }
            // `flush_deferred` shrinks, cuts stopped readers, and releases senders.
            TimerKind::Hold | TimerKind::Shrink => {}
        }
    }

    /// Handles a stalled reader, which no longer holds senders.
    fn mark_stalled(&mut self, key: ConnectionKey, out: &mut Actions<C, S>) {
        let connection = &mut self.connections[key];
        connection.is_stalled = true;
        if self.config.activity_reports {
            let connection = connection.id;
            out.push(Action::Report(Report::ReaderStalled { connection }));
        }
        if self.config.stall_disconnect_timeout.is_some() {
            let deadline =
                connection.silent_since.deadline_after(self.config.timeouts().stall_disconnect);
            connection.stall_timer =
                Some(self.timers.insert(TimerKind::StallDisconnect, key.0, deadline));
        }
    }

    /// Fails the pending requests of a stream whose client did not come back.
    fn fail_orphaned(&mut self, stream: StreamKey, out: &mut Actions<C, S>) {
        self.reset_idle_timer();
        let pending: SmallVec<[RequestId; 1]> = self.streams[stream].pending().cloned().collect();
        for id in pending {
            out.push(Action::CancelRequest { id: id.clone() });
            self.record(stream, failure(id.clone(), FailureReason::Orphaned), out);
            self.resolve(&id, RequestOutcome::Orphaned, out);
            self.reserve_id(id);
        }
        self.complete(stream, out);
    }
}
