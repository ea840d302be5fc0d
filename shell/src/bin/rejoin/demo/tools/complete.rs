//! Asks the client's model in the middle of the call.

use super::TEXT_MAX;
use crate::demo::{
    argument::Text,
    client_requests::sample,
    tool::{Call, Input, Tool, ToolResult, text},
};

pub(super) const TOOL: Tool = Tool {
    name: "complete",
    about: "Asks the client's model, then answers with what the model said",
    input: Input::Arguments(&[&PROMPT]),
    run: |call| Box::pin(complete(call)),
};

const PROMPT: Text = Text { name: "prompt", about: "What to ask the model", bytes_max: TEXT_MAX };

async fn complete(call: Call) -> ToolResult {
    let said = sample(&call, call.text(&PROMPT)?).await?;
    Ok(text(format!("the model said: {said}")))
}
