//! The `poll` tool: a response that the client has to poll for.

use crate::{
    argument::Number,
    tool::{Call, Disconnection, Input, Tool, ToolResult, text},
};

pub(super) const TOOL: Tool = Tool {
    name: "poll",
    about: "Closes the connection of the call, so that the client resumes after a delay and gets the response then",
    input: Input::Arguments(&[&MILLIS]),
    run: |call| Box::pin(poll(call)),
};

const MILLIS: Number =
    Number { name: "ms", about: "Delay before the response in milliseconds", min: 0, max: 600_000 };

async fn poll(call: Call) -> ToolResult {
    let time = call.millis(&MILLIS)?;
    let disconnected = call.disconnect(time).await;
    call.wait(time).await?;
    Ok(text(match disconnected {
        Ok(Disconnection::Done) => "the connection was closed meanwhile".to_owned(),
        Ok(Disconnection::Requested) => {
            "rejoin was asked to have the connection closed meanwhile".to_owned()
        }
        Err(error) => format!("the connection was left open: {error}"),
    }))
}
