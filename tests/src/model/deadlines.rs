//! Section "Deadlines".

use rejoin_core::{
    Action, ConnectionId, FailureReason, Instant, Overflow, Report, RequestId, RequestOutcome,
    SessionCloseReason, StreamId, UnansweredReason,
};

use super::{
    Case, Model,
    state::{Stage, Stamp},
    stream::{Entry, Kind, Status},
};

/// A timer of the session.
#[derive(Clone, Debug)]
enum Timer {
    Initialize,
    /// A sender may no longer have to wait.
    Wait,
    Stall(ConnectionId),
    StallDisconnect(ConnectionId),
    Delivery(RequestId),
    ServerRequest(RequestId),
    Orphan(StreamId),
    CancelledId(RequestId),
    RetainedUnacknowledged(StreamId),
    RetainedAcknowledged(StreamId),
    Tombstone(StreamId),
}

impl Timer {
    /// Returns the rank among timers with the same deadline.
    fn rank(&self) -> u8 {
        match self {
            Self::Initialize => 0,
            Self::Wait => 2,
            Self::Stall(_) => 3,
            Self::StallDisconnect(_) => 4,
            Self::Delivery(_) => 5,
            Self::ServerRequest(_) => 6,
            Self::Orphan(_) => 7,
            Self::CancelledId(_) => 8,
            Self::RetainedUnacknowledged(_) => 9,
            Self::RetainedAcknowledged(_) => 10,
            Self::Tombstone(_) => 11,
        }
    }
}

/// The order of timers: deadline, rank, stamp.
type Due = (Instant, u8, u64);

impl Model {
    /// Returns the deadline of the next tick.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        if self.closed.is_some() {
            return None;
        }
        let first = self.first_deadline().map(|((due, ..), _)| due);
        first.into_iter().chain(self.idle_deadline()).min()
    }

    pub(super) fn fire_due_timers(&mut self) {
        while self.closed.is_none()
            && let Some(((due, ..), timer)) = self.first_deadline()
            && due <= self.now
        {
            let is_tombstone = matches!(timer, Timer::Tombstone(_));
            self.fire(timer);
            if !is_tombstone {
                self.settle();
            }
        }
        if self.closed.is_none() && self.idle_deadline().is_some_and(|due| due <= self.now) {
            self.close(SessionCloseReason::Idle);
        }
    }

    fn fire(&mut self, timer: Timer) {
        match timer {
            Timer::Initialize => self.close(SessionCloseReason::InitializeTimeout),
            // Step 6 of handling an input follows, as it does each timer.
            Timer::Wait => self.reach(Case::Waited),
            Timer::Stall(connection) => {
                let order = self.stamp().order;
                let it = &mut self.connections[connection];
                it.is_stalled = true;
                // The disconnect timer counts from the same time, but is stamped after the stall.
                it.silent_since =
                    it.silent_since.map(|silent_since| Stamp { order, ..silent_since });
                self.report_activity(Report::ReaderStalled { connection });
            }
            Timer::StallDisconnect(connection) => self.cut_stalled(connection),
            Timer::Delivery(id) => self.fail_undelivered(id),
            Timer::ServerRequest(id) => self.fail_server_request(id, UnansweredReason::TimedOut),
            Timer::Orphan(stream) => self.cancel_orphan(stream),
            Timer::CancelledId(id) => self.free_id(&id),
            Timer::RetainedUnacknowledged(stream) | Timer::RetainedAcknowledged(stream) => {
                self.leave_tombstone(stream, false);
            }
            Timer::Tombstone(stream) => {
                self.tombstones.retain(|tombstone| tombstone.stream != stream);
            }
        }
    }

    fn cancel_orphan(&mut self, stream: StreamId) {
        self.reset_idle_timer();
        for id in self.streams[stream].pending() {
            self.emit(Action::CancelRequest { id: id.clone() });
            let entry = Entry::Failure(FailureReason::Orphaned);
            self.record(stream, Kind::Response(id.clone()), entry, 0, Overflow::Hold);
            self.streams[stream].set_status(&id, Status::Answered);
            self.report_ended(stream, &id, RequestOutcome::Orphaned);
            self.reserve_id(id);
        }
        self.complete_if_answered(stream);
    }

    /// Restarts the idle time, from when all clients are expected to be back.
    pub(super) fn reset_idle_timer(&mut self) {
        let back_at = self.streams.iter().map(|stream| stream.retry_at);
        self.idle_since = back_at.fold(self.now, Instant::max);
    }

    fn idle_deadline(&self) -> Option<Instant> {
        let since = Stamp { at: self.idle_since, order: 0 };
        since.deadline(self.config.idle_timeout).filter(|_| self.is_idle())
    }

    pub(super) fn is_idle(&self) -> bool {
        matches!(self.stage, Stage::Initialized(_))
            && self.pending_requests() == 0
            && self.connections.len() == 0
    }

    fn first_deadline(&self) -> Option<(Due, Timer)> {
        self.deadlines().into_iter().min_by_key(|(due, _)| *due)
    }

    fn deadlines(&self) -> Vec<(Due, Timer)> {
        let config = &self.config;
        let mut all = Vec::new();
        let mut add = |stamp: Option<Stamp>, timeout, timer: Timer| {
            if let Some(stamp) = stamp
                && let Some(due) = stamp.deadline(timeout)
            {
                all.push(((due, timer.rank(), stamp.order), timer));
            }
        };
        if !matches!(self.stage, Stage::Initialized(_)) {
            add(Some(self.created), config.init_timeout, Timer::Initialize);
        }
        for stream in self.streams.iter() {
            let id = stream.id;
            let retention = if stream.is_fully_acknowledged() {
                Timer::RetainedAcknowledged(id)
            } else {
                Timer::RetainedUnacknowledged(id)
            };
            add(stream.orphaned, config.orphan_timeout, Timer::Orphan(id));
            add(stream.retained, config.retention, retention);
        }
        for connection in self.connections.iter() {
            let id = connection.id;
            let silent_since = connection.silent_since;
            if !connection.is_stalled {
                add(silent_since, connection.stall_timeout(config), Timer::Stall(id));
            }
            add(
                silent_since.or(connection.drained_since),
                config.stall_disconnect_timeout,
                Timer::StallDisconnect(id),
            );
        }
        for (stamp, timeout) in self.wait_timeouts() {
            // Whatever was due before was taken into account then.
            if stamp.deadline(Some(timeout)).is_some_and(|due| due > self.settled_at) {
                add(Some(stamp), Some(timeout), Timer::Wait);
            }
        }
        for request in &self.server_requests {
            let id = request.id.clone();
            add(request.undelivered_since, config.delivery_timeout, Timer::Delivery(id.clone()));
            add(request.delivered_since, config.server_request_timeout, Timer::ServerRequest(id));
        }
        for reserved in &self.reserved_ids {
            let id = reserved.id.clone();
            add(Some(reserved.since), config.cancelled_timeout, Timer::CancelledId(id));
        }
        for tombstone in &self.tombstones {
            let stream = tombstone.stream;
            add(Some(tombstone.since), config.tombstone_timeout, Timer::Tombstone(stream));
        }
        all
    }
}
