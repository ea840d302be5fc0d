//! Tools that send notifications or are disconnected while they run.

use std::time::Duration;

use crate::tool::{Call, Input, Tool, ToolResult, text};

pub(super) const LOGGING: Tool = Tool {
    name: "test_tool_with_logging",
    about: "Sends log messages while it runs",
    input: Input::Arguments(&[]),
    run: |call| Box::pin(logging(call)),
};

pub(super) const PROGRESS: Tool = Tool {
    name: "test_tool_with_progress",
    about: "Reports progress while it runs",
    input: Input::Arguments(&[]),
    run: |call| Box::pin(progress(call)),
};

pub(super) const RECONNECTION: Tool = Tool {
    name: "test_reconnection",
    about: "Closes the connection of the call before it responds",
    input: Input::Arguments(&[]),
    run: |call| Box::pin(reconnection(call)),
};

const STEP: Duration = Duration::from_millis(50);
const RETRY: Duration = Duration::from_millis(500);

async fn logging(call: Call) -> ToolResult {
    call.log("Tool execution started").await?;
    call.wait(STEP).await?;
    call.log("Tool processing data").await?;
    call.wait(STEP).await?;
    call.log("Tool execution completed").await?;
    Ok(text("Tool with logging executed successfully"))
}

async fn progress(call: Call) -> ToolResult {
    call.report(0, 100).await?;
    call.wait(STEP).await?;
    call.report(50, 100).await?;
    call.wait(STEP).await?;
    call.report(100, 100).await?;
    Ok(text("Tool with progress executed successfully"))
}

async fn reconnection(call: Call) -> ToolResult {
    // A client that cannot resume keeps its connection and gets the response there.
    let _ = call.disconnect(RETRY).await;
    call.wait(RETRY).await?;
    Ok(text("Reconnection test completed successfully"))
}
