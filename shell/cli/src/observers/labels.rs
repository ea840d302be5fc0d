//! The values of labels. What clients and servers choose freely is limited.

use std::borrow::Cow;

use rejoin::{
    RequestEnd,
    rejoin_core::{CutReason, RequestDetails, SessionCloseReason, cluster::GiveUpReason},
};

/// The value of a label that is not one of the known ones.
pub(crate) const OTHER: &str = "_other";

/// Upper bounds of the buckets of durations, in seconds.
///
/// Specification: OpenTelemetry semantic conventions for MCP, "Metrics".
pub(crate) const DURATION_BUCKETS: [f64; 14] =
    [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0];

/// Returns the method of a request, if MCP has it.
pub(crate) fn method(details: &RequestDetails) -> &'static str {
    match details.method {
        Cow::Borrowed(known) => known,
        Cow::Owned(_) => OTHER,
    }
}

/// The codes of errors that JSON-RPC and MCP define, and those that its SDKs use.
const CODES: [i64; 10] =
    [-32_700, -32_600, -32_601, -32_602, -32_603, -32_000, -32_001, -32_002, -32_042, -32_800];

/// Returns the type of an error. Servers choose other codes freely.
pub(crate) fn error_type(end: RequestEnd) -> Cow<'static, str> {
    if end == RequestEnd::Result {
        return Cow::Borrowed("");
    }
    if let RequestEnd::Error { code: Some(code) } = end
        && !CODES.contains(&code)
    {
        return Cow::Borrowed(OTHER);
    }
    end.to_string().into()
}

/// Returns the tool that a request calls.
pub(crate) fn tool(details: &RequestDetails) -> Option<&str> {
    details.target.as_deref().filter(|_| details.method == "tools/call")
}

pub(crate) fn close_reason(reason: SessionCloseReason) -> &'static str {
    match reason {
        SessionCloseReason::Deleted => "deleted",
        SessionCloseReason::ServerShutdown => "server_shutdown",
        SessionCloseReason::Cancelled => "cancelled",
        SessionCloseReason::InternalError => "internal_error",
        SessionCloseReason::ExpectedInitialize => "expected_initialize",
        SessionCloseReason::InitializeRejected => "initialize_rejected",
        SessionCloseReason::InitializeTimeout => "initialize_timeout",
        SessionCloseReason::InitializeUnacknowledged => "initialize_unacknowledged",
        SessionCloseReason::Idle => "idle",
        SessionCloseReason::BackendGone => "backend_gone",
        SessionCloseReason::Exhausted => "exhausted",
        SessionCloseReason::Moved => "moved",
    }
}

pub(crate) fn give_up_reason(reason: GiveUpReason) -> &'static str {
    match reason {
        GiveUpReason::TakenOver => "taken_over",
        GiveUpReason::Closed => "closed",
    }
}

pub(crate) fn cut_reason(reason: CutReason) -> &'static str {
    match reason {
        CutReason::Replaced => "replaced",
        CutReason::Stalled => "stalled",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_others_choose_are_limited() {
        let mut details = RequestDetails::default();
        details.set_method("ping");
        assert_eq!(method(&details), "ping");
        details.set_method("pong");
        assert_eq!(method(&details), OTHER);
        let error = |code| error_type(RequestEnd::Error { code });
        assert_eq!(error(Some(-32_601)), "-32601");
        assert_eq!(error(Some(7)), OTHER);
        assert_eq!(error(None), "error");
        assert_eq!(error_type(RequestEnd::Result), "");
        assert_eq!(error_type(RequestEnd::ToolError), "tool_error");
    }
}
