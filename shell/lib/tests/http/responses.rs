//! Form of responses: SSE or JSON, headers, comments.

use std::time::Duration;

use http::{Method, StatusCode};
use rejoin::{HttpConfig, ManagerConfig};
use rejoin_test_support::{Client, sse::Item};
use serde_json::json;

use crate::server::HttpServer;

async fn json_server() -> HttpServer {
    let mut http = HttpConfig::default();
    http.json_responses = true;
    HttpServer::start_with(ManagerConfig::default(), http).await
}

fn call() -> serde_json::Value {
    let params = json!({ "_meta": { "progressToken": 1 } });
    json!({ "jsonrpc": "2.0", "id": 1, "method": "a", "params": params })
}

#[tokio::test]
async fn sse_response_sets_its_content_type_and_disables_caching_and_buffering() {
    let server = HttpServer::start().await;
    let (_, client) = server.session().await;
    for response in [client.post(&call()).await, client.get(None).await] {
        assert_eq!(response.status, StatusCode::OK);
        assert_eq!(response.headers["content-type"], "text/event-stream");
        assert_eq!(response.headers["cache-control"], "no-store, no-transform");
        assert_eq!(response.headers["x-accel-buffering"], "no");
    }
}

#[tokio::test]
async fn json_response_if_enabled_and_no_message_precedes_the_response() {
    let server = json_server().await;
    let (_, client) = server.session().await;
    let call = call();
    let (mut response, ()) = tokio::join!(client.post(&call), async {
        let mut backend = server.manager.backend().await;
        backend.receive().await;
        backend.send(r#""id":1,"result":{}"#).await;
    });
    assert_eq!(response.headers["content-type"], "application/json");
    assert_eq!(response.headers["cache-control"], "no-store, no-transform");
    assert_eq!(response.json().await, json!({ "jsonrpc": "2.0", "id": 1, "result": {} }));
}

#[tokio::test]
async fn json_falls_back_to_sse_if_a_message_precedes_the_response() {
    let server = json_server().await;
    let (_, client) = server.session().await;
    let call = call();
    let (mut response, ()) = tokio::join!(client.post(&call), async {
        let mut backend = server.manager.backend().await;
        backend.receive().await;
        let progress = r#""method":"notifications/progress","params":{"progressToken":1}"#;
        backend.send(progress).await;
        backend.send(r#""id":1,"result":{}"#).await;
    });
    assert_eq!(response.headers["content-type"], "text/event-stream");
    assert_eq!(response.messages().await.len(), 2);
}

#[tokio::test]
async fn idle_stream_gets_keep_alive_comments() {
    let mut http = HttpConfig::default();
    http.sse_keep_alive = Some(Duration::from_millis(10));
    let server = HttpServer::start_with(ManagerConfig::default(), http).await;
    let (_, client) = server.session().await;
    let mut get = client.get(None).await;
    assert_eq!(get.next().await.unwrap().id().as_deref(), Some("0"));
    for _ in 0..3 {
        assert_eq!(get.next().await, Some(Item::KeepAlive));
    }
}

#[tokio::test]
async fn notification_gets_202_without_a_body() {
    let server = HttpServer::start().await;
    let (_, client) = server.session().await;
    let accepted = client.post(&json!({ "jsonrpc": "2.0", "method": "n" })).await;
    assert_eq!(accepted.status, StatusCode::ACCEPTED);
    assert_eq!(accepted.headers["content-length"], "0");
}

#[tokio::test]
async fn batch_is_answered_on_one_stream_in_revisions_with_batches() {
    let server = HttpServer::start().await;
    let session = server.manager.initialized_as("2025-03-26").await;
    let client = Client::new(&server.address).with_session(&session.id().to_string());
    let batch = json!([
        { "jsonrpc": "2.0", "id": 1, "method": "a" },
        { "jsonrpc": "2.0", "id": 2, "method": "b" },
    ]);
    let version = [("mcp-protocol-version", "2025-03-26")];
    let mut response = client.send(Method::POST, batch.to_string(), &version).await;
    let mut backend = server.manager.backend().await;
    backend.send(r#""id":2,"result":{}"#).await;
    backend.send(r#""id":1,"result":{}"#).await;
    let events = response.messages().await;
    assert_eq!(events.len(), 2);
    assert_eq!((&events[0].json()["id"], &events[1].json()["id"]), (&json!(2), &json!(1)));
}

#[tokio::test]
async fn json_only_client_gets_the_response_without_notifications() {
    let server = json_server().await;
    let (_, client) = server.session().await;
    let accept = [("accept", "application/json")];
    let (mut response, ()) =
        tokio::join!(client.send(Method::POST, call().to_string(), &accept), async {
            let mut backend = server.manager.backend().await;
            backend.receive().await;
            let progress = r#""method":"notifications/progress","params":{"progressToken":1}"#;
            backend.send(progress).await;
            backend.send(r#""id":1,"result":{}"#).await;
        });
    assert_eq!(response.headers["content-type"], "application/json");
    assert_eq!(response.json().await, json!({ "jsonrpc": "2.0", "id": 1, "result": {} }));
}

#[tokio::test]
async fn json_only_client_gets_204_for_a_cancelled_request() {
    let server = json_server().await;
    let (_, client) = server.session().await;
    let accept = [("accept", "application/json")];
    let mut backend = server.manager.backend().await;
    let (response, ()) =
        tokio::join!(client.send(Method::POST, call().to_string(), &accept), async {
            backend.receive().await;
            let params = json!({ "requestId": 1 });
            let method = "notifications/cancelled";
            client.post(&json!({ "jsonrpc": "2.0", "method": method, "params": params })).await;
        });
    assert_eq!(response.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn batch_of_a_json_only_client_is_refused() {
    let server = json_server().await;
    let session = server.manager.initialized_as("2025-03-26").await;
    let client = Client::new(&server.address).with_session(&session.id().to_string());
    let batch = json!([{ "jsonrpc": "2.0", "id": 1, "method": "a" }]).to_string();
    let accept = [("accept", "application/json"), ("mcp-protocol-version", "2025-03-26")];
    let refused = client.send(Method::POST, batch, &accept).await;
    assert_eq!(refused.status, StatusCode::NOT_ACCEPTABLE);
}

/// A proxy may hold the response headers back until the first byte of the body.
#[tokio::test]
async fn stream_without_an_immediate_event_starts_with_a_comment() {
    let mut http = HttpConfig::default();
    http.sse_keep_alive = None;
    let server = HttpServer::start_with(ManagerConfig::default(), http).await;
    let session = server.manager.initialized_as("2025-06-18").await;
    let client = Client::new(&server.address).with_session(&session.id().to_string());
    // The standalone stream, a shadow, a slow request.
    let mut standalone = client.get(None).await;
    assert_eq!(standalone.next().await, Some(Item::KeepAlive));
    let mut shadow = client.get(None).await;
    assert_eq!(shadow.next().await, Some(Item::KeepAlive));
    let mut slow = client.post(&call()).await;
    assert_eq!(slow.next().await, Some(Item::KeepAlive));
    // A client that resumes after the newest event.
    let mut backend = server.manager.backend().await;
    let progress = r#""method":"notifications/progress","params":{"progressToken":1}"#;
    backend.send(progress).await;
    let seen = slow.next().await.unwrap().id();
    let mut resumed = client.get(seen.as_deref()).await;
    assert_eq!(resumed.next().await, Some(Item::KeepAlive));
}

#[tokio::test]
async fn fast_response_has_no_comment() {
    let server = HttpServer::start().await;
    let (_, client) = server.session().await;
    let ping = json!({ "jsonrpc": "2.0", "id": 1, "method": "a" });
    let (mut response, ()) = tokio::join!(client.post(&ping), async {
        let mut backend = server.manager.backend().await;
        backend.receive().await;
        backend.send(r#""id":1,"result":{}"#).await;
    });
    while let Some(event) = response.next().await {
        assert!(!event.is_comment(), "{event:?}");
    }
}

#[tokio::test]
async fn maximum_durations_are_accepted() {
    let mut http = HttpConfig::default();
    http.sse_keep_alive = Some(Duration::MAX);
    http.reconnect_after = Some(Duration::MAX);
    let server = HttpServer::start_with(ManagerConfig::default(), http).await;
    let (_, client) = server.session().await;
    let mut call = client.post(&call()).await;
    let mut backend = server.manager.backend().await;
    backend.receive().await;
    backend.send(r#""id":1,"result":{}"#).await;
    assert_eq!(call.response().await["id"], 1);
}
