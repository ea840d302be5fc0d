//! Actions that a session requires of its driver.

use alloc::{boxed::Box, vec::Vec};
use core::{fmt, slice, time::Duration};

use smallvec::SmallVec;

use crate::{ConnectionId, EventId, Failure, ProgressToken, Record, RequestId, StreamId};

/// An action that the driver must carry out.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Action<C, S = C> {
    /// Forward a client's message to the backend.
    Forward {
        /// The message.
        message: C,
    },
    /// Send an event on a connection, as SSE.
    ///
    /// The event fits into the window of the connection, unless nothing else is in flight there.
    Send {
        /// The connection.
        connection: ConnectionId,
        /// The `id:` field of the event. [`Input::Acknowledged`](crate::Input::Acknowledged)
        /// refers to the event by its index.
        id: EventId,
        /// The event.
        event: Event<S>,
    },
    /// Send the whole answer to a POST: the response to `initialize`, or the response to the
    /// only request of a POST in JSON format. A [`Close`](Self::Close) follows.
    ///
    /// It has no id, and index 1: [`Input::Acknowledged`](crate::Input::Acknowledged) refers to
    /// it by [`ANSWER_INDEX`].
    Respond {
        /// The connection.
        connection: ConnectionId,
        /// The answer.
        answer: Answer<S>,
    },
    /// Close a connection: its HTTP body ends after the events that it holds were sent. Comes at
    /// most once for a connection. Report
    /// [`Input::ConnectionClosed`](crate::Input::ConnectionClosed) when the body has ended; a
    /// body that takes too long is [`Cut`](Self::Cut), unless the session is closed.
    Close {
        /// The connection.
        connection: ConnectionId,
        /// Why.
        reason: CloseReason,
    },
    /// Cut a connection, which may be closed already: its HTTP body ends at once, without the
    /// events that it holds. Nothing more is sent on it, and its end need not be reported.
    Cut {
        /// The connection.
        connection: ConnectionId,
        /// Why.
        reason: CutReason,
    },
    /// Empty the buffer of a connection: its stream sends these events on another connection. The
    /// connection stays as it is, open or closed.
    Discard {
        /// The connection.
        connection: ConnectionId,
    },
    /// Send the backend an error response to a server request.
    FailServerRequest {
        /// The id that the backend gave the request.
        id: RequestId,
        /// Why it has no response.
        reason: UnansweredReason,
    },
    /// Cancel a client's request at the backend.
    CancelRequest {
        /// The id that the client gave the request.
        id: RequestId,
    },
    /// Let the sender of the message that is the input wait for the [`Action::Release`] of this
    /// stream, for one of two reasons:
    ///
    /// - The message was recorded, and the next one waits: the reader makes progress but has a long
    ///   backlog, and the session keeps at least half of its limit.
    /// - The message itself waits, because there is no room for it: it was rejected with
    ///   [`Rejection::Full`](crate::Rejection::Full), and is sent again after the release.
    Hold {
        /// The stream.
        stream: StreamId,
    },
    /// Release the senders that wait for this stream.
    Release {
        /// The stream.
        stream: StreamId,
    },
    /// The session is closed. This is its last action: every connection was closed or cut before.
    /// Release all held senders, and stop the backend, or notify it of the requests listed here.
    SessionClosed {
        /// Why.
        reason: SessionCloseReason,
        /// Client requests, by id, whose response the session no longer waits for: cancel them,
        /// except `initialize`, which MCP does not allow to be cancelled.
        pending_requests: Vec<RequestId>,
        /// Server requests, by id, that get no response: fail them.
        server_requests: Vec<RequestId>,
    },
    /// Commit a record, after those before it: store it where the process that goes on with the
    /// session will find it. Then report [`Input::Committed`](crate::Input::Committed). Only with
    /// [`Config::commits`](crate::Config::commits).
    ///
    /// What is recorded is not sent before. A message of the client is forwarded before, so that
    /// the commit overlaps with the work of the backend.
    Commit(Box<Record<S>>),
    /// Log or count something that has no other action.
    Report(Report),
}

impl<C, S> Action<C, S> {
    /// Returns an action with other bodies for the messages of the client and of the backend: what a
    /// log has of them, for example.
    pub fn map<D, T>(
        &self,
        client: impl FnOnce(&C) -> D,
        server: impl FnOnce(&S) -> T,
    ) -> Action<D, T> {
        match *self {
            Self::Forward { ref message } => Action::Forward { message: client(message) },
            Self::Send { connection, id, ref event } => {
                Action::Send { connection, id, event: event.map(server) }
            }
            Self::Respond { connection, ref answer } => {
                Action::Respond { connection, answer: answer.map(server) }
            }
            Self::Close { connection, reason } => Action::Close { connection, reason },
            Self::Cut { connection, reason } => Action::Cut { connection, reason },
            Self::Discard { connection } => Action::Discard { connection },
            Self::FailServerRequest { ref id, reason } => {
                Action::FailServerRequest { id: id.clone(), reason }
            }
            Self::CancelRequest { ref id } => Action::CancelRequest { id: id.clone() },
            Self::Hold { stream } => Action::Hold { stream },
            Self::Release { stream } => Action::Release { stream },
            Self::SessionClosed { reason, ref pending_requests, ref server_requests } => {
                let (pending_requests, server_requests) =
                    (pending_requests.clone(), server_requests.clone());
                Action::SessionClosed { reason, pending_requests, server_requests }
            }
            Self::Commit(ref record) => Action::Commit(Box::new(record.map(server))),
            Self::Report(ref report) => Action::Report(report.clone()),
        }
    }
}

/// The index by which an [`Answer`] is acknowledged.
pub const ANSWER_INDEX: u64 = 1;

/// The whole answer to a POST.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Answer<M> {
    /// A response of the backend.
    Message(M),
    /// A failure, to be sent as a JSON-RPC error.
    Failure(Failure),
}

impl<M> Answer<M> {
    fn map<N>(&self, message: impl FnOnce(&M) -> N) -> Answer<N> {
        match self {
            Self::Message(body) => Answer::Message(message(body)),
            Self::Failure(failure) => Answer::Failure(failure.clone()),
        }
    }
}

/// The content of an SSE event.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Event<M> {
    /// A message of the backend.
    Message(M),
    /// A failure, to be sent as a JSON-RPC error.
    Failure(Failure),
    /// A priming event: an id to resume after, and empty data.
    ///
    /// Specification: MCP 2025-11-25, Transports, "Sending Messages to the Server".
    Priming {
        /// How long the client should wait before it comes back: the `retry:` field.
        retry: Option<Duration>,
    },
    /// A gap: events from index `first` to the index of this event are no longer available.
    /// MCP has no message for it: write a log message with this id if the server has declared
    /// [`logging`](crate::Initialized::logging), and otherwise a comment. The client can resume after it
    /// only in the first case.
    Gap {
        /// The first index.
        first: u64,
    },
}

impl<M> Event<M> {
    fn map<N>(&self, message: impl FnOnce(&M) -> N) -> Event<N> {
        match *self {
            Self::Message(ref body) => Event::Message(message(body)),
            Self::Failure(ref failure) => Event::Failure(failure.clone()),
            Self::Priming { retry } => Event::Priming { retry },
            Self::Gap { first } => Event::Gap { first },
        }
    }
}

/// Why a connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum CloseReason {
    /// Its stream is complete, and everything was sent.
    Complete,
    /// The client cancelled the requests of its stream.
    Cancelled,
    /// The driver abandoned its stream.
    Abandoned,
    /// The driver disconnected its stream.
    Requested,
    /// It was the oldest shadow, and there were more than `shadows_max`.
    TooManyShadows,
    /// The session is closed.
    SessionClosed,
}

/// Why a connection is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum CutReason {
    /// The client resumed the stream on another connection, so this one is presumed lost.
    Replaced,
    /// Its reader acknowledged nothing for too long, or it was not reported as closed.
    Stalled,
}

/// Why a server request gets an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum UnansweredReason {
    /// No connection delivered it in time.
    Undelivered,
    /// It was evicted from the log before it was delivered.
    Evicted,
    /// The stream on which it was sent was cancelled or abandoned.
    Cancelled,
    /// The client received it, and did not respond in time.
    TimedOut,
}

/// Why a session is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum SessionCloseReason {
    /// The client deleted it.
    Deleted,
    /// The server shuts down.
    ServerShutdown,
    /// The owner of the session cancelled it.
    Cancelled,
    /// The driver or the session has failed, because of a bug.
    InternalError,
    /// The first input of the client was not `initialize`.
    ExpectedInitialize,
    /// The backend responded to `initialize` with an error.
    InitializeRejected,
    /// There was no response to `initialize` in time.
    InitializeTimeout,
    /// The connection of `initialize` closed before the response was acknowledged.
    InitializeUnacknowledged,
    /// The session was idle for too long.
    Idle,
    /// The backend has exited.
    BackendGone,
    /// A counter is exhausted.
    Exhausted,
    /// Another process has it, or may have it.
    Moved,
}

/// For the client and the log.
impl fmt::Display for SessionCloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Deleted => "the session was closed by its client",
            Self::ServerShutdown => "the session was closed: the server is shutting down",
            Self::Cancelled => "the session was closed by the server",
            Self::InternalError => "the session was closed because of an internal error",
            Self::ExpectedInitialize => {
                "the session was closed: its first message was not `initialize`"
            }
            Self::InitializeRejected => "the session was closed: the server rejected `initialize`",
            Self::InitializeTimeout => "the server did not answer `initialize` in time",
            Self::InitializeUnacknowledged => {
                "the session was closed: its client disconnected before the response to `initialize`"
            }
            Self::Idle => "the session was closed: it was idle for too long",
            Self::BackendGone => "the session was closed: the server is no longer available",
            Self::Exhausted => "the session was closed: it has no event ids left",
            Self::Moved => "the session was closed: another process has it",
        })
    }
}

/// Something that an operator may want to know: what the client or the backend did not get, and,
/// with [`Config::activity_reports`](crate::Config::activity_reports), what became of requests,
/// streams and readers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Report {
    /// A response was dropped because no request matches it.
    Undeliverable {
        /// The id of the response, if it has one.
        id: Option<RequestId>,
        /// Why no request matches.
        reason: UndeliverableReason,
    },
    /// A response was replaced by a failure, because it was too large or was evicted.
    ResponseEvicted {
        /// The stream.
        stream: StreamId,
        /// The request.
        id: RequestId,
    },
    /// The connection of a request in JSON format was closed before the response was
    /// acknowledged. The client has no event id to resume after, so the response is lost to it.
    ResponseLost {
        /// The stream.
        stream: StreamId,
    },
    /// A progress notification was dropped: its token is neither that of a pending request nor
    /// that of a task.
    UnknownProgressToken {
        /// The token.
        token: ProgressToken,
    },
    /// A request of the client is not pending any more. Only with `activity_reports`.
    ///
    /// Requests that are pending when the session closes are listed by
    /// [`Action::SessionClosed`].
    RequestEnded {
        /// The stream.
        stream: StreamId,
        /// The request.
        id: RequestId,
        /// How it has ended.
        outcome: RequestOutcome,
    },
    /// A complete stream was replaced by its tombstone before its client had acknowledged its end:
    /// a client that still resumes it gets failures. Only with `activity_reports`.
    StreamExpired {
        /// The stream.
        stream: StreamId,
    },
    /// A reader has acknowledged nothing for its stall timeout, so that it no longer holds senders.
    /// Only with `activity_reports`.
    ReaderStalled {
        /// The connection.
        connection: ConnectionId,
    },
}

/// How a request of the client has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum RequestOutcome {
    /// The backend responded with a result.
    Result,
    /// The backend responded with an error.
    Error,
    /// The response was too large, and was replaced by a failure.
    TooLarge,
    /// The client cancelled it.
    Cancelled,
    /// The driver abandoned its stream.
    Abandoned,
    /// Its stream had no connection for `orphan_timeout`.
    Orphaned,
    /// The backend has exited, and the session lives on.
    BackendLost,
}

/// Why a response is undeliverable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum UndeliverableReason {
    /// The backend responded to an unknown request, or a second time.
    UnknownRequest,
    /// The backend responded to a cancelled request.
    CancelledRequest,
    /// The client responded to an unknown server request, a second time, or too late.
    UnknownServerRequest,
}

/// A buffer for the actions of an input, in the order in which the driver must carry them out.
///
/// The driver owns the buffer and reuses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actions<C, S = C>(SmallVec<[Action<C, S>; 4]>);

impl<C, S> Actions<C, S> {
    /// Returns an empty buffer, without allocating.
    #[must_use]
    pub fn new() -> Self {
        Self(SmallVec::new())
    }

    /// Returns the number of actions.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether there are no actions.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Iterates over the actions in order.
    pub fn iter(&self) -> slice::Iter<'_, Action<C, S>> {
        self.0.iter()
    }

    /// Removes the actions, and iterates over them in order.
    pub fn drain(&mut self) -> impl Iterator<Item = Action<C, S>> + '_ {
        self.0.drain(..)
    }

    /// Removes all actions. Keeps the allocated memory.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    pub(crate) fn push(&mut self, action: Action<C, S>) {
        self.0.push(action);
    }
}

impl<C, S> Default for Actions<C, S> {
    fn default() -> Self {
        Self::new()
    }
}

impl<'a, C, S> IntoIterator for &'a Actions<C, S> {
    type Item = &'a Action<C, S>;
    type IntoIter = slice::Iter<'a, Action<C, S>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
