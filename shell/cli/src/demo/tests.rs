//! Tests of the demo server in paused time. The tests of the program call each of its tools.

use std::time::Duration;

use rejoin_local_client::{Client, next, outcome, response};
use serde_json::{Value, json};
use tokio::{
    runtime::Handle,
    time::{sleep, timeout},
};

use super::Demo;

/// Returns the text of a tool's error.
#[track_caller]
fn error(response: &Value) -> &str {
    assert_eq!(response["result"]["isError"], true, "{response}");
    response["result"]["content"][0]["text"].as_str().unwrap()
}

#[tokio::test(start_paused = true)]
async fn what_the_client_cannot_do_is_an_error() {
    let client = Client::connect_as(Demo, "2025-06-18", json!({})).await;
    let asked = response(client.call(1, "ask", json!({ "question": "?" })).await).await;
    assert_eq!(error(&asked), "the client did not declare `elicitation`");
    let completed = response(client.call(2, "complete", json!({ "prompt": "?" })).await).await;
    assert_eq!(error(&completed), "the client did not declare `sampling`");
    let polled = response(client.call(3, "poll", json!({ "ms": 10 })).await).await;
    assert!(error(&polled).contains("resume"), "{polled}");
}

#[tokio::test(start_paused = true)]
async fn tools_are_listed_with_their_arguments() {
    let client = Client::connect(Demo).await;
    let list = response(client.request(1, "tools/list", json!({})).await).await;
    let tools = list["result"]["tools"].as_array().unwrap();
    let count = tools.iter().find(|tool| tool["name"] == "count").unwrap();
    let integer = json!({ "type": "integer" });
    let schema = json!({
        "type": "object",
        "properties": { "total": integer, "interval_ms": integer },
        "required": ["total", "interval_ms"],
    });
    assert_eq!((tools.len(), &count["inputSchema"]), (6, &schema));
}

#[tokio::test(start_paused = true)]
async fn progress_is_sent_only_if_there_is_a_token() {
    let client = Client::connect(Demo).await;
    let call = json!({ "name": "count", "arguments": { "total": 2, "interval_ms": 1 } });
    let (before, response) = outcome(&mut client.request(1, "tools/call", call).await).await;
    assert_eq!(before, Vec::<Value>::new());
    assert_eq!(response["result"]["content"][0]["text"], "counted to 2");
}

#[tokio::test(start_paused = true)]
async fn a_user_can_decline_to_answer() {
    let client = Client::connect(Demo).await;
    let mut connection = client.call(1, "ask", json!({ "question": "?" })).await;
    let request = next(&mut connection).await.unwrap();
    let declined =
        json!({ "jsonrpc": "2.0", "id": request["id"], "result": { "action": "decline" } });
    client.message(&declined).await;
    let response = response(connection).await;
    assert_eq!(response["result"]["content"][0]["text"], "the user did not answer");
}

#[tokio::test(start_paused = true)]
async fn an_undelivered_server_request_fails_the_call() {
    let client = Client::connect(Demo).await;
    drop(client.call(1, "ask", json!({ "question": "?" })).await);
    sleep(Duration::from_secs(11)).await;
    let mut connection = client.session.resume("0/0".parse().unwrap()).unwrap();
    let (_, response) = outcome(&mut connection).await;
    assert!(error(&response).contains("no client was connected"), "{response}");
}

#[tokio::test(start_paused = true)]
async fn announcements_respect_the_log_level() {
    let client = Client::connect(Demo).await;
    let mut standalone = client.session.standalone().unwrap();
    let level = json!({ "level": "warning" });
    response(client.request(1, "logging/setLevel", level).await).await;
    let arguments = json!({ "count": 3, "interval_ms": 1 });
    response(client.call(2, "announce", arguments).await).await;
    let silence = timeout(Duration::from_secs(1), next(&mut standalone)).await;
    assert!(silence.is_err(), "{silence:?}");
}

#[tokio::test(start_paused = true)]
async fn calls_end_when_cancelled_or_with_the_session() {
    let client = Client::connect(Demo).await;
    let tasks = || Handle::current().metrics().num_alive_tasks();
    let idle = tasks();
    let arguments = json!({ "total": 1, "interval_ms": 600_000 });
    let _cancelled = client.call(1, "count", arguments.clone()).await;
    let _running = client.call(2, "count", arguments).await;
    client.notify("notifications/cancelled", json!({ "requestId": 1 })).await;
    sleep(Duration::from_secs(1)).await;
    assert_eq!(tasks(), idle + 1);
    client.session.delete().unwrap();
    sleep(Duration::from_secs(1)).await;
    // The task of the session has also ended.
    assert_eq!((client.sessions.sessions(), tasks()), (0, idle - 1));
}

#[tokio::test(start_paused = true)]
async fn pending_requests_fail_with_the_reason_of_the_backend() {
    let client = Client::connect(Demo).await;
    let arguments = json!({ "total": 1, "interval_ms": 600_000 });
    let running = client.call(1, "count", arguments).await;
    let number = r#"{"jsonrpc":"2.0","method":"n","params":{"too large":1e999}}"#;
    let message = rejoin::parse_message(number.into(), 0).unwrap();
    client.session.notify(message).await.unwrap();
    let response = response(running).await;
    let reason = response["error"]["message"].as_str().unwrap();
    assert!(reason.contains("cannot parse a message: number out of range"), "{reason}");
}
