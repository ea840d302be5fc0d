//! Actions of the client machine: what the driver must do.

use alloc::boxed::Box;
use core::time::Duration;

use thiserror::Error;

use super::{ExchangeId, Lists};
use crate::{ProtocolVersion, RequestId};

/// What the driver must do. Actions are carried out in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action<C, S = C> {
    /// Send a POST.
    Post {
        /// The exchange.
        exchange: ExchangeId,
        /// Headers of the session.
        session: SessionHeaders,
        /// The body.
        content: Content<C>,
    },
    /// Send a GET.
    Get {
        /// The exchange.
        exchange: ExchangeId,
        /// Headers of the session.
        session: SessionHeaders,
        /// The value of `Last-Event-ID`.
        last_event_id: Option<Box<str>>,
    },
    /// Send the DELETE of the session.
    Delete {
        /// The exchange.
        exchange: ExchangeId,
        /// Headers of the session.
        session: SessionHeaders,
    },
    /// End an exchange immediately.
    Abort {
        /// The exchange.
        exchange: ExchangeId,
    },
    /// Give a message of the server to the application.
    Deliver {
        /// The message.
        message: S,
    },
    /// Give the application an error in place of the response to a request.
    Fail {
        /// The request.
        request: RequestId,
        /// Why.
        failure: CallFailure,
    },
    /// Give the application a notification of the machine.
    Notify(Notice),
    /// Write something to the log.
    Report(Report),
    /// Exit: nothing follows.
    Finish,
}

/// The headers of a request that name its session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionHeaders {
    /// `Mcp-Session-Id`.
    pub id: Option<Box<str>>,
    /// `MCP-Protocol-Version`.
    pub version: Option<ProtocolVersion>,
}

/// The body of a POST.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content<C> {
    /// A message of the application.
    Message(C),
    /// `notifications/initialized`.
    Initialized,
    /// An error response: too many requests of the server have no response.
    Busy {
        /// The request of the server.
        request: RequestId,
    },
    /// An error response: the response of the application could not be sent.
    Dropped {
        /// The request of the server.
        request: RequestId,
    },
}

/// A notification that the machine itself sends to the application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The session was lost: `notifications/message`. Only if the server has the capability
    /// `logging`.
    SessionLost,
    /// Lists may have changed, because the session is a new one: `list_changed` of each.
    ListsChanged(Lists),
    /// A request of the server ended with its session: `notifications/cancelled`.
    Cancelled {
        /// The request of the server.
        request: RequestId,
    },
}

/// Why the application gets an error in place of a response.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CallFailure {
    /// It came before the response to `initialize`.
    #[error("not sent: the session is not initialized")]
    NotInitialized,
    /// A second `initialize`.
    #[error("not sent: the session is already initialized")]
    AlreadyInitialized,
    /// The id of a pending request.
    #[error("not sent: the request id is in use")]
    RequestIdInUse,
    /// Too many requests are pending, or too many messages wait to be sent.
    #[error("not sent: too many messages are pending")]
    TooManyMessages,
    /// The request is too large.
    #[error("not sent: the message is larger than {max} bytes")]
    MessageTooLarge {
        /// Maximum size of a message in bytes.
        max: usize,
    },
    /// No connection to the server could be made, for a transient reason.
    #[error("not sent: no connection to the server could be made")]
    Unreachable,
    /// No connection to the server could be made, for a permanent reason.
    #[error("not sent: {reason}")]
    NoConnection {
        /// The reason, as the driver has reported it.
        reason: Box<str>,
    },
    /// The session was lost, and the server did not open a new one.
    #[error("not sent: the session was lost, and the server did not open a new one")]
    NoSession,
    /// The server refused it, by its status.
    #[error("the server refused the request with HTTP status {status}")]
    Refused {
        /// The status.
        status: u16,
    },
    /// The connection was lost, and there is nothing to resume after.
    #[error(
        "the connection to the server was lost; it is not known whether the server executed the request"
    )]
    ConnectionLost,
    /// The session was lost.
    #[error("the session was lost; it is not known whether the server executed the request")]
    SessionLost,
    /// The stream could not be resumed.
    #[error(
        "the response could not be fetched again; it is not known whether the server executed the request"
    )]
    NotResumed,
    /// The server has ended its response without a JSON-RPC response.
    #[error("the server ended its HTTP response without a response to the request")]
    Unanswered,
    /// The response is too large.
    #[error("the response of the server is too large")]
    ResponseTooLarge,
}

impl CallFailure {
    /// Returns whether the server can have executed the request.
    #[must_use]
    pub fn may_be_executed(&self) -> bool {
        match self {
            Self::NotInitialized
            | Self::AlreadyInitialized
            | Self::RequestIdInUse
            | Self::TooManyMessages
            | Self::MessageTooLarge { .. }
            | Self::Unreachable
            | Self::NoConnection { .. }
            | Self::NoSession => false,
            Self::Refused { status } => *status >= 500,
            Self::ConnectionLost
            | Self::SessionLost
            | Self::NotResumed
            | Self::Unanswered
            | Self::ResponseTooLarge => true,
        }
    }
}

/// Something for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Report {
    /// A connection was lost, and is made again after a delay.
    Reconnecting {
        /// The delay.
        delay: Duration,
        /// Whether it is that of the standalone stream.
        is_standalone: bool,
    },
    /// The server has no standalone stream.
    NoStandalone {
        /// The status that says so.
        status: u16,
    },
    /// The server refused an exchange.
    Refused {
        /// The status.
        status: u16,
    },
    /// The session was lost: the server does not know its id.
    SessionLost,
    /// A new session has replaced the lost one.
    SessionRenewed {
        /// Whether the server has negotiated another version than in the first session.
        version_changed: bool,
    },
    /// No new session could be opened; the next attempt follows after a delay.
    NotRenewed {
        /// The delay.
        delay: Duration,
    },
    /// An event came again, and was dropped.
    DuplicateEvent,
    /// A response to a request that is not pending was dropped.
    DroppedResponse {
        /// The request.
        request: RequestId,
    },
    /// A notification or response of the application was dropped.
    DroppedMessage,
    /// A request of the server was dropped: it came on a stream of a lost session, its id is that
    /// of another one without a response, or there are too many.
    DroppedServerRequest {
        /// The request.
        request: RequestId,
    },
    /// An event of the server was dropped, because it is too large.
    EventTooLarge,
    /// A session id or event id of the server is not used, because it is invalid or too long.
    InvalidId,
}
