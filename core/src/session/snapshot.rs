//! Capture of a session in a snapshot.

use alloc::vec::Vec;
use core::time::Duration;

use super::{
    Phase, Session,
    connection::{ConnectionKey, Role, Source},
    stream::{STANDALONE, Stage, StreamKey},
};
use crate::{
    ConnectionId, Instant,
    snapshot::{
        ConnectionState, Format, HeldStreamState, PhaseState, RoleState, ServerRequestState,
        Snapshot, SourceState, StageState, State, StreamState, TimerState, TimerTarget,
        TombstoneState,
    },
    timers::TimerKind,
};

/// The kinds of timers that are stored: all but those of connections, which a restored session
/// does not have.
const STORED_KINDS: [TimerKind; 7] = [
    TimerKind::Initialize,
    TimerKind::Delivery,
    TimerKind::Response,
    TimerKind::Orphan,
    TimerKind::Cancelled,
    TimerKind::RetainedUnacknowledged,
    TimerKind::RetainedAcknowledged,
];

impl<C, S: Clone> Session<C, S> {
    /// Takes a snapshot. Remaining times are relative to the last input, so send an
    /// [`Input::Tick`](crate::Input::Tick) first.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot<S> {
        let streams: Vec<StreamKey> = match self.phase {
            Phase::Closed(_) => Vec::new(),
            Phase::New | Phase::Initializing { .. } | Phase::Live => {
                core::iter::once(STANDALONE).chain(self.streams.request_streams()).collect()
            }
        };
        let logs = streams.iter().map(|key| &self.streams[*key]);
        Snapshot {
            logs: logs.map(|stream| (stream.id, stream.log.clone())).collect(),
            state: State {
                format: Format,
                phase: self.phase_state(),
                initialized: self.initialized,
                was_used: self.was_used,
                retry_in: remaining(self.retry_at, self.now),
                idle_in: remaining(self.idle_at, self.now),
                bytes_max: Some(self.limit.bytes_max)
                    .filter(|bytes_max| *bytes_max < self.config.session_bytes_max),
                is_shrinking: self.limit.is_shrinking,
                drain_retry: self.drain_retry,
                sequence: self.sequence,
                next_stream: self.streams.next_number(),
                streams: streams.iter().map(|key| self.stream_state(*key)).collect(),
                tombstones: self.tombstone_states(),
                connections: self
                    .connections
                    .iter()
                    .map(|(id, key)| self.connection_state(id, key))
                    .collect(),
                shadows: self
                    .connections
                    .shadows()
                    .iter()
                    .map(|shadow| self.connections[*shadow].id)
                    .collect(),
                server_requests: self
                    .server_requests
                    .iter()
                    .map(|request| ServerRequestState {
                        id: request.id.clone(),
                        stream: request.stream,
                        index: request.index,
                    })
                    .collect(),
                held_streams: self
                    .held_streams
                    .iter()
                    .map(|held| HeldStreamState { stream: held.stream, waits_for: held.waits_for })
                    .collect(),
                tasks: self.requests.tasks.iter().cloned().collect(),
                timers: STORED_KINDS.into_iter().flat_map(|kind| self.timer_states(kind)).collect(),
            },
        }
    }

    fn phase_state(&self) -> PhaseState {
        match &self.phase {
            Phase::New => PhaseState::New,
            Phase::Initializing { id, connection } => PhaseState::Initializing {
                id: id.clone(),
                connection: self.connections[*connection].id,
            },
            Phase::Live => PhaseState::Live,
            Phase::Closed(reason) => PhaseState::Closed(*reason),
        }
    }

    fn stream_state(&self, key: StreamKey) -> StreamState {
        let stream = &self.streams[key];
        StreamState {
            stage: match stream.stage() {
                Stage::Standalone => StageState::Standalone,
                Stage::Open { .. } => StageState::Open,
                Stage::Complete { revived } => StageState::Complete { revived },
                Stage::Retained { .. } => StageState::Complete { revived: false },
            },
            requests: stream.requests().to_vec(),
            acknowledged: stream.acknowledged,
            silence: self.silence(key),
            is_primed: stream.is_primed,
            can_resume: self.can_come_back(key),
            retry_in: remaining(stream.retry_at, self.now),
        }
    }

    /// Returns the total silence of a stream's readers, up to and including the current one.
    fn silence(&self, key: StreamKey) -> Duration {
        let stream = &self.streams[key];
        let attached =
            stream.attached().map(|attached| self.connections[attached].silence(self.now));
        Duration::from_nanos(stream.earlier_silence.saturating_add(attached.unwrap_or_default()))
    }

    fn tombstone_states(&self) -> Vec<TombstoneState> {
        let tombstones = self.streams.tombstones();
        tombstones
            .map(|tombstone| TombstoneState {
                number: tombstone.number,
                was_cancelled: tombstone.was_cancelled(),
                last: tombstone.last,
                missed_through: tombstone.missed_through,
                responses: tombstone.responses().map(|(index, id)| (index, id.clone())).collect(),
                remaining: remaining(tombstone.deadline, self.now),
            })
            .collect()
    }

    fn connection_state(&self, id: ConnectionId, key: ConnectionKey) -> ConnectionState {
        let connection = &self.connections[key];
        ConnectionState {
            id,
            role: match connection.role() {
                Role::Initialize => RoleState::Initialize,
                Role::Attached(stream) => RoleState::Attached(self.streams[stream].id),
                Role::Shadow => RoleState::Shadow,
                Role::Draining(source) => RoleState::Draining(match source {
                    Source::Initialize => SourceState::Initialize,
                    Source::Stream(stream) if self.streams[stream].draining() == Some(key) => {
                        SourceState::Stream(self.streams[stream].id)
                    }
                    // Nothing of its log is in flight there: a former shadow, for example.
                    Source::Stream(stream) => SourceState::Removed(self.streams[stream].id),
                    Source::Removed(id) => SourceState::Removed(id),
                }),
            },
            cursor: connection.cursor,
            unlogged: connection.unlogged.clone(),
            awaits_json: connection.awaits_json,
            has_acknowledged: connection.has_acknowledged,
            is_stalled: connection.is_stalled,
        }
    }

    fn timer_states(&self, kind: TimerKind) -> impl Iterator<Item = TimerState> {
        self.timers.iter(kind).filter_map(move |(key, deadline)| {
            let stream = || self.streams[StreamKey(key)].id;
            let target = match kind {
                TimerKind::Initialize => TimerTarget::Initialize,
                TimerKind::Delivery => TimerTarget::Delivery(self.server_requests.id(key)?.clone()),
                TimerKind::Response => TimerTarget::Response(self.server_requests.id(key)?.clone()),
                TimerKind::Orphan => TimerTarget::Orphan(stream().number()?),
                TimerKind::Cancelled => {
                    TimerTarget::Cancelled(self.requests.cancelled.id(key)?.clone())
                }
                TimerKind::RetainedUnacknowledged => {
                    TimerTarget::RetainedUnacknowledged(stream().number()?)
                }
                TimerKind::RetainedAcknowledged => {
                    TimerTarget::RetainedAcknowledged(stream().number()?)
                }
                TimerKind::Hold
                | TimerKind::Shrink
                | TimerKind::StallLongest
                | TimerKind::Stall
                | TimerKind::StallShortest
                | TimerKind::StallDisconnect => return None,
            };
            Some(TimerState {
                target,
                remaining: deadline.map(|deadline| deadline.since(self.now)),
            })
        })
    }
}

/// Returns the time from `now` until `deadline`; `None` is never.
fn remaining(deadline: Instant, now: Instant) -> Option<Duration> {
    deadline.finite().map(|deadline| deadline.since(now))
}
