//! Server of the crate `tower-mcp` with the echo tool.

use std::collections::BTreeMap;

use serde_json::Value;
use tower_mcp::{CallToolResult, HttpTransport, McpRouter, ToolBuilder};

/// Returns a server with SSE responses, like the others, and defaults otherwise.
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
