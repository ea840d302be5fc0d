//! The expectations of the conformance suite, without the suite.

use rejoin_local_client::{Client, next, outcome, response};
use serde_json::{Value, json};

use super::{connect, failure, text};

#[tokio::test(start_paused = true)]
async fn every_content_type_is_returned() {
    let client = connect().await;
    let cases: [(&str, &[&str]); 5] = [
        ("test_simple_text", &["text"]),
        ("test_image_content", &["image"]),
        ("test_audio_content", &["audio"]),
        ("test_embedded_resource", &["resource"]),
        ("test_multiple_content_types", &["text", "image", "resource"]),
    ];
    for (id, (tool, types)) in (1..).zip(cases) {
        let response = response(client.call(id, tool, json!({})).await).await;
        let content = response["result"]["content"].as_array().unwrap();
        let answered: Vec<_> =
            content.iter().map(|block| block["type"].as_str().unwrap()).collect();
        assert_eq!(answered, types);
    }
    let failed = response(client.call(6, "test_error_handling", json!({})).await).await;
    assert_eq!(failure(&failed), "This tool intentionally returns an error for testing");
}

#[tokio::test(start_paused = true)]
async fn notifications_of_a_tool_come_before_its_response() {
    let client = connect().await;
    let mut connection = client.call(1, "test_tool_with_logging", json!({})).await;
    let (logs, _) = outcome(&mut connection).await;
    let logs: Vec<_> = logs.iter().map(|log| log["params"]["data"].as_str().unwrap()).collect();
    let expected = ["Tool execution started", "Tool processing data", "Tool execution completed"];
    assert_eq!(logs, expected);
    let mut connection = client.call(2, "test_tool_with_progress", json!({})).await;
    let (steps, _) = outcome(&mut connection).await;
    let steps: Vec<_> =
        steps.iter().map(|step| step["params"]["progress"].as_f64().unwrap()).collect();
    assert_eq!(steps, [0.0, 50.0, 100.0]);
}

#[tokio::test(start_paused = true)]
async fn test_reconnection_delivers_its_response_to_the_resuming_client() {
    let client = connect().await;
    let mut connection = client.call(1, "test_reconnection", json!({})).await;
    assert_eq!(next(&mut connection).await, None);
    let mut connection = client.session.resume("1/0".parse().unwrap()).unwrap();
    let (_, response) = outcome(&mut connection).await;
    assert_eq!(text(&response), "Reconnection test completed successfully");
}

#[tokio::test(start_paused = true)]
async fn sampling_and_elicitation_match_the_suite() {
    let client = connect().await;
    let prompt = json!({ "prompt": "Test prompt" });
    let reply =
        json!({ "role": "assistant", "model": "m", "content": { "type": "text", "text": "hi" } });
    let (_, response) = call_and_reply(&client, 1, "test_sampling", prompt, reply).await;
    assert_eq!(text(&response), "LLM response: hi");

    let reply = json!({ "action": "accept", "content": { "username": "u", "email": "e" } });
    let message = json!({ "message": "Who are you?" });
    let (request, response) = call_and_reply(&client, 2, "test_elicitation", message, reply).await;
    let schema = &request["params"]["requestedSchema"];
    assert_eq!(schema["required"], json!(["username", "email"]));
    assert_eq!(
        text(&response),
        r#"User response: action: accept, content: {"email":"e","username":"u"}"#
    );
}

#[tokio::test(start_paused = true)]
async fn elicitation_schemas_reach_the_client_unchanged() {
    let client = connect().await;
    let tool = "test_elicitation_sep1034_defaults";
    let reply = json!({ "action": "decline" });
    let (request, response) = call_and_reply(&client, 1, tool, json!({}), reply.clone()).await;
    let properties = &request["params"]["requestedSchema"]["properties"];
    assert_eq!(properties["name"], json!({ "type": "string", "default": "John Doe" }));
    assert_eq!(properties["age"], json!({ "type": "integer", "default": 30 }));
    assert_eq!(properties["score"], json!({ "type": "number", "default": 95.5 }));
    assert_eq!(properties["status"]["default"], "active");
    assert_eq!(properties["status"]["enum"], json!(["active", "inactive", "pending"]));
    assert_eq!(properties["verified"], json!({ "type": "boolean", "default": true }));
    assert_eq!(text(&response), "Elicitation completed: action=decline, content={}");

    let tool = "test_elicitation_sep1330_enums";
    let (request, _) = call_and_reply(&client, 2, tool, json!({}), reply).await;
    let properties = &request["params"]["requestedSchema"]["properties"];
    let options = json!(["option1", "option2", "option3"]);
    assert_eq!(properties["untitledSingle"], json!({ "type": "string", "enum": options }));
    assert_eq!(properties["titledSingle"]["oneOf"][1]["const"], "value2");
    assert_eq!(properties["titledSingle"]["oneOf"][1]["title"], "Second Option");
    assert_eq!(properties["titledSingle"]["enum"], Value::Null);
    assert_eq!(properties["legacyEnum"]["enum"], json!(["opt1", "opt2", "opt3"]));
    assert_eq!(properties["legacyEnum"]["enumNames"][2], "Option Three");
    let items = json!({ "type": "string", "enum": options });
    assert_eq!(properties["untitledMulti"]["type"], "array");
    assert_eq!(properties["untitledMulti"]["items"], items);
    assert_eq!(properties["titledMulti"]["items"]["anyOf"][0]["title"], "First Option");
}

#[tokio::test(start_paused = true)]
async fn tool_schemas_reach_the_client_unchanged() {
    let client = connect().await;
    let response = response(client.request(1, "tools/list", json!({})).await).await;
    let tools = response["result"]["tools"].as_array().unwrap();
    let tool = tools.iter().find(|tool| tool["name"] == "json_schema_2020_12_tool").unwrap();
    let schema = &tool["inputSchema"];
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert_eq!(schema["$defs"]["address"]["$anchor"], "addressDef");
    assert_eq!(schema["additionalProperties"], false);
    for keyword in ["allOf", "if", "then", "else"] {
        assert!(!schema[keyword].is_null(), "{keyword}");
    }
}

/// Calls a tool that sends a request to the client, and replies. Returns the request and the
/// response of the tool.
async fn call_and_reply(
    client: &Client,
    id: i64,
    tool: &str,
    arguments: Value,
    reply: Value,
) -> (Value, Value) {
    let mut connection = client.call(id, tool, arguments).await;
    let request = next(&mut connection).await.unwrap();
    client.message(&json!({ "jsonrpc": "2.0", "id": request["id"], "result": reply })).await;
    let (_, response) = outcome(&mut connection).await;
    (request, response)
}
