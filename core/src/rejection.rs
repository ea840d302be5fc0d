//! Rejections: inputs that a session does not accept, by who is at fault.

use alloc::boxed::Box;

use thiserror::Error;

use crate::{ConnectionId, Input, ProgressToken, RequestId, SessionCloseReason, StreamId};

/// An input that a session did not accept, and why.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{reason}")]
pub struct Rejected<C, S = C> {
    /// Why.
    pub reason: Rejection,
    /// The input, unchanged.
    pub input: Input<C, S>,
}

impl<C, S> Rejected<C, S> {
    #[cold]
    pub(crate) fn boxed(reason: Rejection, input: Input<C, S>) -> Box<Self> {
        Box::new(Self { reason, input })
    }
}

/// Why a session did not accept an input.
///
/// Exhaustive: what a driver does depends on who is at fault.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Rejection {
    /// The client is at fault.
    #[error(transparent)]
    Client(#[from] ClientFault),
    /// The backend is at fault.
    #[error(transparent)]
    Backend(#[from] BackendFault),
    /// The driver is at fault.
    #[error(transparent)]
    ApiMisuse(#[from] ApiMisuse),
    /// The session is closed.
    #[error("{0}")]
    Closed(SessionCloseReason),
    /// Nobody is at fault: the session has no room for a message of the backend whose
    /// [`Overflow`](crate::Overflow) is `Hold`. [`Action::Hold`](crate::Action::Hold) names the
    /// stream whose release its sender awaits, to send it again.
    #[error("the session has no room for the message until its readers have caught up")]
    Full,
    /// Nobody is at fault: the session drains ([`Input::Drain`]), and accepts no further requests.
    /// None of the POST's messages was forwarded, so the client can send it in a session of another
    /// server.
    #[error("the server is shutting down")]
    Draining,
}

/// A fault of the client. The text is for the client: a driver sends it as a JSON-RPC error.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ClientFault {
    /// Something other than a `ping` came before the response to `initialize`.
    #[error("the session is not initialized yet")]
    NotInitialized,
    /// A second `initialize`.
    #[error("the session is already initialized")]
    AlreadyInitialized,
    /// The id of a request that is pending, or that was cancelled and has no response yet.
    #[error("request id {0} is in use")]
    RequestIdInUse(RequestId),
    /// The progress token of a pending request.
    #[error("progress token {0} is in use")]
    ProgressTokenInUse(ProgressToken),
    /// A batch, which the negotiated revision does not have.
    #[error("the negotiated protocol version does not support batches")]
    BatchNotAllowed,
    /// A batch without messages.
    #[error("the batch is empty")]
    BatchEmpty,
    /// A batch with too many messages.
    #[error("the batch has more than {max} messages")]
    BatchTooLong {
        /// Maximum messages per batch.
        max: usize,
    },
    /// An `initialize` in a batch.
    #[error("initialize must not be part of a batch")]
    InitializeInBatch,
    /// A message that is too large.
    #[error("the message is larger than {max} bytes")]
    MessageTooLarge {
        /// Maximum size of a message in bytes.
        max: usize,
    },
    /// Too many requests would be pending.
    #[error("too many pending requests (maximum {max})")]
    TooManyRequests {
        /// Maximum pending requests.
        max: usize,
    },
    /// Too many cancelled requests have no response yet.
    #[error("too many cancelled requests without a response (maximum {max})")]
    TooManyCancelled {
        /// Maximum cancelled requests without a response, beyond `pending_requests_max`.
        max: usize,
    },
    /// Too many request streams are open, or complete and not retained.
    #[error("too many open request streams (maximum {max})")]
    TooManyStreams {
        /// Maximum request streams.
        max: usize,
    },
    /// Too many connections are open or draining.
    #[error("too many open connections (maximum {max})")]
    TooManyConnections {
        /// Maximum connections.
        max: usize,
    },
    /// A second GET for the standalone stream, where the policy does not allow one.
    #[error("the standalone stream already has a connection")]
    StandaloneConflict,
    /// A resume of a stream that this session never opened.
    #[error("this session has no stream {0}")]
    UnknownStream(StreamId),
    /// A resume after an event that was never sent.
    #[error("unknown event id: the last event of stream {stream} has index {last}")]
    FutureEvent {
        /// The stream.
        stream: StreamId,
        /// The last index that the stream has assigned.
        last: u64,
    },
    /// A resume of a stream that was cancelled or abandoned.
    #[error("stream {0} was cancelled")]
    CancelledStream(StreamId),
    /// A resume of a stream whose tombstone has expired.
    #[error("stream {0} has expired")]
    ExpiredStream(StreamId),
}

/// A fault of the backend.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BackendFault {
    /// The id of a server request that has no response yet.
    #[error("request id {0} is in use")]
    RequestIdInUse(RequestId),
    /// Too many server requests have no response yet.
    #[error("too many server requests without a response (maximum {max})")]
    TooManyRequests {
        /// Maximum server requests without a response.
        max: usize,
    },
    /// A message that is too large.
    #[error("the message is larger than {max} bytes")]
    MessageTooLarge {
        /// Maximum size of a message in bytes.
        max: usize,
    },
}

/// A fault of the driver: a bug in its code.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ApiMisuse {
    /// The id of a connection that is still known.
    #[error("connection id {0} is in use")]
    ConnectionInUse(ConnectionId),
    /// An [`Input::Disconnect`](crate::Input::Disconnect) of a stream that is not open.
    #[error("stream {0} is not open")]
    StreamNotOpen(StreamId),
    /// An [`Input::Disconnect`](crate::Input::Disconnect) of a client that has no event id
    /// to resume after.
    #[error("the client of stream {0} has no event id to resume after")]
    NothingToResumeFrom(StreamId),
    /// An [`Input::Abandon`](crate::Input::Abandon) of anything but an open, complete or
    /// retained request stream.
    #[error("stream {0} does not exist")]
    UnknownStream(StreamId),
    /// An [`Input::Committed`](crate::Input::Committed) of a number that no record has.
    #[error("no record has the number {0}")]
    CommittedUnrecorded(u64),
}
