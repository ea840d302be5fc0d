//! In which form answers come.

use std::time::Duration;

use http::{Method, StatusCode};
use rejoin::{HttpConfig, ManagerConfig};
use serde_json::json;

use crate::{
    client::{Client, Event},
    host::Host,
};

async fn json_host() -> Host {
    let http = HttpConfig { json_responses: true, ..HttpConfig::default() };
    Host::with(ManagerConfig::default(), http).await
}

fn call() -> serde_json::Value {
    let params = json!({ "_meta": { "progressToken": 1 } });
    json!({ "jsonrpc": "2.0", "id": 1, "method": "a", "params": params })
}

#[tokio::test]
async fn a_stream_says_what_it_is_and_that_nobody_is_to_keep_it() {
    let host = Host::begin().await;
    let (_, client) = host.session().await;
    for answer in [client.post(&call()).await, client.get(None).await] {
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.headers["content-type"], "text/event-stream");
        assert_eq!(answer.headers["cache-control"], "no-store, no-transform");
        assert_eq!(answer.headers["x-accel-buffering"], "no");
    }
}

#[tokio::test]
async fn a_response_that_comes_alone_may_be_one_json_object() {
    let host = json_host().await;
    let (_, client) = host.session().await;
    let call = call();
    let (mut answer, ()) = tokio::join!(client.post(&call), async {
        let mut backend = host.server.backend().await;
        backend.receive().await;
        backend.send(r#""id":1,"result":{}"#).await;
    });
    assert_eq!(answer.headers["content-type"], "application/json");
    assert_eq!(answer.headers["cache-control"], "no-store, no-transform");
    assert_eq!(answer.json().await, json!({ "jsonrpc": "2.0", "id": 1, "result": {} }));
}

#[tokio::test]
async fn json_falls_back_to_sse_where_something_comes_before_the_response() {
    let host = json_host().await;
    let (_, client) = host.session().await;
    let call = call();
    let (mut answer, ()) = tokio::join!(client.post(&call), async {
        let mut backend = host.server.backend().await;
        backend.receive().await;
        let progress = r#""method":"notifications/progress","params":{"progressToken":1}"#;
        backend.send(progress).await;
        backend.send(r#""id":1,"result":{}"#).await;
    });
    assert_eq!(answer.headers["content-type"], "text/event-stream");
    assert_eq!(answer.messages().await.len(), 2);
}

#[tokio::test]
async fn a_stream_that_has_nothing_to_say_is_kept_alive() {
    let keep_alive = Some(Duration::from_millis(10));
    let http = HttpConfig { sse_keep_alive: keep_alive, ..HttpConfig::default() };
    let host = Host::with(ManagerConfig::default(), http).await;
    let (_, client) = host.session().await;
    let mut get = client.get(None).await;
    assert_eq!(get.next().await.unwrap().id.as_deref(), Some("0"));
    for _ in 0..3 {
        assert_eq!(get.next().await.unwrap().comment.as_deref(), Some(""));
    }
}

#[tokio::test]
async fn a_notification_is_accepted_without_a_body() {
    let host = Host::begin().await;
    let (_, client) = host.session().await;
    let told = client.post(&json!({ "jsonrpc": "2.0", "method": "n" })).await;
    assert_eq!(told.status, StatusCode::ACCEPTED);
    assert_eq!(told.headers["content-length"], "0");
}

#[tokio::test]
async fn a_batch_is_answered_on_one_stream_where_the_revision_has_batches() {
    let host = Host::begin().await;
    let session = host.server.initialized_as("2025-03-26").await;
    let client = Client::new(&host.address).with_session(&session.id().to_string());
    let batch = json!([
        { "jsonrpc": "2.0", "id": 1, "method": "a" },
        { "jsonrpc": "2.0", "id": 2, "method": "b" },
    ]);
    let version = [("mcp-protocol-version", "2025-03-26")];
    let mut answer = client.send(Method::POST, batch.to_string(), &version).await;
    let mut backend = host.server.backend().await;
    backend.send(r#""id":2,"result":{}"#).await;
    backend.send(r#""id":1,"result":{}"#).await;
    let events = answer.messages().await;
    assert_eq!(events.len(), 2);
    assert_eq!((&events[0].data["id"], &events[1].data["id"]), (&json!(2), &json!(1)));
}

#[tokio::test]
async fn a_client_that_accepts_json_only_gets_the_response_alone() {
    let host = json_host().await;
    let (_, client) = host.session().await;
    let accept = [("accept", "application/json")];
    let (mut answer, ()) =
        tokio::join!(client.send(Method::POST, call().to_string(), &accept), async {
            let mut backend = host.server.backend().await;
            backend.receive().await;
            let progress = r#""method":"notifications/progress","params":{"progressToken":1}"#;
            backend.send(progress).await;
            backend.send(r#""id":1,"result":{}"#).await;
        });
    assert_eq!(answer.headers["content-type"], "application/json");
    assert_eq!(answer.json().await, json!({ "jsonrpc": "2.0", "id": 1, "result": {} }));
}

#[tokio::test]
async fn a_client_that_accepts_json_only_gets_no_answer_to_a_call_that_it_cancels() {
    let host = json_host().await;
    let (_, client) = host.session().await;
    let accept = [("accept", "application/json")];
    let mut backend = host.server.backend().await;
    let (answer, ()) =
        tokio::join!(client.send(Method::POST, call().to_string(), &accept), async {
            backend.receive().await;
            let params = json!({ "requestId": 1 });
            let method = "notifications/cancelled";
            client.post(&json!({ "jsonrpc": "2.0", "method": method, "params": params })).await;
        });
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn a_batch_is_refused_to_a_client_that_accepts_json_only() {
    let host = json_host().await;
    let session = host.server.initialized_as("2025-03-26").await;
    let client = Client::new(&host.address).with_session(&session.id().to_string());
    let batch = json!([{ "jsonrpc": "2.0", "id": 1, "method": "a" }]).to_string();
    let accept = [("accept", "application/json"), ("mcp-protocol-version", "2025-03-26")];
    let refused = client.send(Method::POST, batch, &accept).await;
    assert_eq!(refused.status, StatusCode::NOT_ACCEPTABLE);
}

/// A proxy may hold the headers back until the body begins.
#[tokio::test]
async fn a_stream_that_begins_without_an_event_begins_with_a_comment() {
    let http = HttpConfig { sse_keep_alive: None, ..HttpConfig::default() };
    let host = Host::with(ManagerConfig::default(), http).await;
    let session = host.server.initialized_as("2025-06-18").await;
    let client = Client::new(&host.address).with_session(&session.id().to_string());
    let comment = |event: Option<Event>| event.unwrap().comment;
    // The standalone stream, its shadow, a call that takes its time.
    let mut standalone = client.get(None).await;
    assert_eq!(comment(standalone.next().await).as_deref(), Some(""));
    let mut shadow = client.get(None).await;
    assert_eq!(comment(shadow.next().await).as_deref(), Some(""));
    let mut slow = client.post(&call()).await;
    assert_eq!(comment(slow.next().await).as_deref(), Some(""));
    // And a client that comes back after the last event that there is.
    let mut backend = host.server.backend().await;
    let progress = r#""method":"notifications/progress","params":{"progressToken":1}"#;
    backend.send(progress).await;
    let seen = slow.next().await.unwrap().id;
    let mut resumed = client.get(seen.as_deref()).await;
    assert_eq!(comment(resumed.next().await).as_deref(), Some(""));
}

#[tokio::test]
async fn an_answer_that_is_quick_needs_no_comment() {
    let host = Host::begin().await;
    let (_, client) = host.session().await;
    let ping = json!({ "jsonrpc": "2.0", "id": 1, "method": "a" });
    let (mut answer, ()) = tokio::join!(client.post(&ping), async {
        let mut backend = host.server.backend().await;
        backend.receive().await;
        backend.send(r#""id":1,"result":{}"#).await;
    });
    while let Some(event) = answer.next().await {
        assert_eq!(event.comment, None);
    }
}

#[tokio::test]
async fn an_interval_may_be_as_long_as_there_are_numbers() {
    let http = HttpConfig {
        sse_keep_alive: Some(Duration::MAX),
        reconnect_after: Some(Duration::MAX),
        ..HttpConfig::default()
    };
    let host = Host::with(ManagerConfig::default(), http).await;
    let (_, client) = host.session().await;
    let mut call = client.post(&call()).await;
    let mut backend = host.server.backend().await;
    backend.receive().await;
    backend.send(r#""id":1,"result":{}"#).await;
    assert_eq!(call.response().await["id"], 1);
}
