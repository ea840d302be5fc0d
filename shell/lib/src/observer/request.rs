//! A request as an observer sees it.

use std::fmt;

use rejoin_core::{
    RequestDetails, RequestId, RequestOutcome, SessionCloseReason, parse_head_with_details,
};

use super::ResponseFault;

/// A request of a client.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ObservedRequest {
    /// Its id.
    pub id: RequestId,
    /// Its method, its target and its trace context.
    pub details: RequestDetails,
    /// The `traceparent` header of its HTTP request, unless that is longer than
    /// [`TRACEPARENT_BYTES_MAX`](RequestDetails::TRACEPARENT_BYTES_MAX) bytes. Only with an observer
    /// that [traces requests](super::Observer::traces_requests).
    pub http_traceparent: Option<Box<str>>,
}

impl ObservedRequest {
    pub(crate) fn new(id: RequestId, details: RequestDetails) -> Self {
        Self { id, details, http_traceparent: None }
    }

    /// Parses the details of a request.
    pub(crate) fn parse(id: &RequestId, message: &[u8]) -> Self {
        let mut details = RequestDetails::default();
        // An error means that the message has another head than its sender told.
        let _ = parse_head_with_details(message, 1, &mut |_, parsed| details = parsed);
        Self::new(id.clone(), details)
    }
}

/// How a request has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequestEnd {
    /// With a result.
    Result,
    /// With a result that has `isError`: a tool has failed.
    ToolError,
    /// With an error response.
    Error {
        /// The code of the error, if it has one.
        code: Option<i64>,
    },
    /// The response was too large, and the client got an error.
    TooLarge,
    /// There was no response within [`request_timeout`](crate::ManagerConfig::request_timeout).
    TimedOut,
    /// The client cancelled it.
    Cancelled,
    /// The server abandoned its stream.
    Abandoned,
    /// Its client did not come back for it.
    Orphaned,
    /// Its server has exited, and the session lives on.
    BackendLost,
    /// The session was closed.
    SessionClosed(SessionCloseReason),
}

impl RequestEnd {
    /// Returns the end that the core reports, with what the response says.
    pub(crate) fn new(outcome: RequestOutcome, fault: Option<ResponseFault>) -> Self {
        match (outcome, fault) {
            (RequestOutcome::Result, Some(ResponseFault::ToolError)) => Self::ToolError,
            (RequestOutcome::Result, _) => Self::Result,
            (RequestOutcome::Error, Some(ResponseFault::Error(code))) => {
                Self::Error { code: Some(code) }
            }
            (RequestOutcome::Error, _) => Self::Error { code: None },
            (RequestOutcome::TooLarge, _) => Self::TooLarge,
            (RequestOutcome::Cancelled, _) => Self::Cancelled,
            (RequestOutcome::Abandoned, _) => Self::Abandoned,
            (RequestOutcome::Orphaned, _) => Self::Orphaned,
            (RequestOutcome::BackendLost, _) => Self::BackendLost,
        }
    }
}

/// The value of the attribute `error.type`; empty for a result.
///
/// Specification: OpenTelemetry semantic conventions for MCP: the code of a JSON-RPC error, or
/// `tool_error`.
impl fmt::Display for RequestEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Result => Ok(()),
            Self::ToolError => f.write_str("tool_error"),
            Self::Error { code: Some(code) } => write!(f, "{code}"),
            Self::Error { code: None } => f.write_str("error"),
            Self::TooLarge => f.write_str("response_too_large"),
            Self::TimedOut => f.write_str("timeout"),
            Self::Cancelled => f.write_str("cancelled"),
            Self::Abandoned => f.write_str("abandoned"),
            Self::Orphaned => f.write_str("orphaned"),
            Self::BackendLost => f.write_str("backend_lost"),
            Self::SessionClosed(_) => f.write_str("session_closed"),
        }
    }
}
