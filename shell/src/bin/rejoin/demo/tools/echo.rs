//! Answers at once.

use crate::demo::{
    argument::Text,
    tool::{Answer, Call, Input, Tool, at_once, text},
};

pub(super) const TOOL: Tool = Tool {
    name: "echo",
    about: "Answers at once with the message",
    input: Input::Arguments(&[&MESSAGE]),
    run: |call| at_once(echo(&call)),
};

const MESSAGE: Text = Text { name: "message", about: "What to answer", bytes_max: 512 << 10 };

fn echo(call: &Call) -> Answer {
    Ok(text(call.text(&MESSAGE)?))
}
