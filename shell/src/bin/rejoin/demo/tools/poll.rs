//! Has the client come back for the answer.

use super::MILLIS;
use crate::demo::tool::{Answer, Call, Closing, Input, Tool, text};

pub(super) const TOOL: Tool = Tool {
    name: "poll",
    about: "Closes the connection of the call, tells the client when to come back, and has the answer then",
    input: Input::Arguments(&[&MILLIS]),
    run: |call| Box::pin(poll(call)),
};

async fn poll(call: Call) -> Answer {
    let time = call.millis(&MILLIS)?;
    let closed = call.close_stream(time).await;
    call.wait(time).await?;
    Ok(text(match closed {
        Ok(Closing::Done) => "the connection was closed meanwhile".to_owned(),
        Ok(Closing::AskedFor) => "the connection was to be closed meanwhile".to_owned(),
        Err(error) => format!("the connection was left open: {error}"),
    }))
}
