//! The demo server behind a session manager, in paused time.

use std::{future::poll_fn, time::Duration};

use rejoin::SseEvent;
use rejoin_core::{AnswerFormat, EventId, StreamId};
use rejoin_local_client::{Client, next, outcome, response};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use super::{CALLS_MAX, Demo};

async fn connect() -> Client {
    Client::connect(Demo).await
}

/// Returns the text of a successful tool call.
#[track_caller]
fn text(response: &Value) -> &str {
    assert_eq!(response["result"]["isError"], false, "{response}");
    response["result"]["content"][0]["text"].as_str().unwrap()
}

/// Returns the error text of a failed tool call.
#[track_caller]
fn failure(response: &Value) -> &str {
    assert_eq!(response["result"]["isError"], true, "{response}");
    response["result"]["content"][0]["text"].as_str().unwrap()
}

async fn reply(client: &Client, request: &Value, result: Value) {
    client.message(&json!({ "jsonrpc": "2.0", "id": request["id"], "result": result })).await;
}

#[tokio::test(start_paused = true)]
async fn tools_are_listed_with_their_schemas() {
    let client = connect().await;
    assert!(client.session.initialized().unwrap().logging);
    let response = response(client.request(1, "tools/list", json!({})).await).await;
    let tools = response["result"]["tools"].as_array().unwrap();
    assert!(tools.iter().all(|tool| tool["inputSchema"]["type"] == "object"));
    let count = tools.iter().find(|tool| tool["name"] == "count").unwrap();
    assert_eq!(count["inputSchema"]["required"], json!(["total", "interval_ms"]));
}

#[tokio::test(start_paused = true)]
async fn echo_responds_immediately() {
    let client = connect().await;
    let started = Instant::now();
    let response = response(client.call(1, "echo", json!({ "message": "hello" })).await).await;
    assert_eq!(text(&response), "hello");
    assert_eq!(started.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn count_reports_every_step_to_a_client_with_a_progress_token() {
    let client = connect().await;
    let arguments = json!({ "total": 5, "interval_ms": 100 });
    let mut connection = client.call(1, "count", arguments.clone()).await;
    let started = Instant::now();
    let (before, after) = outcome(&mut connection).await;
    assert_eq!(started.elapsed(), Duration::from_millis(500));
    let steps = before.iter().map(|step| step["params"].clone());
    assert!(steps.eq((1..=5).map(|at| json!({ "progressToken": 1, "progress": at, "total": 5 }))));
    assert_eq!(text(&after), "counted to 5");

    let params = json!({ "name": "count", "arguments": arguments });
    response(client.request(2, "tools/call", params).await).await;
}

#[tokio::test(start_paused = true)]
async fn a_reading_client_gets_every_event_of_a_flood() {
    let client = connect().await;
    let arguments = json!({ "total": 20_000, "interval_ms": 0 });
    let mut connection = client.call(1, "count", arguments).await;
    let (before, response) = outcome(&mut connection).await;
    assert_eq!(before.len(), 20_000);
    assert_eq!(text(&response), "counted to 20000");
}

#[tokio::test(start_paused = true)]
async fn ask_elicits_on_the_stream_of_the_call() {
    let accepted = json!({ "action": "accept", "content": { "answer": "blue" } });
    let cases = [
        (accepted, "the user said: blue"),
        (json!({ "action": "decline" }), "the user declined"),
        (json!({ "action": "cancel" }), "the user cancelled"),
    ];
    let client = connect().await;
    let _standalone = client.session.standalone().unwrap();
    for (id, (result, expected)) in (1..).zip(cases) {
        let mut connection = client.call(id, "ask", json!({ "question": "Which colour?" })).await;
        let request = next(&mut connection).await.unwrap();
        assert_eq!(request["method"], "elicitation/create");
        assert_eq!(request["params"]["message"], "Which colour?");
        reply(&client, &request, result).await;
        assert_eq!(text(&response(connection).await), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn complete_samples_on_the_stream_of_the_call() {
    let client = connect().await;
    let mut connection = client.call(1, "complete", json!({ "prompt": "Once upon" })).await;
    let request = next(&mut connection).await.unwrap();
    assert_eq!(request["method"], "sampling/createMessage");
    assert_eq!(request["params"]["messages"][0]["content"]["text"], "Once upon");
    let content = json!({ "type": "text", "text": "a time" });
    reply(&client, &request, json!({ "role": "assistant", "model": "m", "content": content }))
        .await;
    assert_eq!(text(&response(connection).await), "the model said: a time");
}

#[tokio::test(start_paused = true)]
async fn server_requests_need_a_declared_capability() {
    let client = Client::connect_as(Demo, "2025-11-25", json!({})).await;
    let asked = response(client.call(1, "ask", json!({ "question": "?" })).await).await;
    assert_eq!(failure(&asked), "the client did not declare `elicitation`");
    let completed = response(client.call(2, "complete", json!({ "prompt": "?" })).await).await;
    assert_eq!(failure(&completed), "the client did not declare `sampling`");
}

#[tokio::test(start_paused = true)]
async fn an_undelivered_server_request_fails_the_call() {
    let client = connect().await;
    drop(client.call(1, "ask", json!({ "question": "?" })).await);
    sleep(Duration::from_secs(11)).await;
    let mut connection = client.session.resume("0/0".parse().unwrap()).unwrap();
    let (_, response) = outcome(&mut connection).await;
    let why = failure(&response);
    assert!(why.contains("no client was connected"), "{why}");
}

#[tokio::test(start_paused = true)]
async fn poll_disconnects_and_responds_after_the_reconnect() {
    let client = connect().await;
    let mut connection = client.call(1, "poll", json!({ "ms": 2_000 })).await;
    let mut events = Vec::new();
    let started = Instant::now();
    while poll_fn(|cx| connection.poll_events(cx, &mut events)).await {}
    assert_eq!(started.elapsed(), Duration::ZERO);
    let retry = Some(Duration::from_secs(2));
    let id = EventId::new(StreamId::Request(0), 1);
    assert_eq!(events.last(), Some(&SseEvent::Priming { id, retry }));
    let resumed = client.session.resume(id).unwrap();
    assert_eq!(text(&response(resumed).await), "the connection was closed meanwhile");
    assert_eq!(started.elapsed(), Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn poll_keeps_the_connection_of_a_client_that_cannot_resume() {
    let client = Client::connect_as(Demo, "2025-06-18", json!({})).await;
    let response = response(client.call(1, "poll", json!({ "ms": 10 })).await).await;
    assert!(text(&response).starts_with("the connection was left open: "), "{response}");
}

#[tokio::test(start_paused = true)]
async fn announcements_follow_the_response_on_the_standalone_stream() {
    let client = connect().await;
    let mut standalone = client.session.standalone().unwrap();
    let started = Instant::now();
    let arguments = json!({ "count": 3, "interval_ms": 1_000 });
    let response = response(client.call(1, "announce", arguments).await).await;
    assert_eq!(started.elapsed(), Duration::ZERO);
    assert_eq!(text(&response), "3 announcements follow");
    for number in 1..=3 {
        let message = next(&mut standalone).await.unwrap();
        assert_eq!(message["params"]["data"], format!("announcement {number} of 3"));
        assert_eq!(started.elapsed(), Duration::from_secs(number));
    }
}

#[tokio::test(start_paused = true)]
async fn announcements_respect_the_log_level() {
    let client = connect().await;
    let mut standalone = client.session.standalone().unwrap();
    let level = json!({ "level": "warning" });
    response(client.request(1, "logging/setLevel", level).await).await;
    let arguments = json!({ "count": 3, "interval_ms": 1 });
    response(client.call(2, "announce", arguments).await).await;
    let silence = timeout(Duration::from_secs(1), next(&mut standalone)).await;
    assert!(silence.is_err(), "{silence:?}");
}

#[tokio::test(start_paused = true)]
async fn calls_of_a_session_are_limited_until_they_are_complete() {
    let client = connect().await;
    let arguments = json!({ "count": 1, "interval_ms": 1_000 });
    let calls = i64::try_from(CALLS_MAX).unwrap();
    for id in 1..=calls {
        text(&response(client.call(id, "announce", arguments.clone()).await).await);
    }
    let refused = response(client.call(calls + 1, "announce", arguments.clone()).await).await;
    assert_eq!(refused["error"]["message"], "the session has 1000 calls already");
    sleep(Duration::from_secs(2)).await;
    text(&response(client.call(calls + 2, "announce", arguments).await).await);
}

#[tokio::test(start_paused = true)]
async fn calls_end_with_the_session() {
    let client = connect().await;
    let arguments = json!({ "count": 100_000, "interval_ms": 60_000 });
    response(client.call(1, "announce", arguments).await).await;
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    client.session.delete().unwrap();
    // The task of the session, and the call.
    sleep(Duration::from_secs(1)).await;
    assert_eq!((client.sessions.sessions(), tasks()), (0, before - 2));
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_call_stops() {
    let client = connect().await;
    let arguments = json!({ "total": 100_000, "interval_ms": 1_000 });
    let mut connection = client.call(1, "count", arguments).await;
    assert_eq!(next(&mut connection).await.unwrap()["params"]["progress"], 1);
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    client.notify("notifications/cancelled", json!({ "requestId": 1 })).await;
    assert_eq!(next(&mut connection).await, None);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(tasks(), before - 1);
}

#[tokio::test(start_paused = true)]
async fn errors_name_the_unknown_tool_method_or_argument() {
    let client = connect().await;
    let cases = [
        ("tools/call", json!({ "name": "sing", "arguments": {} }), "unknown variant `sing`"),
        ("tools/call", json!({ "name": "echo", "arguments": {} }), "missing field `message`"),
        ("prompts/list", json!({}), "unknown method `prompts/list`"),
    ];
    for (id, (method, params, expected)) in (1..).zip(cases) {
        let response = response(client.request(id, method, params).await).await;
        let message = response["error"]["message"].as_str().unwrap();
        assert!(message.starts_with(expected), "{message}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_that_cannot_be_parsed_fails_with_a_reason() {
    let client = connect().await;
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{"number":1e999}}"#;
    let post = rejoin::parse_message(ping.into(), 0).unwrap();
    let response = response(client.session.request(post, AnswerFormat::Sse).await.unwrap()).await;
    let message = response["error"]["message"].as_str().unwrap();
    assert!(message.contains("cannot parse a message: number out of range"), "{message}");
}
