//! The head of a message: the little of it that a session routes by.

mod classify;
mod error;
mod id_value;
mod parse;
#[cfg(test)]
mod properties;
mod scan;

pub use error::{MessageFault, ParseError};
pub use parse::{BatchEntry, Parsed, parse_head};

use crate::{ProgressToken, ProtocolVersion, RequestId};

/// What a session needs to know of a JSON-RPC message.
///
/// [`parse_head`] reads it from the bytes of a message. A driver with typed messages
/// builds it by hand.
///
/// Specification: JSON-RPC 2.0, sections 4 and 5; MCP 2025-11-25, Base Protocol,
/// "Messages".
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Head {
    /// A request: it has a method and an id, and wants an answer.
    Request {
        /// Its id.
        id: RequestId,
        /// Its method.
        method: Method,
        /// The token under which it wants progress notifications, if any.
        progress_token: Option<ProgressToken>,
    },
    /// A notification: it has a method and no id.
    Notification(Notification),
    /// A successful answer.
    Response {
        /// The id of the request that it answers.
        id: RequestId,
        /// What it says where it answers `initialize`.
        initialized: Initialized,
        /// Whether its result is a task, which goes on after it.
        ///
        /// Specification: MCP 2025-11-25, Utilities, "Tasks".
        #[cfg_attr(feature = "serde", serde(default))]
        creates_task: bool,
    },
    /// An error answer.
    Error {
        /// The id of the request that it answers; `None` where the JSON says
        /// `null`, for a request whose id could not be read.
        id: Option<RequestId>,
    },
}

/// The method of a request, as far as a session tells methods apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Method {
    /// `initialize`.
    Initialize {
        /// The version that the client asks for.
        version: Option<ProtocolVersion>,
    },
    /// `ping`.
    Ping,
    /// Any other.
    Other,
}

/// The method of a notification, as far as a session tells methods apart.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Notification {
    /// `notifications/progress`.
    Progress {
        /// The token that it reports on.
        token: ProgressToken,
    },
    /// `notifications/cancelled`.
    Cancelled {
        /// The request that is no longer wanted; its sender's own id.
        request: RequestId,
    },
    /// `notifications/message`: a log message.
    Log,
    /// Any other, and the ones above where they lack what is read of them here.
    Other,
}

/// What the answer to `initialize` says about the session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Initialized {
    /// The negotiated protocol version, where one can be read.
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
