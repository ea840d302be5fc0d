//! The `nap` tool: a late response.

use super::MILLIS;
use crate::demo::tool::{Call, Input, Tool, ToolResult, text};

pub(super) const TOOL: Tool = Tool {
    name: "nap",
    about: "Responds after a delay, and sends nothing before",
    input: Input::Arguments(&[&MILLIS]),
    run: |call| Box::pin(nap(call)),
};

async fn nap(call: Call) -> ToolResult {
    call.wait(call.millis(&MILLIS)?).await?;
    Ok(text("good morning"))
}
