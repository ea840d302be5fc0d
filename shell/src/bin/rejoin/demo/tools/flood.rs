//! Says more than a reader can take.

use crate::demo::{
    argument::Number,
    tool::{Call, Input, Tool, ToolError, ToolResult, text},
};

pub(super) const TOOL: Tool = Tool {
    name: "flood",
    about: "Reports progress as fast as the client reads it, then answers",
    input: Input::Arguments(&[&EVENTS]),
    run: |call| Box::pin(flood(call)),
};

const EVENTS: Number =
    Number { name: "events", about: "How many reports to send", min: 1, max: 1_000_000 };

async fn flood(call: Call) -> ToolResult {
    let events = call.number(&EVENTS)?;
    call.progress_token().ok_or(ToolError::NoProgressToken)?;
    for event in 1..=events {
        call.report(event, events).await?;
    }
    Ok(text(format!("sent {events} events")))
}
