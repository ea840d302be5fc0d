//! Is silent for a while.

use super::MILLIS;
use crate::demo::tool::{Call, Input, Tool, ToolResult, text};

pub(super) const TOOL: Tool = Tool {
    name: "nap",
    about: "Answers late, and says nothing before",
    input: Input::Arguments(&[&MILLIS]),
    run: |call| Box::pin(nap(call)),
};

async fn nap(call: Call) -> ToolResult {
    call.wait(call.millis(&MILLIS)?).await?;
    Ok(text("good morning"))
}
