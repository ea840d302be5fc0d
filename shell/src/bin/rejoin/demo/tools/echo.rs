//! Answers at once.

use crate::demo::{
    argument::Text,
    tool::{Call, Input, Tool, ToolResult, ready, text},
};

pub(super) const TOOL: Tool = Tool {
    name: "echo",
    about: "Answers at once with the message",
    input: Input::Arguments(&[&MESSAGE]),
    run: |call| ready(echo(&call)),
};

const MESSAGE: Text = Text { name: "message", about: "What to answer", bytes_max: 512 << 10 };

fn echo(call: &Call) -> ToolResult {
    Ok(text(call.text(&MESSAGE)?))
}
