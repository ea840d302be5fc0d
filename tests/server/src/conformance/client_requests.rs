//! Tools that send requests to the client.

use rmcp::model::{ElicitResult, ElicitationAction};
use serde_json::{Value, json};

use crate::{
    argument::Text,
    client_requests::{elicit, sample},
    tool::{Call, Input, Tool, ToolResult, text},
};

pub(super) const SAMPLING: Tool = Tool {
    name: "test_sampling",
    about: "Sends a sampling request to the client",
    input: Input::Arguments(&[&PROMPT]),
    run: |call| Box::pin(sampling(call)),
};

pub(super) const ELICITATION: Tool = Tool {
    name: "test_elicitation",
    about: "Sends an elicitation request to the client",
    input: Input::Arguments(&[&MESSAGE]),
    run: |call| Box::pin(elicitation(call)),
};

pub(super) const DEFAULTS: Tool = Tool {
    name: "test_elicitation_sep1034_defaults",
    about: "Sends an elicitation request with a default for every type",
    input: Input::Arguments(&[]),
    run: |call| Box::pin(review(call, defaults)),
};

pub(super) const ENUMS: Tool = Tool {
    name: "test_elicitation_sep1330_enums",
    about: "Sends an elicitation request with every kind of enum",
    input: Input::Arguments(&[]),
    run: |call| Box::pin(review(call, enums)),
};

const PROMPT: Text =
    Text { name: "prompt", about: "The prompt to send to the LLM", bytes_max: 64 << 10 };

const MESSAGE: Text =
    Text { name: "message", about: "The message to show the user", bytes_max: 64 << 10 };

async fn sampling(call: Call) -> ToolResult {
    let completion = sample(&call, call.text(&PROMPT)?).await?;
    Ok(text(format!("LLM response: {completion}")))
}

async fn elicitation(call: Call) -> ToolResult {
    let schema = json!({
        "type": "object",
        "properties": {
            "username": { "type": "string", "description": "User's response" },
            "email": { "type": "string", "description": "User's email address" },
        },
        "required": ["username", "email"],
    });
    let result = elicit(&call, call.text(&MESSAGE)?, schema).await?;
    let (action, content) = describe(result);
    Ok(text(format!("User response: action: {action}, content: {content}")))
}

async fn review(call: Call, schema: fn() -> Value) -> ToolResult {
    let result = elicit(&call, "Please review and update the form fields", schema()).await?;
    let (action, content) = describe(result);
    Ok(text(format!("Elicitation completed: action={action}, content={content}")))
}

fn describe(result: ElicitResult) -> (&'static str, Value) {
    let action = match result.action {
        ElicitationAction::Accept => "accept",
        ElicitationAction::Decline => "decline",
        ElicitationAction::Cancel | _ => "cancel",
    };
    (action, result.content.unwrap_or_else(|| json!({})))
}

fn defaults() -> Value {
    json!({
        "type": "object",
        "properties": {
            "name": { "type": "string", "default": "John Doe" },
            "age": { "type": "integer", "default": 30 },
            "score": { "type": "number", "default": 95.5 },
            "status": {
                "type": "string",
                "enum": ["active", "inactive", "pending"],
                "default": "active",
            },
            "verified": { "type": "boolean", "default": true },
        },
        "required": [],
    })
}

fn enums() -> Value {
    let options = json!(["option1", "option2", "option3"]);
    let titled = json!([
        { "const": "value1", "title": "First Option" },
        { "const": "value2", "title": "Second Option" },
        { "const": "value3", "title": "Third Option" },
    ]);
    json!({
        "type": "object",
        "properties": {
            "untitledSingle": { "type": "string", "enum": options },
            "titledSingle": { "type": "string", "oneOf": titled },
            "legacyEnum": {
                "type": "string",
                "enum": ["opt1", "opt2", "opt3"],
                "enumNames": ["Option One", "Option Two", "Option Three"],
            },
            "untitledMulti": { "type": "array", "items": { "type": "string", "enum": options } },
            "titledMulti": { "type": "array", "items": { "anyOf": titled } },
        },
        "required": [],
    })
}
