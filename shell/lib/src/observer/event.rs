//! The events of a session.

use std::{sync::Arc, time::Duration};

use rejoin_core::{
    CloseReason, ConnectionId, CutReason, ProtocolVersion, Report, RequestId, SessionCloseReason,
    StreamId, cluster::GiveUpReason,
};

use super::{ObservedRequest, RequestEnd};

/// An event of a session. It never contains the body of a message.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum SessionEvent {
    /// The session was initialized.
    Opened(SessionOpened),
    /// The session was closed. After it come only the events of its backend, which may still be
    /// opened, and those of its process.
    Closed {
        /// Why.
        reason: SessionCloseReason,
        /// Whether it was initialized before.
        was_opened: bool,
        /// Time since its creation.
        age: Duration,
        /// Number of progress notifications that were dropped for an unknown token.
        progress_dropped: u32,
    },
    /// The session was restored from the store: its owner has stopped. `Opened` follows with its first
    /// request.
    Restored {
        /// How often the session has had another owner, with this process.
        epoch: u64,
    },
    /// This process has given the session up, because the store does not accept what it writes. `Closed`
    /// follows.
    GivenUp {
        /// Why.
        reason: GiveUpReason,
    },
    /// A request of the client was forwarded to the backend. Only with an observer that
    /// [traces requests](super::Observer::traces_requests), or at log level `trace`.
    RequestBegan {
        /// The request.
        request: Arc<ObservedRequest>,
        /// The stream of its response; `None` for `initialize`.
        stream: Option<StreamId>,
        /// The connection on which it came.
        connection: ConnectionId,
    },
    /// A request has ended. Only with an observer.
    RequestEnded {
        /// The request.
        request: Arc<ObservedRequest>,
        /// How it has ended.
        end: RequestEnd,
        /// Time since it began.
        duration: Duration,
    },
    /// A request got no response within
    /// [`request_timeout`](crate::ManagerConfig::request_timeout).
    RequestTimedOut {
        /// The id of the request.
        request: RequestId,
    },
    /// A client resumed a stream.
    Resumed {
        /// The connection on which it continues.
        connection: ConnectionId,
        /// The stream.
        stream: StreamId,
        /// The index of the last event that the client had received.
        after: u64,
        /// Number of events after it that the session still has.
        replayed: usize,
    },
    /// A client that resumed missed events, and was told so.
    Gap {
        /// The stream.
        stream: StreamId,
        /// The index of the first event that it missed.
        first: u64,
        /// The index of the last one.
        last: u64,
    },
    /// A connection was closed in order. Only with an observer that
    /// [traces requests](super::Observer::traces_requests), or at log level `debug`.
    ConnectionClosed {
        /// The connection.
        connection: ConnectionId,
        /// Why.
        reason: CloseReason,
    },
    /// A connection was cut.
    ConnectionCut {
        /// The connection.
        connection: ConnectionId,
        /// Why.
        reason: CutReason,
    },
    /// A client disconnected before the end of a stream.
    ConnectionLost {
        /// The connection.
        connection: ConnectionId,
        /// The stream.
        stream: StreamId,
        /// The index of the last event that the connection has acknowledged.
        through: Option<u64>,
    },
    /// The session reported something.
    Report(Report),
    /// A process was started for the session.
    ProcessStarted {
        /// Its id.
        process: i32,
        /// How long the start took.
        duration: Duration,
    },
    /// The backend could not be opened: the session is closed.
    OpenFailed {
        /// Why.
        error: Arc<str>,
    },
    /// The process of the session, and all that it has started, have ended.
    ProcessEnded {
        /// Its id.
        process: i32,
        /// Whether it ended before its session.
        was_unexpected: bool,
    },
}

/// The beginning of a session.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SessionOpened {
    /// Name and version of the client, truncated.
    pub client: Option<Box<str>>,
    /// The negotiated protocol version.
    pub revision: Option<ProtocolVersion>,
    /// The process that serves the session, if there is one.
    pub process: Option<i32>,
}
