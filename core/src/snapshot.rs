//! Snapshots: a session as plain data, to be stored and restored elsewhere.

use alloc::vec::Vec;
use core::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    AnswerFormat, CloseReason, ConnectionId, Cursor, Initialized, Log, ProgressToken, RequestId,
    StreamId,
    session::{Role, Sent, StreamRequest},
};

/// A session at a point in time: its state without the bodies of messages, and
/// the logs, which have them.
///
/// Times are kept as what is left of them, so a snapshot means the same under
/// another clock. [`Session::snapshot`](crate::Session::snapshot) takes one, and
/// [`Session::restore`](crate::Session::restore) makes a session of it, if it is of
/// the same format.
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
    pub(crate) sequence: u64,
    pub(crate) next_stream: u64,
    /// In the order of the logs.
    pub(crate) streams: Vec<StreamState>,
    /// In the order in which they go.
    pub(crate) tombstones: Vec<TombstoneState>,
    pub(crate) connections: Vec<ConnectionState>,
    /// The oldest first.
    pub(crate) shadows: Vec<ConnectionId>,
    pub(crate) server_requests: Vec<ServerRequestState>,
    /// The progress tokens of tasks, the oldest first.
    pub(crate) tasks: Vec<ProgressToken>,
    /// Each queue from its front.
    pub(crate) timers: Vec<TimerState>,
}

/// The way in which snapshots are written: a number that grows with every change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub(crate) struct Format;

const FORMAT: u32 = 5;

impl TryFrom<u32> for Format {
    type Error = &'static str;

    fn try_from(number: u32) -> Result<Self, &'static str> {
        if number == FORMAT { Ok(Self) } else { Err("a snapshot of another format") }
    }
}

impl From<Format> for u32 {
    fn from(Format: Format) -> Self {
        FORMAT
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum PhaseState {
    New,
    Initializing { id: RequestId, connection: ConnectionId },
    Live,
    Closed(CloseReason),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StreamState {
    pub(crate) stage: StageState,
    pub(crate) requests: Vec<StreamRequest>,
    pub(crate) acknowledged: u64,
    pub(crate) holds_sender: bool,
    pub(crate) silence: Duration,
    pub(crate) is_primed: bool,
    pub(crate) away: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum StageState {
    Reserved,
    Open,
    Complete { revived: bool },
    Retained,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TombstoneState {
    pub(crate) number: u64,
    pub(crate) was_cancelled: bool,
    pub(crate) last: u64,
    pub(crate) missed_through: u64,
    pub(crate) responses: Vec<(u64, RequestId)>,
    /// For ever if `None`.
    pub(crate) remaining: Option<Duration>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ConnectionState {
    pub(crate) id: ConnectionId,
    pub(crate) subject: SubjectState,
    pub(crate) role: Role,
    pub(crate) cursor: Cursor,
    pub(crate) in_flight: Vec<Sent>,
    pub(crate) format: AnswerFormat,
    pub(crate) has_acknowledged: bool,
    pub(crate) is_stalled: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum SubjectState {
    Initialize,
    Stream(StreamId),
    Removed(StreamId),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ServerRequestState {
    pub(crate) id: RequestId,
    pub(crate) stream: StreamId,
    pub(crate) index: u64,
}

/// Whatever waits in a queue, and how long it still has; for ever if `None`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TimerState {
    pub(crate) target: TimerTarget,
    pub(crate) remaining: Option<Duration>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum TimerTarget {
    Initialize,
    Reservation(u64),
    Delivery(RequestId),
    Response(RequestId),
    Orphan(u64),
    Cancelled(RequestId),
    RetainedUnacknowledged(u64),
    RetainedAcknowledged(u64),
    FrontAcknowledged(StreamId),
    NonEmpty(StreamId),
}

/// Says that a snapshot is of no session that there could be: it was damaged, or
/// made up. Whoever stored it is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the snapshot is inconsistent: {0}")]
pub struct RestoreError(pub(crate) &'static str);
