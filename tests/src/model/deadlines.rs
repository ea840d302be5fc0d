//! Section "Deadlines".

use rejoin_core::{
    Action, CloseReason, ConnectionId, EndReason, FailureReason, Instant, RequestId, StreamId,
    UnansweredReason,
};

use super::{
    Model,
    state::{Begun, Stage},
    stream::{Bearing, Entry, Status},
};

/// Something that can be due.
#[derive(Clone, Debug)]
enum Deadline {
    Initialize,
    Reservation(StreamId),
    Patience,
    Stall(ConnectionId),
    StallLimit(ConnectionId),
    Question(RequestId),
    Answer(RequestId),
    Orphan(StreamId),
    CancelledId(RequestId),
    Untaken(StreamId),
    Taken(StreamId),
    Tombstone(StreamId),
}

impl Deadline {
    /// The place in the order of those that are due at the same time.
    fn rank(&self) -> u8 {
        match self {
            Self::Initialize => 0,
            Self::Reservation(_) => 1,
            Self::Patience => 2,
            Self::Stall(_) => 3,
            Self::StallLimit(_) => 4,
            Self::Question(_) => 5,
            Self::Answer(_) => 6,
            Self::Orphan(_) => 7,
            Self::CancelledId(_) => 8,
            Self::Untaken(_) => 9,
            Self::Taken(_) => 10,
            Self::Tombstone(_) => 11,
        }
    }
}

/// When something is due, and after what else.
type Due = (Instant, u8, u64);

impl Model {
    /// Returns when the next tick has something to do.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        if self.closed.is_some() {
            return None;
        }
        let first = self.first_deadline().map(|((due, ..), _)| due);
        first.into_iter().chain(self.idle_deadline()).min()
    }

    pub(super) fn carry_out_what_is_due(&mut self) {
        while self.closed.is_none()
            && let Some(((due, ..), deadline)) = self.first_deadline()
            && due <= self.now
        {
            let is_tombstone = matches!(deadline, Deadline::Tombstone(_));
            self.strike(deadline);
            if !is_tombstone {
                self.make_room();
                self.release();
            }
        }
        if self.closed.is_none() && self.idle_deadline().is_some_and(|due| due <= self.now) {
            self.close(CloseReason::Idle);
        }
    }

    fn strike(&mut self, deadline: Deadline) {
        match deadline {
            Deadline::Initialize => self.close(CloseReason::InitializeTimeout),
            Deadline::Reservation(stream) => self.cancel_stream(stream, EndReason::Abandoned),
            // It is over by now, which is seen when the held are let go.
            Deadline::Patience => {}
            Deadline::Stall(connection) => {
                let order = self.begin().order;
                let it = &mut self.connections[connection];
                it.is_stalled = true;
                // Its limit is counted from the same time, but began after the stall.
                it.waits = it.waits.map(|waits| Begun { order, ..waits });
            }
            Deadline::StallLimit(connection) => self.cut_as_stalled(connection),
            Deadline::Question(id) => self.question_has_no_listener(id),
            Deadline::Answer(id) => self.fail(id, UnansweredReason::TimedOut),
            Deadline::Orphan(stream) => self.cancel_orphan(stream),
            Deadline::CancelledId(id) => self.unreserve_id(&id),
            Deadline::Untaken(stream) | Deadline::Taken(stream) => self.bury(stream, false),
            Deadline::Tombstone(stream) => {
                self.tombstones.retain(|tombstone| tombstone.stream != stream);
            }
        }
    }

    fn cancel_orphan(&mut self, stream: StreamId) {
        self.stay_awake();
        for id in self.streams[stream].pending() {
            self.act(Action::CancelRequest { id: id.clone() });
            self.reserve_id(id.clone());
            self.streams[stream].set_status(&id, Status::Answered);
            let entry = Entry::Failure(FailureReason::Orphaned);
            self.record(stream, Bearing::Answers(id), entry, 0);
        }
        self.complete_if_answered(stream);
    }

    /// The idle time starts anew, once all clients are to be back.
    pub(super) fn stay_awake(&mut self) {
        let back_at = self.streams.iter().map(|stream| stream.retry_at);
        self.idle_since = back_at.fold(self.now, Instant::max);
    }

    fn idle_deadline(&self) -> Option<Instant> {
        let since = Begun { at: self.idle_since, order: 0 };
        since.due(self.config.idle_timeout).filter(|_| self.is_idle())
    }

    pub(super) fn is_idle(&self) -> bool {
        matches!(self.stage, Stage::Initialized(_))
            && self.pending() == 0
            && self.connections.len() == 0
    }

    fn first_deadline(&self) -> Option<(Due, Deadline)> {
        self.deadlines().into_iter().min_by_key(|(due, _)| *due)
    }

    fn deadlines(&self) -> Vec<(Due, Deadline)> {
        let config = &self.config;
        let mut all = Vec::new();
        let mut add = |begun: Option<Begun>, timeout, deadline: Deadline| {
            if let Some(begun) = begun
                && let Some(due) = begun.due(timeout)
            {
                all.push(((due, deadline.rank(), begun.order), deadline));
            }
        };
        if !matches!(self.stage, Stage::Initialized(_)) {
            add(Some(self.created), config.init_timeout, Deadline::Initialize);
        }
        for stream in self.streams.iter() {
            let id = stream.id;
            let retention =
                if stream.end_is_taken() { Deadline::Taken(id) } else { Deadline::Untaken(id) };
            add(stream.reservation, config.reservation_timeout, Deadline::Reservation(id));
            add(stream.orphan, config.orphan_timeout, Deadline::Orphan(id));
            add(stream.retained, config.retention, retention);
        }
        for connection in self.connections.iter() {
            let id = connection.id;
            let waits = connection.waits;
            if !connection.is_stalled {
                add(waits, connection.stall_timeout(config), Deadline::Stall(id));
            }
            add(
                waits.or(connection.drained),
                config.stall_disconnect_timeout,
                Deadline::StallLimit(id),
            );
        }
        for stream in &self.held {
            let (begun, left) = self.patience(*stream).unzip();
            add(begun, left, Deadline::Patience);
        }
        for question in &self.questions {
            let id = question.id.clone();
            add(question.unheard, config.delivery_timeout, Deadline::Question(id.clone()));
            add(question.heard, config.server_request_timeout, Deadline::Answer(id));
        }
        for reserved in &self.reserved_ids {
            let id = reserved.id.clone();
            add(Some(reserved.begun), config.cancelled_timeout, Deadline::CancelledId(id));
        }
        for tombstone in &self.tombstones {
            let stream = tombstone.stream;
            add(Some(tombstone.begun), config.tombstone_timeout, Deadline::Tombstone(stream));
        }
        all
    }
}
