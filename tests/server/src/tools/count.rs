//! The `count` tool: progress at an interval.

use super::INTERVAL;
use crate::{
    argument::Number,
    tool::{Call, Input, Tool, ToolResult, text},
};

pub(super) const TOOL: Tool = Tool {
    name: "count",
    about: "Counts up and reports progress at each step, then responds",
    input: Input::Arguments(&[&TOTAL, &INTERVAL]),
    run: |call| Box::pin(count(call)),
};

const TOTAL: Number = Number { name: "total", about: "How far to count", min: 1, max: 1_000_000 };

async fn count(call: Call) -> ToolResult {
    let total = call.number(&TOTAL)?;
    let interval = call.millis(&INTERVAL)?;
    for step in 1..=total {
        call.wait(interval).await?;
        call.report(step, total).await?;
    }
    Ok(text(format!("counted to {total}")))
}
