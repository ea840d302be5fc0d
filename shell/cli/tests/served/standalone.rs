//! The standalone stream.

use http::StatusCode;
use rejoin_test_support::{Client, LATEST_REVISION};
use serde_json::{Value, json};

use crate::serve;

async fn announce(client: &Client, id: i64, count: u64) {
    let arguments = json!({ "count": count, "interval_ms": 1 });
    let response = client.call(id, "announce", arguments).await.response().await;
    assert_ne!(response["result"]["isError"], true, "{response}");
}

#[tokio::test]
async fn notifications_before_the_first_get_are_delivered() {
    let program = serve(&[]);
    let client = Client::initialize(&program.address).await;
    announce(&client, 1, 3).await;
    client.call(2, "count", json!({ "total": 1, "interval_ms": 100 })).await.response().await;
    let mut get = client.get(None).await;
    for _ in 0..3 {
        assert_eq!(get.message().await.unwrap().json()["method"], "notifications/message");
    }
}

#[tokio::test]
async fn a_second_get_is_promoted_when_the_first_closes() {
    let program = serve(&[]);
    let client = Client::initialize(&program.address).await;
    let mut first = client.get(None).await;
    let mut second = client.get(None).await;
    assert_eq!(second.status, StatusCode::OK);
    announce(&client, 1, 1).await;
    assert!(first.message().await.is_some());
    drop(first);
    announce(&client, 2, 1).await;
    assert!(second.message().await.is_some());
}

#[tokio::test]
async fn a_resume_replaces_a_connection_lost_unnoticed() {
    let program = serve(&[]);
    let client = Client::initialize(&program.address).await;
    let mut lost = client.get(None).await;
    announce(&client, 1, 1).await;
    lost.message().await.unwrap();
    let mut resumed = client.get(lost.last_event_id.as_deref()).await;
    announce(&client, 2, 1).await;
    assert!(resumed.message().await.is_some());
}

#[tokio::test]
async fn priming_events_have_ids_of_their_own_stream() {
    let program = serve(&[]);
    let client = Client::initialize(&program.address).await;
    let mut call = client.call(1, "echo", json!({ "message": "m" })).await;
    let priming = call.next().await.unwrap();
    assert_eq!((priming.id().as_deref(), priming.json()), (Some("0/0"), Value::Null));
    let mut get = client.get(None).await;
    assert_eq!(get.next().await.unwrap().id().as_deref(), Some("0"));
}

#[tokio::test]
async fn older_revisions_get_no_priming_event() {
    let program = serve(&[]);
    for version in ["2025-03-26", "2025-06-18"] {
        let client = Client::initialize_with(&program.address, version, &json!({})).await;
        let mut call = client.call(1, "echo", json!({ "message": "m" })).await;
        let mut first = call.next().await.unwrap();
        while first.is_comment() {
            first = call.next().await.unwrap();
        }
        assert!(first.is_response());
    }
}

#[tokio::test]
async fn the_client_answers_a_server_request_during_a_call() {
    let program = serve(&[]);
    let capabilities = json!({ "elicitation": {}, "sampling": {} });
    let client = Client::initialize_with(&program.address, LATEST_REVISION, &capabilities).await;
    let mut call = client.call(1, "ask", json!({ "question": "Which?" })).await;
    let request = call.message().await.unwrap().json();
    assert_eq!(request["method"], "elicitation/create");
    let result = json!({ "action": "accept", "content": { "answer": "this" } });
    let accepted =
        client.post(&json!({ "jsonrpc": "2.0", "id": request["id"], "result": result })).await;
    assert_eq!(accepted.status, StatusCode::ACCEPTED);
    assert!(call.response().await["result"].to_string().contains("this"));
}
