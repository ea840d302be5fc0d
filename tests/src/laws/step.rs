//! One input and its effect, as seen from outside of a session.

use std::fmt;

use rejoin_core::{
    ANSWER_INDEX, Action, Answer, ConnectionId, Cursor, Event, EventId, Input, Instant, Rejection,
    RequestId, SessionCloseReason, StreamId,
};

/// One input and its effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The time of the input.
    pub now: Instant,
    /// The input.
    pub input: Input<u64>,
    /// The result of the call.
    pub result: Result<(), Rejection>,
    /// The actions.
    pub actions: Vec<Action<u64>>,
    /// The state of the session afterwards.
    pub after: View,
}

impl Step {
    /// Returns whether the input had an effect: it was accepted, its sender is held until there
    /// is room, or it closed the session.
    #[must_use]
    pub fn is_applied(&self) -> bool {
        let closes = matches!(self.actions.last(), Some(Action::SessionClosed { .. }));
        match &self.result {
            Ok(()) | Err(Rejection::Full) => true,
            // Any other reason is that of a timer.
            Err(Rejection::Closed(reason)) => {
                closes && *reason == SessionCloseReason::ExpectedInitialize
            }
            Err(
                Rejection::Client(_)
                | Rejection::Backend(_)
                | Rejection::ApiMisuse(_)
                | Rejection::Draining,
            ) => false,
        }
    }
}

/// Formats a step for the report of a failure, on lines of its own.
impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:?} {:?}", self.now, self.input)?;
        writeln!(f, "    {:?}; then due {:?}", self.result, self.after.deadline)?;
        for action in &self.actions {
            writeln!(f, "    -> {action:?}")?;
        }
        Ok(())
    }
}

/// The state of a session, as its getters return it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// The deadline.
    pub deadline: Option<Instant>,
    /// Why the session is closed, if it is.
    pub closed: Option<SessionCloseReason>,
    /// How many requests of the client are pending.
    pub pending: usize,
    /// The cost of all events that are kept, in bytes.
    pub bytes: usize,
    /// The connections, by id.
    pub connections: Vec<ConnectionView>,
    /// The logs of the observed streams, by stream.
    pub logs: Vec<LogView>,
    /// The pending requests of the client, and their streams.
    pub requests: Vec<(RequestId, StreamId)>,
}

/// The state of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionView {
    /// Its id.
    pub connection: ConnectionId,
    /// The stream that it is attached to.
    pub stream: Option<StreamId>,
    /// Its cursor.
    pub cursor: Option<Position>,
    /// The index of the first logged event at or after the cursor, if it is attached.
    pub next_logged: Option<u64>,
    /// The cost of the logged events that it has not acknowledged, in bytes, if it is attached.
    pub awaited_bytes: usize,
}

/// The state of a cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The next index to send.
    pub next: u64,
    /// The first index that was not acknowledged.
    pub first_unacknowledged: u64,
    /// Whether anything was sent and not acknowledged.
    pub has_unacknowledged: bool,
}

/// The state of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogView {
    /// Its stream.
    pub stream: StreamId,
    /// Its last index.
    pub last: u64,
    /// Its missed index.
    pub missed: u64,
    /// How many events it has, failures not counted.
    pub events: usize,
    /// Their cost, in bytes.
    pub bytes: usize,
    /// Index and cost of those of them that are in flight.
    pub in_flight: Vec<(u64, usize)>,
    /// The event at the last index, if it is in the log.
    pub newest: Option<Event<u64>>,
}

/// An event that an action sends: on this connection, with this index and id.
pub(crate) type SentOn = (ConnectionId, u64, Option<EventId>, Event<u64>);

/// Returns the event that an action sends.
pub(crate) fn sent_event(action: &Action<u64>) -> Option<SentOn> {
    match action {
        Action::Send { connection, id, event } => {
            Some((*connection, id.index, Some(*id), event.clone()))
        }
        Action::Respond { connection, answer } => {
            Some((*connection, ANSWER_INDEX, None, event_of(answer)))
        }
        Action::Forward { .. }
        | Action::Close { .. }
        | Action::Cut { .. }
        | Action::Discard { .. }
        | Action::FailServerRequest { .. }
        | Action::CancelRequest { .. }
        | Action::Hold { .. }
        | Action::Release { .. }
        | Action::SessionClosed { .. }
        | Action::Commit(_)
        | Action::Report(_) => None,
    }
}

/// Returns a whole answer as an event.
pub(crate) fn event_of(answer: &Answer<u64>) -> Event<u64> {
    match answer {
        Answer::Message(body) => Event::Message(*body),
        Answer::Failure(failure) => Event::Failure(failure.clone()),
    }
}

impl From<&Cursor> for Position {
    fn from(cursor: &Cursor) -> Self {
        Self {
            next: cursor.next(),
            first_unacknowledged: cursor.first_unacknowledged(),
            has_unacknowledged: cursor.has_unacknowledged(),
        }
    }
}

impl Position {
    /// Returns whether anything was sent and not acknowledged.
    pub(super) fn has_unacknowledged(&self) -> bool {
        self.has_unacknowledged
    }
}

impl Step {
    /// Returns whether the session cuts a connection.
    pub(super) fn cuts(&self, connection: ConnectionId) -> bool {
        let is_cut = |action: &Action<u64>| matches!(action, Action::Cut { connection: cut, .. } if *cut == connection);
        self.actions.iter().any(is_cut)
    }

    /// Returns whether the backend was lost, and the session did not close because of that.
    pub(crate) fn loses_backend(&self) -> bool {
        self.input == Input::BackendLost
            && self.result.is_ok()
            && self.after.closed != Some(SessionCloseReason::BackendGone)
    }

    /// Returns whether the input acknowledges events of a connection.
    pub(super) fn acknowledges(&self, connection: ConnectionId) -> bool {
        matches!(&self.input, Input::Acknowledged { connection: it, .. } if *it == connection)
    }
}

impl View {
    /// Returns the state of a connection.
    #[must_use]
    pub fn connection(&self, connection: ConnectionId) -> Option<&ConnectionView> {
        self.connections.iter().find(|view| view.connection == connection)
    }

    /// Returns the stream that a connection is attached to.
    #[must_use]
    pub fn stream_on(&self, connection: ConnectionId) -> Option<StreamId> {
        self.connection(connection)?.stream
    }

    /// Returns the state of the log of a stream.
    #[must_use]
    pub fn log(&self, stream: StreamId) -> Option<&LogView> {
        self.logs.iter().find(|log| log.stream == stream)
    }

    /// Returns whether a request is pending on another stream than this one.
    #[must_use]
    pub fn has_pending_except(&self, stream: Option<StreamId>) -> bool {
        self.requests.iter().any(|(_, other)| Some(*other) != stream)
    }

    /// Returns the stream of a pending request.
    #[must_use]
    pub fn stream_of(&self, request: &RequestId) -> Option<StreamId> {
        let (_, stream) = self.requests.iter().find(|(id, _)| id == request)?;
        Some(*stream)
    }
}
