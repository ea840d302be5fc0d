//! The head of a message: the parts that a session needs to route it.

mod classify;
mod details;
mod error;
mod handshake;
mod id_value;
mod member_name;
mod parse;
#[cfg(test)]
mod properties;
mod scan;
mod value;

pub use details::RequestDetails;
pub use error::{MessageFault, ParseError};
pub use handshake::{Lists, announced_lists, is_initialized};
pub use parse::{BatchEntry, Parsed, parse_head, parse_head_with_details};

use crate::{ProgressToken, ProtocolVersion, RequestId};

/// The parts of a JSON-RPC message that a session needs.
///
/// [`parse_head`] parses it from the bytes of a message. A driver with typed messages
/// constructs it.
///
/// Specification: JSON-RPC 2.0, sections 4 and 5; MCP 2025-11-25, Base Protocol,
/// "Messages".
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Head {
    /// A request: a message with a method and an id.
    Request {
        /// The id.
        id: RequestId,
        /// The method.
        method: Method,
        /// The token for progress notifications, if the sender wants them.
        progress_token: Option<ProgressToken>,
    },
    /// A notification: a message with a method and without an id.
    Notification(Notification),
    /// A successful response: a message with a result.
    Response {
        /// The id of the request.
        id: RequestId,
        /// What the result negotiates, if the request was `initialize`.
        initialized: Initialized,
        /// Whether the result is a task, which continues after the response.
        ///
        /// Specification: MCP 2025-11-25, Utilities, "Tasks".
        #[cfg_attr(feature = "serde", serde(default))]
        creates_task: bool,
    },
    /// An error response.
    Error {
        /// The id of the request. `None` for a missing or `null` id, which a peer sends if it
        /// could not parse the id of the request.
        id: Option<RequestId>,
    },
}

/// The method of a request, as far as a session distinguishes methods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Method {
    /// `initialize`.
    Initialize {
        /// The version that the client requests, if it is valid.
        version: Option<ProtocolVersion>,
    },
    /// `ping`.
    Ping,
    /// Any other method.
    Other,
}

/// The method of a notification, as far as a session distinguishes methods.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Notification {
    /// `notifications/progress`.
    Progress {
        /// The token of the request whose progress it reports.
        token: ProgressToken,
    },
    /// `notifications/cancelled`.
    Cancelled {
        /// The cancelled request, by the id that the sender of this notification gave it.
        request: RequestId,
    },
    /// `notifications/message`: a log message.
    Log,
    /// Any other method, or progress or a cancellation without the token or id.
    Other,
}

/// What the response to `initialize` negotiates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Initialized {
    /// The negotiated protocol version, if it is valid.
    pub version: Option<ProtocolVersion>,
    /// Whether the server declared the `logging` capability.
    pub logging: bool,
}

impl Head {
    /// Returns whether this is a request.
    #[must_use]
    pub fn is_request(&self) -> bool {
        matches!(self, Self::Request { .. })
    }
}
