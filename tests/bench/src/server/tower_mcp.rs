//! A server of the crate `tower-mcp`, with the tool that every server has.

use std::collections::BTreeMap;

use serde_json::Value;
use tower_mcp::{CallToolResult, HttpTransport, McpRouter, ToolBuilder};

/// Answers by SSE, as the others do; everything else is as by default.
pub(super) fn router() -> axum::Router {
    let echo = ToolBuilder::new("echo")
        .handler(|arguments: BTreeMap<String, Value>| async move {
            let text = arguments.get("message").and_then(Value::as_str).unwrap_or_default();
            Ok(CallToolResult::text(text))
        })
        .build();
    HttpTransport::new(McpRouter::new().server_info("bench", "0").tool(echo))
        .sse_responses(true)
        .into_router()
}
