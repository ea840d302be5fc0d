//! Texts of errors.

use std::time::Duration;

use http::{Method, StatusCode};
use rejoin_test_support::{
    Client, LATEST_REVISION, Program, initialize,
    script::{ECHO, serve},
};
use serde_json::{Value, json};
use tokio::time::timeout;

async fn message_of(client: &Client, id: i64) -> String {
    let end = async { client.call(id, "any", json!({})).await.response().await };
    let response = timeout(Duration::from_secs(10), end).await.unwrap();
    assert_eq!(response["error"]["code"], -32_603, "{response}");
    response["error"]["message"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn error_after_an_exit_has_the_status_and_the_last_line_of_stderr() {
    for (end, status) in [("exit 3", "exit status: 3"), ("kill -9 $$", "SIGKILL")] {
        let program =
            serve(&[], &format!("receive; echo first >&2; printf 'no\\033 db\\n' >&2; {end}"));
        let client = Client::initialize(&program.address).await;
        let message = message_of(&client, 1).await;
        assert!(message.contains(status), "{message}");
        assert!(message.ends_with(r"no\u{1b} db"), "{message}");
    }
}

#[tokio::test]
async fn unanswered_initialize_has_its_own_error() {
    let program = Program::serve(&["--init-timeout", "300ms", "--", "sleep", "1000"]);
    let new_client = Client::new(&program.address);
    let response = new_client.post(&initialize(LATEST_REVISION, &json!({}))).await.response().await;
    let message = response["error"]["message"].as_str().unwrap();
    assert_eq!(message, "the server did not answer `initialize` in time");
}

#[tokio::test]
async fn request_that_times_out_fails_and_is_cancelled() {
    // The call is not answered; the next one returns the message received in between.
    let script =
        r#"receive; receive; received=$line; receive; respond "{\"received\":$received}"; receive"#;
    let program = serve(&["--request-timeout", "300ms"], script);
    let client = Client::initialize(&program.address).await;
    assert!(message_of(&client, 1).await.contains("within 300ms"));
    let response = client.call(2, "any", json!({})).await.response().await;
    let received = &response["result"]["received"];
    assert_eq!(received["method"], "notifications/cancelled", "{response}");
    assert_eq!(received["params"]["requestId"], 1);
}

#[tokio::test]
async fn server_request_before_the_initialize_response_does_not_delay_it() {
    let server = r#"
        read -r line
        echo '{"jsonrpc":"2.0","id":"q","method":"roots/list"}'
        read -r received
        echo '{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-11-25","capabilities":{},"serverInfo":{"name":"s","version":"0"}}}'
        read -r line
        read -r line
        echo "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"received\":$received}}"
        read -r line"#;
    let program = Program::serve(&["--", "/bin/sh", "-c", server]);
    let client = timeout(Duration::from_secs(5), Client::initialize(&program.address));
    let client = client.await.unwrap();
    let response = client.call(1, "any", json!({})).await.response().await;
    assert_eq!(response["result"]["received"]["id"], "q", "{response}");
    assert!(response["result"]["received"]["error"].is_object(), "{response}");
}

#[tokio::test]
async fn deeply_nested_json_does_not_reach_the_server() {
    let program = serve(&[], ECHO);
    let client = Client::initialize(&program.address).await;
    let call = |id: i64, depth: usize| {
        let (open, close) = ("[".repeat(depth - 2), "]".repeat(depth - 2));
        format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"a","params":{{"a":{open}{close}}}}}"#)
    };
    let mut refused = client.send(Method::POST, call(1, 129), &[]).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    let refused = refused.json().await;
    assert_eq!((&refused["id"], &refused["error"]["code"]), (&json!(1), &json!(-32_600)));
    let message = refused["error"]["message"].as_str().unwrap();
    assert!(message.contains("128 levels"), "{message}");
    // The response that contains it is nested two levels deeper.
    let valid = call(2, 120);
    let received = client.send(Method::POST, valid.clone(), &[]).await.response().await;
    assert_eq!(
        received["result"]["received"],
        serde_json::from_str::<Value>(&valid).unwrap(),
        "{received}"
    );
}

#[tokio::test]
async fn byte_order_mark_before_a_body_is_ignored() {
    let program = serve(&[], ECHO);
    let client = Client::initialize(&program.address).await;
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "a" });
    let response = client.send(Method::POST, format!("\u{feff}{call}"), &[]).await.response().await;
    assert_eq!(response["result"]["received"], call);
}

#[tokio::test]
async fn nesting_limit_is_configurable() {
    let program = Program::serve(&["--max-json-depth", "8"]);
    let client = Client::initialize(&program.address).await;
    for (levels, status) in [(8, StatusCode::OK), (9, StatusCode::BAD_REQUEST)] {
        let (open, close) = ("[".repeat(levels - 2), "]".repeat(levels - 2));
        let body =
            format!(r#"{{"jsonrpc":"2.0","id":1,"method":"ping","params":{{"a":{open}{close}}}}}"#);
        let response = client.send(Method::POST, body, &[]).await;
        assert_eq!(response.status, status, "{levels} levels");
    }
}
