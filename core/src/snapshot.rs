//! Serializable snapshot of a session, with which it moves to another process or node.
//!
//! Its types are separate from those of a live session, which change with its implementation:
//! the format has a version, stores the remaining time of each timer, because instants of two
//! processes have nothing in common, and refers to streams and connections by id, because keys
//! are only valid within the tables of one session. A snapshot comes from storage and is
//! untrusted, so a session is captured and restored by hand, and everything that it relies on is
//! checked. Random tests and the fuzzer also restore sessions in the middle of their histories.

use alloc::vec::Vec;
use core::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    ConnectionId, Cursor, Initialized, Log, ProgressToken, RequestId, SessionCloseReason, StreamId,
    session::{StreamRequest, UnloggedEvent},
};

/// A session at a point in time: its logs, and everything else, which has no message bodies.
///
/// Deadlines are stored as remaining durations, so a snapshot can be restored under another
/// clock. [`Session::snapshot`](crate::Session::snapshot) takes one, and
/// [`Session::restore`](crate::Session::restore) restores it, if it has the same format.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot<M> {
    /// Everything but the logs.
    pub state: State,
    /// The logs, by stream, the standalone one first.
    pub logs: Vec<(StreamId, Log<M>)>,
}

/// The state of a session without its logs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    pub(crate) format: Format,
    pub(crate) phase: PhaseState,
    pub(crate) initialized: Option<Initialized>,
    pub(crate) was_used: bool,
    pub(crate) retry_in: Option<Duration>,
    pub(crate) idle_in: Option<Duration>,
    /// Of the last `LimitBytes`, if it is lower than `session_bytes_max`.
    pub(crate) bytes_max: Option<usize>,
    pub(crate) is_shrinking: bool,
    pub(crate) drain_retry: Option<Duration>,
    pub(crate) sequence: u64,
    pub(crate) next_stream: u64,
    /// In the order of the logs.
    pub(crate) streams: Vec<StreamState>,
    /// By deadline.
    pub(crate) tombstones: Vec<TombstoneState>,
    pub(crate) connections: Vec<ConnectionState>,
    /// Oldest first.
    pub(crate) shadows: Vec<ConnectionId>,
    pub(crate) server_requests: Vec<ServerRequestState>,
    /// In the order in which they were first held.
    pub(crate) held_streams: Vec<HeldStreamState>,
    /// Progress tokens of tasks, oldest first.
    pub(crate) tasks: Vec<ProgressToken>,
    /// By kind, then by deadline.
    pub(crate) timers: Vec<TimerState>,
}

/// The version of the format of snapshots and of the records after them, which is incremented with
/// every change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub(crate) struct Format;

/// The version of the format of snapshots and of the records after them, which no other version reads.
pub const SNAPSHOT_FORMAT: u32 = 12;

impl TryFrom<u32> for Format {
    type Error = &'static str;

    fn try_from(number: u32) -> Result<Self, &'static str> {
        if number == SNAPSHOT_FORMAT { Ok(Self) } else { Err("unsupported snapshot format") }
    }
}

impl From<Format> for u32 {
    fn from(Format: Format) -> Self {
        SNAPSHOT_FORMAT
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum PhaseState {
    New,
    Initializing { id: RequestId, connection: ConnectionId },
    Live,
    Closed(SessionCloseReason),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StreamState {
    pub(crate) stage: StageState,
    pub(crate) requests: Vec<StreamRequest>,
    pub(crate) acknowledged: u64,
    pub(crate) silence: Duration,
    pub(crate) is_primed: bool,
    pub(crate) can_resume: bool,
    pub(crate) retry_in: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum StageState {
    Standalone,
    Open,
    /// Complete, and retained if it has a timer.
    Complete {
        revived: bool,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TombstoneState {
    pub(crate) number: u64,
    pub(crate) was_cancelled: bool,
    pub(crate) last: u64,
    pub(crate) missed_through: u64,
    pub(crate) responses: Vec<(u64, RequestId)>,
    /// `None` is never.
    pub(crate) remaining: Option<Duration>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ConnectionState {
    pub(crate) id: ConnectionId,
    pub(crate) role: RoleState,
    pub(crate) cursor: Cursor,
    pub(crate) unlogged: Vec<UnloggedEvent>,
    pub(crate) awaits_json: bool,
    pub(crate) has_acknowledged: bool,
    pub(crate) is_stalled: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum RoleState {
    Initialize,
    Attached(StreamId),
    Shadow,
    Draining(SourceState),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum SourceState {
    Initialize,
    Stream(StreamId),
    Removed(StreamId),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HeldStreamState {
    pub(crate) stream: StreamId,
    /// The cost of the smallest message that waits for room.
    pub(crate) waits_for: Option<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ServerRequestState {
    pub(crate) id: RequestId,
    pub(crate) stream: StreamId,
    pub(crate) index: u64,
}

/// A timer, and the time until it fires; `None` is never.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TimerState {
    pub(crate) target: TimerTarget,
    pub(crate) remaining: Option<Duration>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum TimerTarget {
    Initialize,
    Delivery(RequestId),
    Response(RequestId),
    Orphan(u64),
    Cancelled(RequestId),
    RetainedUnacknowledged(u64),
    RetainedAcknowledged(u64),
}

/// An inconsistent snapshot, which no session can have: it was damaged or forged. Its
/// storage is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("inconsistent snapshot: {0}")]
pub struct RestoreError(pub(crate) &'static str);
