//! Label sets. What clients and servers choose freely is limited.

use std::{borrow::Cow, sync::Arc};

use prometheus_client::encoding::EncodeLabelSet;
use rejoin::{RequestEnd, rejoin_core::RequestDetails};

/// The value of a label that is not one of the known ones.
pub(super) const OTHER: &str = "_other";

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ServerLabels {
    pub(super) server: Arc<str>,
}

/// A server, and why something happened.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ReasonLabels {
    pub(super) server: Arc<str>,
    pub(super) reason: &'static str,
}

/// A request that was refused.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct RefusalLabels {
    pub(super) server: Arc<str>,
    pub(super) code: u16,
    pub(super) option: &'static str,
}

/// A request that was refused because of its credential or its principal.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct AuthFailureLabels {
    pub(super) reason: &'static str,
}

/// A request, by the names of the OpenTelemetry semantic conventions for MCP.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct OperationLabels {
    pub(super) server: Arc<str>,
    pub(super) mcp_method_name: &'static str,
    pub(super) gen_ai_tool_name: Arc<str>,
    pub(super) error_type: Cow<'static, str>,
}

/// Returns the method of a request, if MCP has it.
pub(super) fn method(details: &RequestDetails) -> &'static str {
    match details.method {
        Cow::Borrowed(known) => known,
        Cow::Owned(_) => OTHER,
    }
}

/// The codes of errors that JSON-RPC and MCP define, and those that its SDKs use.
const CODES: [i64; 10] =
    [-32_700, -32_600, -32_601, -32_602, -32_603, -32_000, -32_001, -32_002, -32_042, -32_800];

/// Returns the type of an error. Servers choose other codes freely.
pub(super) fn error_type(end: RequestEnd) -> Cow<'static, str> {
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
