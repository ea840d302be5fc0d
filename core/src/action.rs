//! What must be done, as told by a session.

use core::{ops::Range, ops::RangeInclusive, slice, time::Duration};

use smallvec::SmallVec;

use crate::{ConnectionId, EventId, Failure, ProgressToken, RequestId, StreamId};

/// What must be done.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Action<M> {
    /// Hand a client's message to the backend.
    Forward {
        /// The message.
        message: M,
    },
    /// Send an event on a connection. It fits into the connection's window in events, and,
    /// with all that the session's connections hold, into that in bytes, unless it is the only
    /// event that this one holds.
    Send {
        /// The connection.
        connection: ConnectionId,
        /// What [`Input::Acknowledged`](crate::Input::Acknowledged) calls the event.
        index: u64,
        /// What the event's `id:` field says. `None` where it has none: the
        /// answer is one JSON object, or answers `initialize`.
        id: Option<EventId>,
        /// The event.
        event: Event<M>,
    },
    /// Send what [`Session::replay`](crate::Session::replay) returns for this
    /// range, before the next input. It fits into the connection's window.
    Replay {
        /// The connection.
        connection: ConnectionId,
        /// The stream.
        stream: StreamId,
        /// The indexes; not every one needs to have an event.
        range: Range<u64>,
    },
    /// Tell a client that events are missing before the next one.
    ///
    /// Takes no place in the window: write it with the next event of the
    /// connection, or alone.
    Gap {
        /// The connection.
        connection: ConnectionId,
        /// The stream.
        stream: StreamId,
        /// The indexes among which events are missing.
        missed: RangeInclusive<u64>,
    },
    /// End a connection.
    ///
    /// An [`Input::ConnectionClosed`](crate::Input::ConnectionClosed) is still due when it is gone.
    Close {
        /// The connection.
        connection: ConnectionId,
        /// Why, and so how.
        reason: EndReason,
    },
    /// Drop what a connection holds and was not taken: its stream sends it on another
    /// connection. This one stays open.
    Discard {
        /// The connection.
        connection: ConnectionId,
    },
    /// Answer a request of the backend with an error.
    FailServerRequest {
        /// The request, by the backend's id.
        id: RequestId,
        /// Why.
        reason: UnansweredReason,
    },
    /// Tell the backend that a client's request is no longer wanted.
    CancelRequest {
        /// The request, by the client's id.
        id: RequestId,
    },
    /// Let senders to this stream go on who were held up by a
    /// [`Backpressure::Hold`](crate::Backpressure::Hold).
    Release {
        /// The stream.
        stream: StreamId,
    },
    /// Let the session go: it will never produce another action.
    ///
    /// So it comes instead of anything else that was due. Cancel what is pending
    /// at a backend that lives on, fail the requests of it that wait, and let go of
    /// every sender that was held up.
    SessionClosed {
        /// Why.
        reason: CloseReason,
    },
    /// Count and log something that the client or the backend did not get.
    Report(Report),
}

/// What one SSE event carries, as sent live.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Event<M> {
    /// A message of the backend.
    Message(M),
    /// Why a request has no response: to be rendered as a JSON-RPC error.
    Failure(Failure),
    /// Nothing but an id to resume from.
    ///
    /// Specification: MCP 2025-11-25, Transports, "Sending Messages to the Server".
    Priming {
        /// When the client should come back: the `retry:` field.
        retry: Option<Duration>,
    },
}

/// Why a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum EndReason {
    /// All that its stream will ever have was sent.
    Complete,
    /// The client cancelled what it waited for.
    Cancelled,
    /// The driver abandoned its stream, or its reservation expired.
    Abandoned,
    /// The backend asked for it.
    Requested,
    /// A newer shadow needed its place.
    TooManyShadows,
    /// The session is closed.
    SessionClosed,
    /// The client came back on another connection: this one is lost.
    Replaced,
    /// Its reader took nothing for too long.
    Stalled,
}

impl EndReason {
    /// Returns whether what was sent should still reach the reader. Otherwise
    /// the connection is to be cut at once, and what it holds dropped.
    #[must_use]
    pub fn drains(self) -> bool {
        match self {
            Self::Complete
            | Self::Cancelled
            | Self::Abandoned
            | Self::Requested
            | Self::TooManyShadows
            | Self::SessionClosed => true,
            Self::Replaced | Self::Stalled => false,
        }
    }
}

/// Why a request of the backend gets an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum UnansweredReason {
    /// No connection came to carry it.
    Undelivered,
    /// The log had to let go of it before anybody took it.
    Evicted,
    /// The client's request that it belonged to was cancelled or abandoned.
    Cancelled,
    /// The client received it, and did not answer in time.
    TimedOut,
}

/// Why a session is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum CloseReason {
    /// The client deleted it.
    Deleted,
    /// The server goes down.
    ServerShutdown,
    /// Whoever runs the session cancelled it.
    Cancelled,
    /// The client began with something else than `initialize`.
    ExpectedInitialize,
    /// The backend answered `initialize` with an error.
    InitializeRejected,
    /// `initialize` was not answered in time.
    InitializeTimeout,
    /// The client left before it took the answer to `initialize`.
    InitializeUnacknowledged,
    /// Nothing happened for too long.
    Idle,
    /// The backend is gone.
    BackendGone,
    /// A counter has no next value.
    Exhausted,
}

/// Something that the client or the backend did not get.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Report {
    /// A message goes nowhere.
    Undeliverable {
        /// The id of the request that it answers, where it has one.
        id: Option<RequestId>,
        /// Why.
        reason: UndeliverableReason,
    },
    /// A response was replaced by a failure because it did not fit.
    ResponseEvicted {
        /// The stream.
        stream: StreamId,
        /// The request.
        id: RequestId,
    },
    /// A client that waited for a JSON answer left without it.
    ResponseLost {
        /// The stream.
        stream: StreamId,
    },
    /// Progress was dropped: its token is of no request in progress, and of no task.
    UnknownProgressToken {
        /// The token.
        token: ProgressToken,
    },
}

/// Why a message goes nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum UndeliverableReason {
    /// The backend answered a request that nobody made, or again.
    UnknownRequest,
    /// The backend answered a request that was cancelled.
    CancelledRequest,
    /// The client answered a request that nobody made, again, or too late.
    UnknownServerRequest,
}

/// The actions of an input, in the order in which they must be carried out:
/// before the next input, which may change what an [`Action::Replay`] refers to.
///
/// The driver owns it, and uses it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actions<M>(SmallVec<[Action<M>; 4]>);

impl<M> Actions<M> {
    /// Returns an empty buffer, which has not allocated.
    #[must_use]
    pub fn new() -> Self {
        Self(SmallVec::new())
    }

    /// Returns how many actions there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Goes through the actions in order.
    pub fn iter(&self) -> slice::Iter<'_, Action<M>> {
        self.0.iter()
    }

    /// Takes the actions out in order.
    pub fn drain(&mut self) -> impl Iterator<Item = Action<M>> + '_ {
        self.0.drain(..)
    }

    /// Drops the actions, and keeps the memory.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    pub(crate) fn push(&mut self, action: Action<M>) {
        self.0.push(action);
    }
}

impl<M> Default for Actions<M> {
    fn default() -> Self {
        Self::new()
    }
}

impl<'a, M> IntoIterator for &'a Actions<M> {
    type Item = &'a Action<M>;
    type IntoIter = slice::Iter<'a, Action<M>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
