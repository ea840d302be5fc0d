//! The `flood` tool: progress as fast as backpressure allows.

use crate::demo::{
    argument::Number,
    tool::{Call, Input, Tool, ToolError, ToolResult, text},
};

pub(super) const TOOL: Tool = Tool {
    name: "flood",
    about: "Reports progress as fast as the client reads it, then responds",
    input: Input::Arguments(&[&EVENTS]),
    run: |call| Box::pin(flood(call)),
};

const EVENTS: Number =
    Number { name: "events", about: "Number of progress events", min: 1, max: 1_000_000 };

async fn flood(call: Call) -> ToolResult {
    let events = call.number(&EVENTS)?;
    call.progress_token().ok_or(ToolError::NoProgressToken)?;
    for event in 1..=events {
        call.report(event, events).await?;
    }
    Ok(text(format!("sent {events} events")))
}
