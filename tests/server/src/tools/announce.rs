//! The `announce` tool: log messages after its response.

use crate::{
    argument::Number,
    tool::{Call, Input, Tool, ToolResult, ready, text},
};

pub(super) const TOOL: Tool = Tool {
    name: "announce",
    about: "Responds immediately, then sends log messages that belong to no request",
    input: Input::Arguments(&[&COUNT, &INTERVAL]),
    run: |call| ready(announce(&call)),
};

const COUNT: Number =
    Number { name: "count", about: "How many messages to send", min: 1, max: 100_000 };

/// At least 1 ms, so that the response is sent first.
const INTERVAL: Number = Number { min: 1, ..super::INTERVAL };

fn announce(call: &Call) -> ToolResult {
    let count = call.number(&COUNT)?;
    let interval = call.millis(&INTERVAL)?;
    let (peer, log) = (call.context.peer.clone(), call.state.log.clone());
    call.state.background.start(async move {
        for number in 1..=count {
            tokio::time::sleep(interval).await;
            let Some(message) = log.info(&format!("announcement {number} of {count}")) else {
                continue;
            };
            if peer.send_notification(message).await.is_err() {
                return;
            }
        }
    })?;
    Ok(text(format!("{count} announcements follow")))
}
