//! Has the client come back for the answer.

use super::MILLIS;
use crate::demo::tool::{Call, Disconnection, Input, Tool, ToolResult, text};

pub(super) const TOOL: Tool = Tool {
    name: "poll",
    about: "Closes the connection of the call, tells the client when to come back, and has the answer then",
    input: Input::Arguments(&[&MILLIS]),
    run: |call| Box::pin(poll(call)),
};

async fn poll(call: Call) -> ToolResult {
    let time = call.millis(&MILLIS)?;
    let closed = call.disconnect(time).await;
    call.wait(time).await?;
    Ok(text(match closed {
        Ok(Disconnection::Done) => "the connection was closed meanwhile".to_owned(),
        Ok(Disconnection::Requested) => "the connection was to be closed meanwhile".to_owned(),
        Err(error) => format!("the connection was left open: {error}"),
    }))
}
