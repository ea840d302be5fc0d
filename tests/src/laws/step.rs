//! Steps: what one input looks like from outside of a session.

use std::fmt;

use rejoin_core::{
    Action, Backpressure, CloseReason, ConnectionId, Cursor, Event, Input, Instant, Rejection,
    RequestId, StreamId,
};

/// One input, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// When the input came.
    pub now: Instant,
    /// The input.
    pub input: Input<u64>,
    /// How the session answered.
    pub result: Result<Backpressure, Rejection>,
    /// What it wants done.
    pub actions: Vec<Action<u64>>,
    /// What the replays among the actions refer to, in order.
    pub replays: Vec<Vec<(u64, Event<u64>)>>,
    /// What the session says of itself afterwards.
    pub after: View,
}

/// A step as it stands in the report of a failure, on lines of its own.
impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:?} {:?}", self.now, self.input)?;
        writeln!(f, "    {:?}; then due {:?}", self.result, self.after.deadline)?;
        let mut replays = self.replays.iter();
        for action in &self.actions {
            writeln!(f, "    -> {action:?}")?;
            if matches!(action, Action::Replay { .. }) {
                writeln!(f, "       {:?}", replays.next())?;
            }
        }
        Ok(())
    }
}

/// What a session says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// Its deadline.
    pub deadline: Option<Instant>,
    /// Why it is closed, if it is.
    pub closed: Option<CloseReason>,
    /// How many requests of the client are pending.
    pub pending: usize,
    /// What its logs cost.
    pub bytes: usize,
    /// Its connections, by id.
    pub connections: Vec<ConnectionView>,
    /// The logs of the streams that are watched, by stream.
    pub logs: Vec<LogView>,
    /// The requests of the client that are pending, and on which stream.
    pub requests: Vec<(RequestId, StreamId)>,
}

/// What a session says of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionView {
    /// Which one.
    pub connection: ConnectionId,
    /// The stream that it carries.
    pub stream: Option<StreamId>,
    /// Its cursor.
    pub cursor: Option<Cursor>,
    /// The index of the first logged event at or after the cursor, where it
    /// carries a stream.
    pub next_logged: Option<u64>,
    /// What that costs.
    pub next_cost: usize,
}

/// What a session says of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogView {
    /// Of which stream.
    pub stream: StreamId,
    /// Its last index.
    pub last: u64,
    /// Its missed index.
    pub missed: u64,
    /// How many events it has, failures not counted.
    pub events: usize,
    /// What they cost.
    pub bytes: usize,
    /// The event at the last index, where it is there.
    pub newest: Option<Event<u64>>,
}

impl Step {
    /// Returns whether the input says that a connection took more.
    pub(super) fn acknowledges(&self, connection: ConnectionId) -> bool {
        matches!(&self.input, Input::Acknowledged { connection: taken, .. } if *taken == connection)
    }
}

impl View {
    /// Returns what the session says of a connection.
    #[must_use]
    pub fn connection(&self, connection: ConnectionId) -> Option<&ConnectionView> {
        self.connections.iter().find(|seat| seat.connection == connection)
    }

    /// Returns the stream that a connection carries.
    #[must_use]
    pub fn stream_on(&self, connection: ConnectionId) -> Option<StreamId> {
        self.connection(connection)?.stream
    }

    /// Returns what the session says of the log of a stream.
    #[must_use]
    pub fn log(&self, stream: StreamId) -> Option<&LogView> {
        self.logs.iter().find(|log| log.stream == stream)
    }

    /// Returns the stream of a pending request.
    #[must_use]
    pub fn stream_of(&self, request: &RequestId) -> Option<StreamId> {
        let (_, stream) = self.requests.iter().find(|(id, _)| id == request)?;
        Some(*stream)
    }
}
