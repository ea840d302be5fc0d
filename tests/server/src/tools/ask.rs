//! The `ask` tool: elicitation during a call.

use rmcp::model::ElicitationAction;
use serde_json::json;

use super::TEXT_MAX;
use crate::{
    argument::Text,
    client_requests::elicit,
    tool::{Call, Input, Tool, ToolResult, text},
};

pub(super) const TOOL: Tool = Tool {
    name: "ask",
    about: "Asks the user a question (elicitation) and returns the answer",
    input: Input::Arguments(&[&QUESTION]),
    run: |call| Box::pin(ask(call)),
};

const QUESTION: Text = Text { name: "question", about: "What to ask", bytes_max: TEXT_MAX };

async fn ask(call: Call) -> ToolResult {
    let schema = json!({
        "type": "object",
        "properties": { "answer": { "type": "string", "description": "The answer" } },
        "required": ["answer"],
    });
    let result = elicit(&call, call.text(&QUESTION)?, schema).await?;
    let outcome = match result.action {
        ElicitationAction::Accept => {
            let content = result.content.unwrap_or_default();
            let answer = content.get("answer").and_then(serde_json::Value::as_str);
            format!("the user said: {}", answer.unwrap_or_default())
        }
        ElicitationAction::Decline => "the user declined".to_owned(),
        ElicitationAction::Cancel | _ => "the user cancelled".to_owned(),
    };
    Ok(text(outcome))
}
