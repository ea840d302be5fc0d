//! Label sets.

use std::{borrow::Cow, sync::Arc};

use prometheus_client::encoding::EncodeLabelSet;

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
