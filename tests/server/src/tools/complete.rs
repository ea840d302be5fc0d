//! The `complete` tool: sampling during a call.

use super::TEXT_MAX;
use crate::{
    argument::Text,
    client_requests::sample,
    tool::{Call, Input, Tool, ToolResult, text},
};

pub(super) const TOOL: Tool = Tool {
    name: "complete",
    about: "Sends a prompt to the client's model (sampling) and returns the completion",
    input: Input::Arguments(&[&PROMPT]),
    run: |call| Box::pin(complete(call)),
};

const PROMPT: Text = Text { name: "prompt", about: "The prompt", bytes_max: TEXT_MAX };

async fn complete(call: Call) -> ToolResult {
    let completion = sample(&call, call.text(&PROMPT)?).await?;
    Ok(text(format!("the model said: {completion}")))
}
