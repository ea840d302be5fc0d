//! Requests to the client during a tool call.

use std::time::Duration;

use rejoin_local_client::{Client, next, outcome, response};
use serde_json::{Value, json};

use super::{connect, failure, text};
use crate::http::backend;

#[tokio::test(start_paused = true)]
async fn elicitation_is_sent_on_the_stream_of_the_call() {
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
        assert_eq!(request["params"]["requestedSchema"]["required"], json!(["answer"]));
        reply(&client, &request, result).await;
        let (before, response) = outcome(&mut connection).await;
        assert_eq!(before.len(), 0);
        assert_eq!(text(&response), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn sampling_is_sent_on_the_stream_of_the_call() {
    let client = connect().await;
    let mut connection = client.call(1, "complete", json!({ "prompt": "Once upon" })).await;
    let request = next(&mut connection).await.unwrap();
    assert_eq!(request["method"], "sampling/createMessage");
    assert_eq!(request["params"]["messages"][0]["content"]["text"], "Once upon");
    let result = json!({ "role": "assistant", "model": "m", "content": { "type": "text", "text": "a time" } });
    reply(&client, &request, result).await;
    let (_, response) = outcome(&mut connection).await;
    assert_eq!(text(&response), "the model said: a time");
}

#[tokio::test(start_paused = true)]
async fn requests_need_a_declared_capability() {
    let client = Client::connect_as(backend(), "2025-11-25", json!({})).await;
    let asked = response(client.call(1, "ask", json!({ "question": "?" })).await).await;
    assert_eq!(failure(&asked), "the client did not declare the capability `elicitation`");
    let completed = response(client.call(2, "complete", json!({ "prompt": "?" })).await).await;
    assert_eq!(failure(&completed), "the client did not declare the capability `sampling`");
}

#[tokio::test(start_paused = true)]
async fn an_undelivered_request_fails_the_call() {
    let client = connect().await;
    drop(client.call(1, "ask", json!({ "question": "?" })).await);
    tokio::time::sleep(Duration::from_secs(11)).await;
    let mut connection = client.session.resume("0/0".parse().unwrap()).unwrap();
    let (_, response) = outcome(&mut connection).await;
    let why = failure(&response);
    assert!(why.contains("no client was connected"), "{why}");
}

async fn reply(client: &Client, request: &Value, result: Value) {
    client.message(&json!({ "jsonrpc": "2.0", "id": request["id"], "result": result })).await;
}
