//! Restoration of a session from an untrusted snapshot.

use alloc::{boxed::Box, collections::BTreeSet, vec::Vec};
use core::time::Duration;

use super::{
    Phase, Session,
    backpressure::HeldStream,
    commit::Commits,
    connection::{Connection, ConnectionKey, Role, Source},
    limit::Limit,
    requests::ServerRequest,
    stall_estimator::StallEstimator,
    stream::{Outcome, STANDALONE, Stage, Stream, StreamKey},
    tombstones::{Responses, Tombstone},
};
use crate::{
    Actions, ConnectionId, Instant, Log, ProgressToken, RequestId, StreamId, ValidConfig,
    config::BYTES_MAX,
    snapshot::{
        ConnectionState, HeldStreamState, PhaseState, RestoreError, RoleState, ServerRequestState,
        Snapshot, SourceState, StageState, StreamState, TimerState, TimerTarget, TombstoneState,
    },
    time::saturating_nanos,
    timers::TimerKind,
};

impl<C, S: Clone> Session<C, S> {
    /// Restores a session from a snapshot at `now`.
    ///
    /// Timers continue with the time that remained when the snapshot was taken. All connections
    /// are closed, in the order of their ids, with no further acknowledgement; the resulting
    /// actions are appended to `out`. If the session exceeds a limit of `config`, it keeps what
    /// it has, and accepts no more. With `commits`, all that the snapshot has counts as committed.
    ///
    /// # Errors
    ///
    /// Returns a [`RestoreError`] if the snapshot is inconsistent. Its storage is at fault. The
    /// checks ensure that no later input can panic or leak memory.
    pub fn restore(
        snapshot: Snapshot<S>,
        config: ValidConfig,
        now: Instant,
        out: &mut Actions<C, S>,
    ) -> Result<Self, RestoreError> {
        let mut session = Self::restore_state(snapshot, config, now)?;
        session.close_all_connections(out);
        Ok(session)
    }

    /// Restores a session with the connections that it had.
    pub(super) fn restore_state(
        snapshot: Snapshot<S>,
        config: ValidConfig,
        now: Instant,
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
        session.idle_at = now.deadline_after(state.idle_in.into());
        session.timers.lower_bound_to(session.idle_at);
        let bytes_max = session.config.session_bytes_max;
        let bytes_max = state.bytes_max.map_or(bytes_max, |limit| limit.min(bytes_max));
        session.limit = Limit::new(bytes_max, state.is_shrinking);
        session.drain_retry = state.drain_retry;
        session.sequence = state.sequence;
        session.commits = session.commits.map(|_| Box::new(Commits::committed(state.sequence)));
        session.streams.set_next_number(state.next_stream);
        session.restore_streams(state.streams, logs)?;
        for connection in state.connections {
            session.restore_connection(connection)?;
        }
        session.restore_shadows(&state.shadows)?;
        session.restore_phase(state.phase)?;
        let may_drain = matches!(session.phase, Phase::Live) || session.drain_retry.is_none();
        ensure(may_drain, "session drains before it is initialized")?;
        for request in state.server_requests {
            session.restore_server_request(request)?;
        }
        for held in state.held_streams {
            session.restore_held_stream(held)?;
        }
        for token in state.tasks {
            session.restore_task(token)?;
        }
        session.restore_timers(state.timers, state.tombstones)?;
        session.check_restored_streams()?;
        Ok(session)
    }

    fn restore_streams(
        &mut self,
        states: Vec<StreamState>,
        logs: Vec<(StreamId, Log<S>)>,
    ) -> Result<(), RestoreError> {
        ensure(states.len() == logs.len(), "streams and logs differ in number")?;
        let has_standalone = logs.first().is_some_and(|(id, _)| *id == StreamId::Standalone);
        ensure(has_standalone, "first stream is not the standalone stream")?;
        for (state, (id, log)) in states.into_iter().zip(logs) {
            let bytes = self.logged_bytes.checked_add(log.bytes());
            self.logged_bytes = bytes
                .filter(|bytes| *bytes <= BYTES_MAX)
                .ok_or(RestoreError("logs are too large"))?;
            match id {
                StreamId::Standalone => {
                    let is_first = self.streams[STANDALONE].log.last() == 0;
                    ensure(is_first && self.streams.in_use() == 0, "duplicate standalone stream")?;
                    ensure(state.stage == StageState::Standalone, "standalone stream has a stage")?;
                    ensure(state.requests.is_empty(), "standalone stream has requests")?;
                    self.streams[STANDALONE] = restored_stream(id, state, log, self.now);
                }
                StreamId::Request(number) => {
                    ensure(
                        number < self.streams.next_number(),
                        "stream number was never allocated",
                    )?;
                    ensure(self.streams.lookup(number).is_none(), "duplicate stream number")?;
                    let is_request = state.stage != StageState::Standalone;
                    ensure(is_request, "request stream has no stage")?;
                    let key = self.streams.add(number, restored_stream(id, state, log, self.now));
                    self.restore_requests(key)?;
                }
            }
        }
        Ok(())
    }

    fn restore_requests(&mut self, key: StreamKey) -> Result<(), RestoreError> {
        let last = self.streams[key].log.last();
        for request in self.streams[key].requests().to_vec() {
            match request.outcome {
                Outcome::Pending => {
                    let is_new = self.requests.pending.insert(request.id, key);
                    ensure(is_new, "duplicate pending request id")?;
                    if let Some(token) = request.token {
                        let is_new = self.requests.tokens.insert(token, key);
                        ensure(is_new, "duplicate progress token")?;
                    }
                }
                Outcome::Answered { index } => {
                    ensure((1..=last).contains(&index), "response index is out of range")?;
                }
                Outcome::Cancelled => {}
            }
        }
        Ok(())
    }

    fn restore_connection(&mut self, state: ConnectionState) -> Result<(), RestoreError> {
        let ConnectionState {
            id,
            role,
            cursor,
            unlogged,
            awaits_json,
            has_acknowledged,
            is_stalled,
        } = state;
        ensure(self.connections.find(id).is_none(), "duplicate connection id")?;
        let find =
            |id| self.streams.find(id).ok_or(RestoreError("connection of an unknown stream"));
        let role = match role {
            RoleState::Initialize => Role::Initialize,
            RoleState::Attached(id) => Role::Attached(find(id)?),
            RoleState::Shadow => Role::Shadow,
            RoleState::Draining(source) => Role::Draining(match source {
                SourceState::Initialize => Source::Initialize,
                SourceState::Stream(id) => Source::Stream(find(id)?),
                SourceState::Removed(id) => Source::Removed(id),
            }),
        };
        let estimator = StallEstimator::new(self.config.timeouts().stall);
        let mut connection = Connection::new(id, role, cursor, estimator);
        connection.awaits_json = awaits_json;
        connection.has_acknowledged = has_acknowledged;
        connection.is_stalled = is_stalled;
        connection.silent_since = self.now;
        let key = self.connections.add(connection);
        for event in unlogged {
            self.add_unlogged(key, event);
        }
        let other = match role {
            Role::Attached(stream) => self.streams[stream].attach(key),
            Role::Draining(Source::Stream(stream)) => self.streams[stream].drain(key),
            Role::Initialize
            | Role::Shadow
            | Role::Draining(Source::Initialize | Source::Removed(_)) => None,
        };
        ensure(other.is_none(), "several connections in the same role")
    }

    fn restore_shadows(&mut self, shadows: &[ConnectionId]) -> Result<(), RestoreError> {
        for id in shadows {
            let key = self
                .connections
                .find(*id)
                .ok_or(RestoreError("shadow is an unknown connection"))?;
            let is_new = !self.connections.shadows().contains(&key);
            let is_shadow = self.connections[key].role() == Role::Shadow;
            ensure(is_new && is_shadow, "shadow is listed twice, or has another role")?;
            self.connections.add_shadow(key);
        }
        let all = self.connections.iter();
        let count = all.filter(|(_, key)| self.connections[*key].role() == Role::Shadow).count();
        ensure(count == shadows.len(), "shadow is not listed")?;
        let is_consistent = shadows.is_empty() || self.streams[STANDALONE].attached().is_some();
        ensure(is_consistent, "shadows without an attached connection")
    }

    fn restore_phase(&mut self, phase: PhaseState) -> Result<(), RestoreError> {
        let with_role = |role| -> Vec<ConnectionKey> {
            let all = self.connections.iter().map(|(_, key)| key);
            all.filter(|key| self.connections[*key].role() == role).collect()
        };
        let waiting = with_role(Role::Initialize);
        let draining = with_role(Role::Draining(Source::Initialize)).len();
        ensure(waiting.len() + draining <= 1, "several connections for `initialize`")?;
        self.phase = match phase {
            PhaseState::New => {
                ensure(self.connections.len() == 0, "connection before `initialize`")?;
                Phase::New
            }
            PhaseState::Initializing { id, connection } => {
                let connection = self.connections.find(connection);
                let connection =
                    connection.ok_or(RestoreError("no connection for `initialize`"))?;
                ensure(waiting == [connection], "connection is not for `initialize`")?;
                Phase::Initializing { id, connection }
            }
            PhaseState::Live => {
                ensure(waiting.is_empty(), "connection for `initialize` is not draining")?;
                Phase::Live
            }
            PhaseState::Closed(reason) => Phase::Closed(reason),
        };
        Ok(())
    }

    fn restore_server_request(&mut self, state: ServerRequestState) -> Result<(), RestoreError> {
        let ServerRequestState { id, stream, index } = state;
        ensure(self.server_requests.find(&id).is_none(), "duplicate server request id")?;
        ensure(
            self.server_requests.at_event(stream, index).is_none(),
            "duplicate server request event",
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

    fn restore_held_stream(&mut self, state: HeldStreamState) -> Result<(), RestoreError> {
        let HeldStreamState { stream, waits_for } = state;
        ensure(self.streams.find(stream).is_some(), "an unknown stream holds senders")?;
        let is_new = self.held_streams.iter().all(|held| held.stream != stream);
        ensure(is_new, "a stream that holds senders is listed twice")?;
        self.held_streams.push(HeldStream::new(stream, waits_for));
        Ok(())
    }

    fn restore_timers(
        &mut self,
        timers: Vec<TimerState>,
        tombstones: Vec<TombstoneState>,
    ) -> Result<(), RestoreError> {
        // A new session has a timer for `initialize`; the restored one may be past it.
        self.timers.clear(TimerKind::Initialize);
        let is_in_order =
            tombstones.is_sorted_by_key(|state| self.now.deadline_after(state.remaining.into()));
        ensure(is_in_order, "tombstones are not ordered by deadline")?;
        let mut numbers = BTreeSet::new();
        for state in tombstones {
            let is_new = numbers.insert(state.number)
                && self.streams.find(StreamId::Request(state.number)).is_none();
            ensure(is_new, "tombstone of an existing stream")?;
            self.restore_tombstone(state)?;
        }
        for TimerState { target, remaining } in timers {
            self.restore_timer(target, remaining)?;
        }
        let awaits_initialize = matches!(self.phase, Phase::New | Phase::Initializing { .. });
        let has_timer = self.timers.weight(TimerKind::Initialize) == 1;
        ensure(awaits_initialize == has_timer, "timer for `initialize` does not fit the phase")
    }

    fn restore_tombstone(&mut self, state: TombstoneState) -> Result<(), RestoreError> {
        let TombstoneState { number, was_cancelled, last, missed_through, responses, remaining } =
            state;
        ensure(number < self.streams.next_number(), "stream number was never allocated")?;
        ensure(missed_through <= last, "tombstone has a missed event after its last event")?;
        let indexes = responses.iter().map(|(index, _)| *index);
        let is_sorted = indexes.clone().is_sorted_by(|one, other| one < other);
        ensure(is_sorted, "tombstone responses are out of order")?;
        let mut indexes = indexes;
        ensure(
            indexes.all(|index| (1..=last).contains(&index)),
            "tombstone response index is out of range",
        )?;
        ensure(!was_cancelled || responses.is_empty(), "cancelled tombstone has responses")?;
        let responses =
            if was_cancelled { Responses::Cancelled } else { Responses::new(responses, last) };
        let deadline = self.now.deadline_after(remaining.into());
        self.timers.lower_bound_to(deadline);
        self.streams.add_tombstone(Tombstone { number, last, missed_through, responses, deadline });
        Ok(())
    }

    fn restore_timer(
        &mut self,
        target: TimerTarget,
        remaining: Option<Duration>,
    ) -> Result<(), RestoreError> {
        let deadline = self.now.deadline_after(remaining.into());
        match target {
            TimerTarget::Initialize => {
                self.timers.insert(TimerKind::Initialize, 0, deadline);
                Ok(())
            }
            TimerTarget::Cancelled(id) => {
                ensure(!self.requests.pending.contains(&id), "cancelled request id is pending")?;
                let timers = &mut self.timers;
                let cancelled = &mut self.requests.cancelled;
                let is_new =
                    cancelled.add(id, |key| timers.insert(TimerKind::Cancelled, key, deadline));
                ensure(is_new, "duplicate cancelled request id")
            }
            TimerTarget::Delivery(id) => {
                self.restore_server_request_timer(&id, TimerKind::Delivery, deadline)
            }
            TimerTarget::Response(id) => {
                self.restore_server_request_timer(&id, TimerKind::Response, deadline)
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

    /// Restores the delivery timer or the response timer of a server request.
    fn restore_server_request_timer(
        &mut self,
        id: &RequestId,
        kind: TimerKind,
        deadline: Instant,
    ) -> Result<(), RestoreError> {
        let error = RestoreError("timer of an unknown server request");
        let key = self.server_requests.find(id).ok_or(error)?;
        let request = self.server_requests.get_mut(key).ok_or(error)?;
        request.was_delivered = kind == TimerKind::Response;
        let previous = request.timer.replace(self.timers.insert(kind, key.0, deadline));
        ensure(previous.is_none(), "duplicate server request timer")
    }

    fn restore_task(&mut self, token: ProgressToken) -> Result<(), RestoreError> {
        let is_free = !self.requests.tokens.contains(&token);
        ensure(is_free && !self.requests.tasks.contains(&token), "duplicate task progress token")?;
        self.requests.tasks.add(token, usize::MAX);
        Ok(())
    }

    /// Restores the timer of a stream. A complete stream that has one is retained.
    fn restore_stage_timer(
        &mut self,
        number: u64,
        kind: TimerKind,
        deadline: Instant,
    ) -> Result<(), RestoreError> {
        let error = RestoreError("timer does not fit its stream");
        let key = self.streams.find(StreamId::Request(number)).ok_or(error)?;
        let weight = self.streams[key].weight();
        let timer = self.timers.insert_weighted(kind, key.0, deadline, weight);
        if kind == TimerKind::Orphan {
            let slot = self.streams[key].orphan_timer_mut().ok_or(error)?;
            return ensure(slot.replace(timer).is_none(), "duplicate stream timer");
        }
        let is_complete = matches!(self.streams[key].stage(), Stage::Complete { revived: false });
        if !is_complete {
            return Err(error);
        }
        self.streams.retain(key, timer);
        Ok(())
    }

    /// Checks each stream against its timers, requests and connections.
    fn check_restored_streams(&self) -> Result<(), RestoreError> {
        for key in self.streams.request_streams() {
            let stream = &self.streams[key];
            let is_attached = stream.attached().is_some();
            let has_pending = stream.pending_count() > 0;
            let is_consistent = match stream.stage() {
                Stage::Standalone => false,
                Stage::Open { orphan_timer } => {
                    has_pending && is_attached == orphan_timer.is_none()
                }
                Stage::Complete { .. } => is_attached && !has_pending,
                Stage::Retained { .. } => !is_attached && !has_pending,
            };
            ensure(is_consistent, "stream does not fit its stage")?;
        }
        Ok(())
    }

    /// Handles every connection as closed.
    pub(super) fn close_all_connections(&mut self, out: &mut Actions<C, S>) {
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

fn restored_stream<S>(id: StreamId, stored: StreamState, log: Log<S>, now: Instant) -> Stream<S> {
    let StreamState { stage, requests, acknowledged, silence, is_primed, can_resume, retry_in } =
        stored;
    let stage = match stage {
        StageState::Standalone => Stage::Standalone,
        StageState::Open => Stage::Open { orphan_timer: None },
        StageState::Complete { revived } => Stage::Complete { revived },
    };
    let mut stream = Stream::new(id, stage, log);
    for request in requests {
        stream.add_request(request);
    }
    stream.acknowledged = acknowledged;
    stream.earlier_silence = saturating_nanos(silence);
    stream.is_primed = is_primed;
    stream.can_resume = can_resume;
    stream.retry_at = now.deadline_after(retry_in.into());
    stream
}

pub(super) fn ensure(condition: bool, error: &'static str) -> Result<(), RestoreError> {
    if condition { Ok(()) } else { Err(RestoreError(error)) }
}
