//! A tool whose schema uses the features of JSON Schema 2020-12.

use serde_json::{Value, json};

use crate::tool::{Input, Tool, ready, text};

pub(super) const TOOL: Tool = Tool {
    name: "json_schema_2020_12_tool",
    about: "Tool with JSON Schema 2020-12 features",
    input: Input::Schema(schema),
    run: |call| {
        let called = format!("called with {}", Value::Object(call.arguments));
        ready(Ok(text(called)))
    },
};

fn schema() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": {
            "address": {
                "$anchor": "addressDef",
                "type": "object",
                "properties": { "street": { "type": "string" }, "city": { "type": "string" } },
            },
        },
        "properties": {
            "name": { "type": "string" },
            "address": { "$ref": "#/$defs/address" },
            "contactMethod": { "type": "string", "enum": ["phone", "email"] },
            "phone": { "type": "string" },
            "email": { "type": "string" },
        },
        "allOf": [{ "anyOf": [{ "required": ["phone"] }, { "required": ["email"] }] }],
        "if": {
            "properties": { "contactMethod": { "const": "phone" } },
            "required": ["contactMethod"],
        },
        "then": { "required": ["phone"] },
        "else": { "required": ["email"] },
        "additionalProperties": false,
    })
}
