//! The same conversation over stdio and over HTTP.

use rejoin_test_support::{Client, LATEST_REVISION, Program, initialize};
use serde_json::{Value, json};

use crate::application::Application;

/// The calls of a conversation, each with its tool and arguments.
fn calls() -> Vec<(i64, &'static str, Value)> {
    let echo = |text: &str| json!({ "message": text });
    vec![
        (1, "echo", echo("line\nbreaks \u{2028} \"quotes\" é")),
        (2, "count", json!({ "total": 20, "interval_ms": 1 })),
        (3, "echo", echo(&"x".repeat(300_000))),
        (4, "poll", json!({ "ms": 20 })),
        (5, "ask", json!({ "question": "why?" })),
        (6, "nosuch", json!({})),
    ]
}

fn answer(request: &Value) -> Value {
    let result = json!({ "action": "accept", "content": { "answer": "because" } });
    json!({ "jsonrpc": "2.0", "id": request["id"], "result": result })
}

#[tokio::test]
async fn same_messages_arrive_over_stdio_and_over_http() {
    let program = Program::serve(&[]);
    let mut over_http = Vec::new();
    let client =
        Client::initialize_with(&program.address, LATEST_REVISION, &json!({ "elicitation": {} }))
            .await;
    for (id, tool, arguments) in calls() {
        let mut call = client.call(id, tool, arguments).await;
        loop {
            let Some(message) = call.message().await else {
                let last = call.last_event_id.clone();
                call = client.get(last.as_deref()).await;
                continue;
            };
            let message = message.json();
            if message["method"] == "elicitation/create" {
                client.post(&answer(&message)).await;
            }
            let is_response = message.get("method").is_none();
            over_http.push(message);
            if is_response {
                break;
            }
        }
    }
    client.delete().await;

    let mut application = Application::initialize(&program.url, &[]);
    let mut over_stdio = Vec::new();
    for (id, tool, arguments) in calls() {
        application.call(id, tool, &arguments);
        loop {
            let message = application.next();
            if message["method"] == "elicitation/create" {
                application.send(&answer(&message));
            }
            let is_response = message.get("method").is_none();
            over_stdio.push(message);
            if is_response {
                break;
            }
        }
    }
    assert!(over_http.len() > 20);
    assert_eq!(over_stdio, over_http);
    let (status, rest) = application.leave();
    assert!(status.success());
    assert_eq!(rest, [] as [Value; 0]);
}

#[test]
fn lines_that_are_not_messages_get_an_error() {
    let program = Program::serve(&[]);
    let mut application = Application::start(&program.url, &[]);
    application.send(&json!("text"));
    assert_eq!(application.next()["error"]["code"], -32_600);
    application.call(1, "echo", &json!({ "message": "m" }));
    let (early, _) = application.response(1);
    assert_eq!(early["error"]["message"], "not sent: the session is not initialized");
    assert_eq!(early["error"]["data"]["executed"], "no");
    application.send(&initialize(LATEST_REVISION, &json!({})));
    assert!(application.response(0).0["result"].is_object());
    application.send(&json!([
        { "jsonrpc": "2.0", "method": "notifications/initialized" },
        { "jsonrpc": "2.0", "id": 2, "method": "ping" },
    ]));
    assert!(application.response(2).0["result"].is_object());
}
