//! The `echo` tool: an immediate response.

use crate::{
    argument::Text,
    tool::{Call, Input, Tool, ToolResult, ready, text},
};

pub(super) const TOOL: Tool = Tool {
    name: "echo",
    about: "Returns the message immediately",
    input: Input::Arguments(&[&MESSAGE]),
    run: |call| ready(echo(&call)),
};

const MESSAGE: Text =
    Text { name: "message", about: "The message to return", bytes_max: 512 << 10 };

fn echo(call: &Call) -> ToolResult {
    Ok(text(call.text(&MESSAGE)?))
}
