//! Has the client come back for the answer.

use rejoin::AnswerStream;

use super::MILLIS;
use crate::demo::tool::{Answer, Call, Input, Tool, text};

pub(super) const TOOL: Tool = Tool {
    name: "poll",
    about: "Closes the connection of the call, tells the client when to come back, and has the answer then",
    input: Input::Arguments(&[&MILLIS]),
    run: |call| Box::pin(poll(call)),
};

async fn poll(call: Call) -> Answer {
    let time = call.millis(&MILLIS)?;
    let closed = call.context.close_stream(Some(time));
    call.wait(time).await?;
    Ok(text(match closed {
        Ok(()) => "the connection was closed meanwhile".to_owned(),
        Err(error) => format!("the connection was left open: {error}"),
    }))
}
