//! Restoring a session from a snapshot, which is not trusted.

use alloc::vec::Vec;
use core::time::Duration;

use smallvec::SmallVec;

use super::{
    Phase, Session,
    backpressure::HeldStream,
    connection::{Connection, ConnectionKey, Role, Subject},
    requests::ServerRequest,
    stall_estimator::StallEstimator,
    stream::{Outcome, STANDALONE, Stage, Stream, StreamKey},
    tombstones::Tombstone,
};
use crate::{
    Actions, ConnectionId, Instant, Log, ProgressToken, RequestId, StreamId, ValidConfig,
    config::BYTES_MAX,
    snapshot::{
        ConnectionState, PhaseState, RestoreError, ServerRequestState, Snapshot, StageState,
        StreamState, SubjectState, TimerState, TimerTarget, TombstoneState,
    },
    timers::{TimerKey, TimerKind},
};

impl<M: Clone> Session<M> {
    /// Makes a session of a snapshot, at `now`.
    ///
    /// Whatever time was left when the snapshot was taken is left from `now` on.
    /// Every connection is gone: each is treated as closed, by id, with nothing
    /// more taken than was, and the actions of that are appended to `out`. Where
    /// `config` allows less than the session has, it keeps that, and gets no more.
    ///
    /// # Errors
    ///
    /// The snapshot contradicts itself: whoever stored it is at fault. It is
    /// checked to the extent that no later input can panic or leak.
    pub fn restore(
        snapshot: Snapshot<M>,
        config: ValidConfig,
        now: Instant,
        out: &mut Actions<M>,
    ) -> Result<Self, RestoreError> {
        let Snapshot { state, logs } = snapshot;
        let mut session = Self::new(config, now);
        if let PhaseState::Closed(reason) = state.phase {
            session.clear(reason);
            return Ok(session);
        }
        session.set_initialized(state.initialized);
        session.was_used = state.was_used;
        session.retry_at = now.deadline_after(state.retry_in.into());
        session.idle_due = now.deadline_after(state.idle_in.into());
        session.sequence = state.sequence;
        session.streams.next = state.next_stream;
        session.restore_streams(state.streams, logs)?;
        for connection in state.connections {
            session.restore_connection(connection)?;
        }
        session.restore_shadows(&state.shadows)?;
        session.restore_phase(state.phase)?;
        for request in state.server_requests {
            session.restore_server_request(request)?;
        }
        for token in state.tasks {
            session.restore_task(token)?;
        }
        session.restore_timers(state.timers, state.tombstones)?;
        session.check_streams_restored()?;
        session.close_all_connections(out);
        Ok(session)
    }

    fn restore_streams(
        &mut self,
        states: Vec<StreamState>,
        logs: Vec<(StreamId, Log<M>)>,
    ) -> Result<(), RestoreError> {
        ensure(states.len() == logs.len(), "as many logs as streams")?;
        let has_standalone = logs.first().is_some_and(|(id, _)| *id == StreamId::Standalone);
        ensure(has_standalone, "the standalone stream comes first")?;
        for (state, (id, log)) in states.into_iter().zip(logs) {
            self.held_streams.extend(state.holds_sender.then(|| HeldStream::new(id)));
            let bytes = self.logged_bytes.checked_add(log.bytes());
            self.logged_bytes = bytes
                .filter(|bytes| *bytes <= BYTES_MAX)
                .ok_or(RestoreError("logs that fit into memory"))?;
            match id {
                StreamId::Standalone => {
                    let is_first = self.streams[STANDALONE].log.last() == 0;
                    ensure(is_first && self.streams.in_use == 0, "one standalone stream")?;
                    ensure(state.stage == StageState::Open, "the standalone stream is open")?;
                    ensure(state.requests.is_empty(), "the standalone stream has no request")?;
                    self.streams[STANDALONE] = restored_stream(id, state, log, self.now);
                }
                StreamId::Request(number) => {
                    ensure(number < self.streams.next, "stream numbers that were given out")?;
                    ensure(self.streams.lookup(number).is_none(), "one stream a number")?;
                    let is_retained = state.stage == StageState::Retained;
                    let key = self.streams.add(number, restored_stream(id, state, log, self.now));
                    if is_retained {
                        self.streams.in_use -= 1;
                    }
                    self.restore_requests(key)?;
                }
            }
        }
        Ok(())
    }

    fn restore_requests(&mut self, key: StreamKey) -> Result<(), RestoreError> {
        let last = self.streams[key].log.last();
        let requests = self.streams[key].requests.clone();
        for request in requests {
            match request.outcome {
                Outcome::Pending => {
                    self.streams[key].pending += 1;
                    let earlier = self.requests.pending.insert(request.id, key);
                    ensure(earlier.is_none(), "one pending request an id")?;
                    if let Some(token) = request.token {
                        let earlier = self.requests.tokens.insert(token, key);
                        ensure(earlier.is_none(), "one pending request a progress token")?;
                    }
                }
                Outcome::Answered { index } => {
                    ensure((1..=last).contains(&index), "answers at indexes of their stream")?;
                }
                Outcome::Cancelled => {}
            }
        }
        Ok(())
    }

    fn restore_connection(&mut self, state: ConnectionState) -> Result<(), RestoreError> {
        let ConnectionState {
            id,
            subject,
            role,
            cursor,
            in_flight,
            format,
            has_acknowledged,
            is_stalled,
        } = state;
        ensure(self.connections.find(id).is_none(), "one connection an id")?;
        let (subject, is_fitting) = match subject {
            SubjectState::Initialize => (Subject::Initialize, role != Role::Shadow),
            SubjectState::Removed(id) => (Subject::Removed(id), role == Role::Draining),
            SubjectState::Stream(id) => {
                let key = self.streams.find(id).ok_or(RestoreError("connections of streams"))?;
                (Subject::Stream(key), role != Role::Shadow || key == STANDALONE)
            }
        };
        ensure(is_fitting, "roles that fit")?;
        let unknown = StallEstimator::new(self.config.timeouts().stall);
        let mut connection = Connection::new(id, subject, role, cursor, unknown);
        connection.format = format;
        connection.has_acknowledged = has_acknowledged;
        connection.is_stalled = is_stalled;
        connection.silent_since = self.now;
        let key = self.connections.add(connection);
        for sent in in_flight {
            self.add_in_flight(key, sent);
        }
        let Subject::Stream(stream) = subject else {
            return Ok(());
        };
        let place = match role {
            Role::Attached => &mut self.streams[stream].attached,
            Role::Draining if stream != STANDALONE => &mut self.streams[stream].draining,
            Role::Draining | Role::Shadow => return Ok(()),
        };
        ensure(place.replace(key).is_none(), "one connection for each role")
    }

    fn restore_shadows(&mut self, shadows: &[ConnectionId]) -> Result<(), RestoreError> {
        for id in shadows {
            let key = self.connections.find(*id).ok_or(RestoreError("shadows are connections"))?;
            let is_new = !self.connections.shadows.contains(&key);
            let is_shadow = self.connections[key].role == Role::Shadow;
            ensure(is_new && is_shadow, "shadows are shadows once")?;
            self.connections.shadows.push(key);
        }
        let all = self.connections.iter();
        let count = all.filter(|(_, key)| self.connections[*key].role == Role::Shadow).count();
        ensure(count == shadows.len(), "all shadows are listed")?;
        let is_led = shadows.is_empty() || self.streams[STANDALONE].attached.is_some();
        ensure(is_led, "shadows of a connection")
    }

    fn restore_phase(&mut self, phase: PhaseState) -> Result<(), RestoreError> {
        let awaits: Vec<ConnectionKey> = self
            .connections
            .iter()
            .map(|(_, key)| key)
            .filter(|key| self.connections[*key].subject == Subject::Initialize)
            .collect();
        ensure(awaits.len() <= 1, "one connection for initialize")?;
        let has_role = |role| awaits.iter().all(|key| self.connections[*key].role == role);
        self.phase = match phase {
            PhaseState::New => {
                ensure(self.connections.len() == 0, "no connection before initialize")?;
                Phase::New
            }
            PhaseState::Initializing { id, connection } => {
                let connection = self.connections.find(connection);
                let connection = connection.ok_or(RestoreError("a connection for initialize"))?;
                ensure(awaits.contains(&connection), "that connection is for initialize")?;
                ensure(has_role(Role::Attached), "an answer that is awaited")?;
                Phase::Initializing { id, connection }
            }
            PhaseState::Live => {
                ensure(has_role(Role::Draining), "an answer that came")?;
                Phase::Live
            }
            PhaseState::Closed(reason) => Phase::Closed(reason),
        };
        Ok(())
    }

    fn restore_server_request(&mut self, state: ServerRequestState) -> Result<(), RestoreError> {
        let ServerRequestState { id, stream, index } = state;
        ensure(self.server_requests.find(&id).is_none(), "one request of the backend an id")?;
        ensure(
            self.server_requests.at_event(stream, index).is_none(),
            "one request of the backend a place",
        )?;
        self.server_requests.add(ServerRequest {
            id,
            stream,
            index,
            timer: None,
            was_delivered: false,
        });
        Ok(())
    }

    fn restore_timers(
        &mut self,
        timers: Vec<TimerState>,
        tombstones: Vec<TombstoneState>,
    ) -> Result<(), RestoreError> {
        // The new session has begun to wait for `initialize`; this one may have left off.
        self.timers.clear(TimerKind::Initialize);
        let is_in_order =
            tombstones.is_sorted_by_key(|state| self.now.deadline_after(state.remaining.into()));
        ensure(is_in_order, "tombstones in the order in which they go")?;
        for state in tombstones {
            self.restore_tombstone(state)?;
        }
        for TimerState { target: what, remaining: left } in timers {
            self.restore_timer(what, left)?;
        }
        let awaits_initialize = matches!(self.phase, Phase::New | Phase::Initializing { .. });
        let is_limited = self.timers.weight(TimerKind::Initialize) == 1;
        ensure(awaits_initialize == is_limited, "a deadline for initialize")
    }

    fn restore_tombstone(&mut self, state: TombstoneState) -> Result<(), RestoreError> {
        let TombstoneState {
            number,
            was_cancelled: cancelled,
            last,
            missed_through: missed,
            responses: answers,
            remaining: left,
        } = state;
        ensure(number < self.streams.next, "stream numbers that were given out")?;
        ensure(self.streams.lookup(number).is_none(), "tombstones in place of streams")?;
        ensure(missed <= last, "tombstones that end")?;
        let indexes = answers.iter().map(|(index, _)| *index);
        let is_sorted = indexes.clone().is_sorted_by(|one, other| one < other);
        ensure(is_sorted, "answers in order")?;
        let mut indexes = indexes;
        ensure(indexes.all(|index| (1..=last).contains(&index)), "answers of their stream")?;
        let answers = SmallVec::from_vec(answers);
        let deadline = self.now.deadline_after(left.into());
        self.streams.add_tombstone(Tombstone {
            number,
            was_cancelled: cancelled,
            last,
            missed_through: missed,
            responses: answers,
            deadline,
        });
        Ok(())
    }

    fn restore_timer(
        &mut self,
        what: TimerTarget,
        left: Option<Duration>,
    ) -> Result<(), RestoreError> {
        let deadline = self.now.deadline_after(left.into());
        match what {
            TimerTarget::Initialize => {
                self.timers.insert(TimerKind::Initialize, 0, deadline);
                Ok(())
            }
            TimerTarget::Cancelled(id) => {
                ensure(self.requests.pending.get(&id).is_none(), "reserved ids are not pending")?;
                let timers = &mut self.timers;
                let cancelled = &mut self.requests.cancelled;
                let is_new =
                    cancelled.add(id, |key| timers.insert(TimerKind::Cancelled, key, deadline));
                ensure(is_new, "ids are reserved once")
            }
            TimerTarget::Delivery(id) => {
                self.restore_server_request_timer(&id, TimerKind::Delivery, deadline)
            }
            TimerTarget::Response(id) => {
                self.restore_server_request_timer(&id, TimerKind::Response, deadline)
            }
            TimerTarget::FrontAcknowledged(id) => {
                let key = self.streams.find(id).ok_or(RestoreError("streams have events"))?;
                let timer = self.timers.insert(TimerKind::FrontAcknowledged, key.0, Instant::MAX);
                let earlier = self.streams[key].front_acknowledged.replace(timer);
                ensure(earlier.is_none(), "streams have taken events once")
            }
            TimerTarget::NonEmpty(id) => {
                let key = self.streams.find(id).ok_or(RestoreError("streams have events"))?;
                let timer = self.timers.insert(TimerKind::NonEmpty, key.0, Instant::MAX);
                let earlier = self.streams[key].non_empty.replace(timer);
                ensure(earlier.is_none(), "streams have events once")
            }
            TimerTarget::Reservation(number) => {
                self.restore_stage_timer(number, TimerKind::Reservation, deadline)
            }
            TimerTarget::Orphan(number) => {
                self.restore_stage_timer(number, TimerKind::Orphan, deadline)
            }
            TimerTarget::RetainedUnacknowledged(number) => {
                self.restore_stage_timer(number, TimerKind::RetainedUnacknowledged, deadline)
            }
            TimerTarget::RetainedAcknowledged(number) => {
                self.restore_stage_timer(number, TimerKind::RetainedAcknowledged, deadline)
            }
        }
    }

    /// Gives a request of the backend the deadline of what it waits for.
    fn restore_server_request_timer(
        &mut self,
        id: &RequestId,
        kind: TimerKind,
        deadline: Instant,
    ) -> Result<(), RestoreError> {
        let wrong = RestoreError("requests of the backend that wait");
        let key = self.server_requests.find(id).ok_or(wrong)?;
        let request = self.server_requests.get_mut(key).ok_or(wrong)?;
        request.was_delivered = kind == TimerKind::Response;
        let earlier = request.timer.replace(self.timers.insert(kind, key.0, deadline));
        ensure(earlier.is_none(), "requests of the backend wait once")
    }

    fn restore_task(&mut self, token: ProgressToken) -> Result<(), RestoreError> {
        let is_free = !self.requests.tokens.contains_key(&token);
        ensure(is_free && !self.requests.tasks.contains(&token), "one task a progress token")?;
        self.requests.tasks.add(token, usize::MAX);
        Ok(())
    }

    /// Gives a stream the deadline of its stage.
    fn restore_stage_timer(
        &mut self,
        number: u64,
        kind: TimerKind,
        deadline: Instant,
    ) -> Result<(), RestoreError> {
        let wrong = RestoreError("deadlines that fit their streams");
        let key = self.streams.find(StreamId::Request(number)).ok_or(wrong)?;
        let weight = self.streams[key].weight();
        let place = match (&mut self.streams[key].stage, kind) {
            (Stage::Reserved { timer }, TimerKind::Reservation) => timer,
            (Stage::Open { orphan_timer }, TimerKind::Orphan) => {
                orphan_timer.get_or_insert(TimerKey::NONE)
            }
            (
                Stage::Retained { timer: kind },
                TimerKind::RetainedUnacknowledged | TimerKind::RetainedAcknowledged,
            ) => kind,
            (
                Stage::Reserved { .. }
                | Stage::Open { .. }
                | Stage::Complete { .. }
                | Stage::Retained { .. },
                _,
            ) => return Err(wrong),
        };
        ensure(*place == TimerKey::NONE, "streams have one deadline")?;
        *place = self.timers.insert_weighted(kind, key.0, deadline, weight);
        Ok(())
    }

    /// Checks each stream against what was found about it.
    fn check_streams_restored(&self) -> Result<(), RestoreError> {
        let standalone = &self.streams[STANDALONE];
        let is_marked = standalone.non_empty.is_some() != standalone.log.is_empty();
        ensure(is_marked, "the standalone stream is known for its events")?;
        let is_marked =
            standalone.front_acknowledged.is_some() == standalone.is_front_acknowledged();
        ensure(is_marked, "the standalone stream is known for its taken events")?;
        for key in self.streams.request_streams() {
            let stream = &self.streams[key];
            let is_attached = stream.attached.is_some();
            let has_pending = stream.pending > 0;
            ensure(stream.non_empty.is_some() != stream.log.is_empty(), "streams with events")?;
            ensure(
                stream.front_acknowledged.is_some() == stream.is_front_acknowledged(),
                "streams with taken events",
            )?;
            let is_fitting = match stream.stage {
                Stage::Reserved { timer } => {
                    is_attached && !has_pending && timer != TimerKey::NONE && stream.log.last() == 0
                }
                Stage::Open { orphan_timer } => {
                    has_pending && is_attached == orphan_timer.is_none()
                }
                Stage::Complete { .. } => is_attached && !has_pending,
                Stage::Retained { timer: kind } => {
                    !is_attached && !has_pending && kind != TimerKey::NONE
                }
            };
            ensure(is_fitting, "streams that fit their stage")?;
        }
        Ok(())
    }

    /// Treats every connection as closed.
    fn close_all_connections(&mut self, out: &mut Actions<M>) {
        let connections: Vec<ConnectionId> = self.connections().collect();
        for connection in connections {
            if self.close_reason().is_some() {
                return;
            }
            self.on_connection_closed(connection, None, out);
            self.reset_idle_timer();
            self.flush_deferred(out);
        }
    }
}

fn restored_stream<M>(id: StreamId, saved: StreamState, log: Log<M>, now: Instant) -> Stream<M> {
    let StreamState {
        stage,
        requests,
        acknowledged,
        holds_sender: holds,
        silence,
        is_primed,
        away,
    } = saved;
    let stage = match stage {
        StageState::Reserved => Stage::Reserved { timer: TimerKey::NONE },
        StageState::Open => Stage::Open { orphan_timer: None },
        StageState::Complete { revived } => Stage::Complete { revived },
        StageState::Retained => Stage::Retained { timer: TimerKey::NONE },
    };
    let requests = SmallVec::from_vec(requests);
    let retry_at = now.deadline_after(away.into());
    let earlier_silence = silence;
    let stream = Stream::new(id, stage, log);
    Stream {
        requests,
        acknowledged,
        holds_sender: holds,
        earlier_silence,
        is_primed,
        retry_at,
        ..stream
    }
}

fn ensure(holds: bool, what: &'static str) -> Result<(), RestoreError> {
    if holds { Ok(()) } else { Err(RestoreError(what)) }
}
