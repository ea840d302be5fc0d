//! Misbehaving clients, which must not affect others.

use http::StatusCode;
use rejoin_test_support::{Client, initialize};
use serde_json::{Value, json};

use crate::serve;

#[tokio::test]
async fn a_reading_client_gets_every_event_of_a_flood() {
    const EVENTS: u64 = 100_000;
    let program = serve(&[]);
    let client = Client::initialize(&program.address).await;
    let mut call = client.call(1, "count", json!({ "total": EVENTS, "interval_ms": 0 })).await;
    let mut at = 0;
    while let Some(event) = call.next().await {
        assert!(!event.is_comment(), "{event:?}");
        if let Some(progress) = event.progress() {
            assert_eq!(progress, at + 1);
            at = progress;
        }
    }
    assert_eq!(at, EVENTS);
}

#[tokio::test]
async fn a_client_that_reads_nothing_does_not_delay_others() {
    let program = serve(&[]);
    let client = Client::initialize(&program.address).await;
    let other = Client::initialize(&program.address).await;
    let stalled = client.call(1, "count", json!({ "total": 100_000, "interval_ms": 0 })).await;
    for id in 2..20 {
        let echo = json!({ "message": "m" });
        client.call(id, "echo", echo.clone()).await.response().await;
        other.call(id, "echo", echo).await.response().await;
    }
    assert!(client.delete().await.status.is_success());
    drop(stalled);
}

#[tokio::test]
async fn a_duplicate_request_id_or_progress_token_is_refused() {
    let program = serve(&[]);
    let client = Client::initialize(&program.address).await;
    let mut first = client.call(1, "count", json!({ "total": 1, "interval_ms": 200 })).await;
    let mut second = client.call(1, "echo", json!({ "message": "m" })).await;
    assert_eq!(second.status, StatusCode::BAD_REQUEST);
    assert_eq!(second.json().await["error"]["code"], -32_600);
    let params = json!({ "name": "echo", "arguments": { "message": "m" },
        "_meta": { "progressToken": 1 } });
    let token_in_use =
        json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": params });
    assert_eq!(client.post(&token_in_use).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(first.response().await["id"], 1);
}

#[tokio::test]
async fn string_and_number_request_ids_are_distinct() {
    let program = serve(&[]);
    let client = Client::initialize(&program.address).await;
    let call = |id: Value| {
        let params = json!({ "name": "count", "arguments": { "total": 1, "interval_ms": 50 } });
        json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params })
    };
    let mut number = client.post(&call(json!(1))).await;
    let mut text = client.post(&call(json!("1"))).await;
    assert_eq!(text.response().await["id"], "1");
    assert_eq!(number.response().await["id"], 1);
}

#[tokio::test]
async fn a_second_initialize_is_refused_and_the_session_continues() {
    let program = serve(&[]);
    let client = Client::initialize(&program.address).await;
    let second = client.post(&initialize("2025-11-25", &json!({}))).await;
    assert_eq!(second.status, StatusCode::BAD_REQUEST);
    client.call(1, "echo", json!({ "message": "m" })).await.response().await;
}

#[tokio::test]
async fn delete_fails_pending_requests_and_closes_connections() {
    let program = serve(&[]);
    let client = Client::initialize(&program.address).await;
    let mut call = client.call(1, "count", json!({ "total": 1, "interval_ms": 60_000 })).await;
    let mut get = client.get(None).await;
    assert!(client.delete().await.status.is_success());
    assert!(call.response().await["error"].is_object());
    while call.next().await.is_some() {}
    while get.next().await.is_some() {}
    assert_eq!(client.get(None).await.status, StatusCode::NOT_FOUND);
    assert_eq!(client.delete().await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn initialize_with_a_stale_session_id_opens_a_new_session() {
    let program = serve(&[]);
    let client = Client::initialize(&program.address).await;
    assert!(client.delete().await.status.is_success());
    let mut again = client.post(&initialize("2025-11-25", &json!({}))).await;
    assert_eq!(again.status, StatusCode::OK);
    let session = again.headers["mcp-session-id"].to_str().unwrap().to_owned();
    assert_ne!(session, client.session());
    again.response().await;
    let client = client.with_session(&session);
    client.call(1, "echo", json!({ "message": "m" })).await.response().await;
}

#[tokio::test]
async fn foreign_origins_and_hosts_are_refused() {
    let program = serve(&[]);
    let new_client = Client::new(&program.address);
    let body = initialize("2025-11-25", &json!({})).to_string();
    for (name, value) in [("origin", "http://evil.example"), ("host", "evil.example")] {
        let refused = new_client.send(http::Method::POST, body.clone(), &[(name, value)]).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{name}");
    }
}
