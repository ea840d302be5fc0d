//! Why an input was rejected, by who is at fault.

use thiserror::Error;

use crate::{CloseReason, ConnectionId, ProgressToken, RequestId, StreamId};

/// An input that a session did not accept.
///
/// It changed nothing, beyond letting time pass.
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
    #[error("the session is closed: {0:?}")]
    Closed(CloseReason),
}

/// What a client did wrong.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ClientFault {
    /// It must wait for the answer to `initialize`; only a `ping` may come before.
    #[error("the session is not initialized yet")]
    NotInitialized,
    /// It sent `initialize` again.
    #[error("the session is initialized already")]
    AlreadyInitialized,
    /// It used an id of a request that is in flight, or was cancelled and not yet answered.
    #[error("the request id {0} is in use")]
    RequestIdInUse(RequestId),
    /// It used a progress token of a request that is in flight.
    #[error("the progress token {0} is in use")]
    ProgressTokenInUse(ProgressToken),
    /// It sent a batch, which the negotiated revision does not have.
    #[error("the negotiated protocol version has no batches")]
    BatchNotAllowed,
    /// It sent a batch without a message.
    #[error("the batch is empty")]
    BatchEmpty,
    /// It sent a batch with too many messages.
    #[error("the batch has more than {max} messages")]
    BatchTooLong {
        /// How many are allowed.
        max: usize,
    },
    /// It sent `initialize` in a batch.
    #[error("initialize must not be part of a batch")]
    InitializeInBatch,
    /// It sent a message that is too large.
    #[error("the message is larger than {max} bytes")]
    MessageTooLarge {
        /// How many bytes are allowed.
        max: usize,
    },
    /// It would have more requests in flight than are allowed.
    #[error("no more than {max} requests may be in flight")]
    TooManyRequests {
        /// How many are allowed.
        max: usize,
    },
    /// Too many of the requests that it cancelled are still unanswered.
    #[error("no more than {max} cancelled requests may be unanswered beside those in flight")]
    TooManyCancelled {
        /// How many are allowed beside `pending_requests_max` in flight.
        max: usize,
    },
    /// It has as many request streams open, or still being sent, as are allowed.
    #[error("{max} request streams are open already")]
    TooManyStreams {
        /// How many are allowed.
        max: usize,
    },
    /// It has as many connections as are allowed.
    #[error("{max} connections are open already")]
    TooManyConnections {
        /// How many are allowed.
        max: usize,
    },
    /// It has the standalone stream connected already.
    #[error("the standalone stream is connected already")]
    StandaloneConflict,
    /// It resumes a stream that this session never opened.
    #[error("this session has no stream {0}")]
    UnknownStream(StreamId),
    /// It resumes after an event that was never sent.
    #[error("the last event of stream {stream} has index {last}")]
    FutureEvent {
        /// The stream.
        stream: StreamId,
        /// The last index that it has given out.
        last: u64,
    },
    /// It resumes a stream whose requests were cancelled.
    #[error("stream {0} was cancelled")]
    CancelledStream(StreamId),
    /// It resumes a stream of which nothing is left.
    #[error("stream {0} has expired")]
    ExpiredStream(StreamId),
}

/// What the backend did wrong.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BackendFault {
    /// It used an id of a request that waits for the client's answer.
    #[error("the request id {0} is in use")]
    RequestIdInUse(RequestId),
    /// It has as many requests that wait for an answer as are allowed.
    #[error("{max} requests wait for the client's answer already")]
    TooManyRequests {
        /// How many are allowed.
        max: usize,
    },
    /// It sent a message that is too large.
    #[error("the message is larger than {max} bytes")]
    MessageTooLarge {
        /// How many bytes are allowed.
        max: usize,
    },
}

/// What the driver did wrong.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ApiMisuse {
    /// It used a connection's id twice.
    #[error("the connection {0} is in use")]
    ConnectionInUse(ConnectionId),
    /// It passed a POST without a request as [`Input::Request`](crate::Input::Request).
    #[error("the POST carries no request")]
    NoRequest,
    /// It passed a POST with a request as [`Input::Message`](crate::Input::Message).
    #[error("the POST carries a request")]
    UnexpectedRequest,
    /// It reserved a stream before the answer to `initialize`.
    #[error("the session is not initialized yet")]
    NotInitialized,
    /// It wants a stream's connection closed that is not open.
    #[error("stream {0} is not open")]
    StreamNotOpen(StreamId),
    /// It wants a connection closed whose client could not come back.
    #[error("the client of stream {0} has no event id to resume from")]
    NothingToResumeFrom(StreamId),
    /// It abandoned a stream that is not there.
    #[error("there is no stream {0} to abandon")]
    UnknownStream(StreamId),
}
