//! Routing of a child's messages, with and without the extensions for children.

use std::time::Duration;

use http::StatusCode;
use rejoin_test_support::{
    Client, HttpResponse, LATEST_REVISION, Program, script::serve, sse::Item, test_server_path,
};
use serde_json::{Value, json};
use tokio::time::timeout;

fn serve_test_server() -> Program {
    Program::serve(&["--", test_server_path()])
}

async fn connect(program: &Program) -> Client {
    let capabilities = json!({ "elicitation": {}, "sampling": {} });
    Client::initialize_with(&program.address, LATEST_REVISION, &capabilities).await
}

async fn reply(client: &Client, request: &Value, result: Value) {
    let reply = json!({ "jsonrpc": "2.0", "id": request["id"], "result": result });
    assert_eq!(client.post(&reply).await.status, StatusCode::ACCEPTED);
}

/// Waits for the next message, with a timeout.
async fn next_message(response: &mut HttpResponse) -> Value {
    timeout(Duration::from_secs(10), response.message()).await.unwrap().unwrap().json()
}

#[tokio::test]
async fn flood_of_a_child_is_complete() {
    let program = serve_test_server();
    let client = connect(&program).await;
    let mut call = client.call(1, "count", json!({ "total": 20_000, "interval_ms": 0 })).await;
    let messages = call.messages().await;
    let progress = messages.iter().filter_map(Item::progress);
    assert!(progress.eq(1..=20_000));
    assert!(messages.last().unwrap().is_response());
}

#[tokio::test]
async fn server_requests_are_sent_on_the_stream_of_their_request() {
    let program = serve_test_server();
    let client = connect(&program).await;
    let mut get = client.get(None).await;
    let mut waiting = client.call(1, "count", json!({ "total": 1, "interval_ms": 600_000 })).await;
    // With only one pending request, its stream would get the announcement.
    let _other = client.call(6, "count", json!({ "total": 1, "interval_ms": 600_000 })).await;
    let mut ask = client.call(2, "ask", json!({ "question": "Which?" })).await;
    let mut complete = client.call(3, "complete", json!({ "prompt": "Once" })).await;
    let mut log = client.call(4, "test_tool_with_logging", json!({})).await;

    let request = next_message(&mut ask).await;
    assert_eq!(request["method"], "elicitation/create");
    reply(&client, &request, json!({ "action": "accept", "content": { "answer": "this" } })).await;
    assert!(next_message(&mut ask).await["result"].to_string().contains("this"));

    let request = next_message(&mut complete).await;
    assert_eq!(request["method"], "sampling/createMessage");
    let sampled =
        json!({ "role": "assistant", "model": "m", "content": { "type": "text", "text": "upon" } });
    reply(&client, &request, sampled).await;
    assert!(next_message(&mut complete).await["result"].to_string().contains("upon"));

    let messages = log.messages().await;
    assert_eq!(messages.len(), 4);
    assert!(
        messages[..3].iter().all(|message| message.json()["method"] == "notifications/message")
    );

    client.call(5, "announce", json!({ "count": 1, "interval_ms": 1 })).await.response().await;
    let announced = next_message(&mut get).await;
    assert_eq!(announced["params"]["data"], "announcement 1 of 1");
    assert!(timeout(Duration::ZERO, waiting.message()).await.is_err());
}

#[tokio::test]
async fn client_polls_when_the_child_closes_its_stream() {
    let program = serve_test_server();
    let client = connect(&program).await;
    let mut call = client.call(1, "poll", json!({ "ms": 300 })).await;
    let mut retry = None;
    while let Some(event) = call.next().await {
        assert_eq!(event.json(), Value::Null);
        retry = event.retry().or(retry);
    }
    assert_eq!(retry, Some(Duration::from_millis(300)));
    let mut resumed = client.get(call.last_event_id.as_deref()).await;
    let response = resumed.response().await;
    assert_eq!(
        response["result"]["content"][0]["text"],
        "rejoin was asked to have the connection closed meanwhile"
    );
}

#[tokio::test]
async fn client_that_cannot_resume_keeps_its_connection() {
    let program = serve_test_server();
    let client = Client::initialize_with(&program.address, "2025-06-18", &json!({})).await;
    let mut call = client.call(1, "poll", json!({ "ms": 10 })).await;
    assert!(call.message().await.unwrap().is_response());
}

/// Sends a server request when it is called, and returns the client's response.
const SENDS_REQUEST: &str = r#"
    receive
    call=$id
    echo '{"jsonrpc":"2.0","id":"q","method":"roots/list"}'
    receive
    id=$call
    respond "{\"received\":$line}"
    receive"#;

#[tokio::test]
async fn unrelated_server_request_is_sent_on_the_only_pending_stream() {
    let program = serve(&[], SENDS_REQUEST);
    let client = connect(&program).await;
    let mut get = client.get(None).await;
    let mut call = client.call(1, "any", json!({})).await;
    let request = next_message(&mut call).await;
    assert_eq!(request["method"], "roots/list");
    reply(&client, &request, json!({ "roots": [] })).await;
    assert_eq!(next_message(&mut call).await["result"]["received"]["id"], "q");
    assert!(timeout(Duration::ZERO, get.message()).await.is_err());
}

#[tokio::test]
async fn unrelated_server_request_is_sent_on_the_standalone_stream_if_configured() {
    let program = serve(&["--route-unrelated", "standalone"], SENDS_REQUEST);
    let client = connect(&program).await;
    let mut get = client.get(None).await;
    let mut call = client.call(1, "any", json!({})).await;
    let request = next_message(&mut get).await;
    reply(&client, &request, json!({ "roots": [] })).await;
    assert!(next_message(&mut call).await["result"].is_object());
}
