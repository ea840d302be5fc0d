//! Nodes that stop.

use std::time::Duration;

use http::{Method, StatusCode};
use rejoin::{HttpConfig, store::MemoryStore};
use rejoin_test_support::HttpResponse;
use serde_json::json;
use tokio::time::{Instant, timeout};

use crate::node::{Node, SECRET, json_responses, nodes};

const RETRY: Duration = Duration::from_millis(1_234);

#[tokio::test]
async fn a_node_that_stops_ends_the_streams_that_it_passes_on() {
    let store = MemoryStore::default();
    let first = Node::start(&store).await;
    let mut http = HttpConfig::default();
    http.reconnect_delay = RETRY;
    let second = Node::start_with(&store, SECRET, http).await;
    let session = first.http.manager.initialized().await;
    let mut backend = first.http.manager.backend().await;
    let client = second.client(&session);
    let mut standalone = client.get(None).await;
    let shadow = client.get(None).await;
    let (mut call, _) = tokio::join!(client.call(1, "a", json!({})), backend.receive());
    let begun = Instant::now();
    let drained = drained(&second);
    let ends = async {
        ends_with_retry(&mut standalone).await;
        ends_with_retry(&mut call).await;
        drop(shadow);
    };
    tokio::join!(drained, ends);
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());

    // The owner goes on.
    backend.send(r#""id":1,"result":{}"#).await;
    let mut resumed = first.client(&session).get(call.last_event_id.as_deref()).await;
    assert_eq!(resumed.response().await["id"], 1);
}

async fn drained(node: &Node) {
    timeout(Duration::from_secs(5), node.http.manager.sessions.drain(RETRY)).await.unwrap();
}

async fn ends_with_retry(response: &mut HttpResponse) {
    let mut retry = None;
    while let Some(item) = response.next().await {
        assert!(!item.is_message(), "{item:?}");
        retry = item.retry().or(retry);
    }
    assert_eq!(retry, Some(RETRY));
}

#[tokio::test]
async fn a_stream_without_an_event_id_ends_once_it_has_one() {
    let [first, second] = nodes().await;
    let session = first.http.manager.initialized_as("2025-06-18").await;
    let mut backend = first.http.manager.backend().await;
    let client = second.client(&session);
    let (mut call, _) = tokio::join!(client.call(1, "a", json!({})), backend.receive());
    let last_event_id = async {
        let open = timeout(Duration::from_millis(50), call.message()).await;
        assert!(open.is_err(), "its client has nothing to come back by");
        let params = r#"{"progressToken":1,"progress":1}"#;
        backend.send(&format!(r#""method":"notifications/progress","params":{params}"#)).await;
        assert_eq!(call.messages().await.len(), 1);
        let last_event_id = call.last_event_id.clone();
        drop(call);
        last_event_id
    };
    let drained = drained(&second);
    let ((), last_event_id) = tokio::join!(drained, last_event_id);
    backend.send(r#""id":1,"result":{}"#).await;
    let mut resumed = first.client(&session).get(last_event_id.as_deref()).await;
    assert_eq!(resumed.response().await["id"], 1);
}

#[tokio::test]
async fn a_node_drains_until_the_calls_that_it_passes_on_have_responses() {
    let store = MemoryStore::default();
    let first = Node::start(&store).await;
    let second = Node::start_with(&store, SECRET, json_responses()).await;
    let session = first.http.manager.initialized().await;
    let mut backend = first.http.manager.backend().await;
    let client = second.client(&session);
    let stop = async {
        backend.receive().await;
        let later = async {
            let refused = client.call(2, "a", json!({})).await;
            assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
            assert_eq!(refused.headers["retry-after"], "1");
            backend.send(r#""id":1,"result":{}"#).await;
        };
        tokio::join!(drained(&second), later);
        second.http.manager.sessions.close_all();
    };
    let call = async {
        let mut call = client.call(1, "a", json!({})).await;
        assert_eq!(call.status, StatusCode::OK);
        call.json().await["id"].clone()
    };
    let (id, ()) = tokio::join!(call, stop);
    assert_eq!(id, 1);
}

#[tokio::test]
async fn a_node_that_stops_passes_no_more_calls_on() {
    let [first, second] = nodes().await;
    let session = first.http.manager.initialized().await;
    let mut backend = first.http.manager.backend().await;
    let client = second.client(&session);
    let notification = json!({ "jsonrpc": "2.0", "method": "notifications/roots/list_changed" });
    // Its owner is known then.
    assert_eq!(client.post(&notification).await.status, StatusCode::ACCEPTED);
    backend.receive().await;
    drained(&second).await;
    let call = client.call(1, "a", json!({})).await;
    assert_eq!(call.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(client.post(&notification).await.status, StatusCode::ACCEPTED);
    assert!(backend.receive().await.ends_with(b"list_changed\"}"));
    assert_eq!(client.get(None).await.status, StatusCode::OK);

    second.http.manager.sessions.close_all();
    for refused in [client.post(&notification).await, client.get(None).await] {
        assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(refused.headers["retry-after"], "1");
    }
}

#[tokio::test]
async fn a_call_fails_when_its_node_closes_and_its_client_cannot_come_back() {
    let store = MemoryStore::default();
    let first = Node::start(&store).await;
    let second = Node::start(&store).await;
    let third = Node::start_with(&store, SECRET, json_responses()).await;
    let session = first.http.manager.initialized_as("2025-06-18").await;
    let mut backend = first.http.manager.backend().await;

    let client = second.client(&session);
    let (mut call, _) = tokio::join!(client.call(1, "a", json!({})), backend.receive());
    second.http.manager.sessions.close_all();
    let failed = call.response().await;
    assert_eq!((&failed["id"], &failed["error"]["code"]), (&json!(1), &json!(-32603)), "{failed}");

    // A client that does not accept SSE gets no messages before the response.
    let client = third.client(&session);
    let close = async {
        backend.receive().await;
        let params = r#"{"progressToken":2,"progress":1}"#;
        backend.send(&format!(r#""method":"notifications/progress","params":{params}"#)).await;
        third.http.manager.sessions.close_all();
    };
    let request = json!({ "jsonrpc": "2.0", "id": 2, "method": "a" }).to_string();
    let only_json = [("accept", "application/json")];
    let call = client.send(Method::POST, request, &only_json);
    let (mut call, ()) = tokio::join!(call, close);
    assert_eq!(call.status, StatusCode::BAD_GATEWAY);
    assert_eq!(call.json().await["id"], 2);

    // The owner goes on.
    let client = first.client(&session);
    let respond = async {
        backend.receive().await;
        backend.send(r#""id":3,"result":{}"#).await;
    };
    let (mut call, ()) = tokio::join!(client.call(3, "a", json!({})), respond);
    assert_eq!(call.response().await["id"], 3);
}

#[tokio::test]
async fn a_response_that_is_being_read_outlives_a_handover_and_its_owner() {
    let store = MemoryStore::default();
    let first = Node::start_with(&store, SECRET, json_responses()).await;
    let second = Node::start_with(&store, SECRET, json_responses()).await;
    let session = first.http.manager.initialized().await;
    let mut backend = first.http.manager.backend().await;
    let client = second.client(&session);
    let text = "0123456789".repeat(100_000);
    let stop = async {
        backend.receive().await;
        first.proxy.delay(Duration::from_millis(5));
        backend.send(&format!(r#""id":1,"result":{{"text":"{text}"}}"#)).await;
        let mut bytes = first.proxy.bytes.clone();
        let begun = *bytes.borrow() + 100_000;
        bytes.wait_for(|bytes| *bytes > begun).await.unwrap();
        first.http.manager.sessions.close_all();
        first.http.manager.sessions.closed().await;
        assert!(*bytes.borrow() > text.len());
        first.proxy.cut().await;
    };
    let (mut call, ()) = tokio::join!(client.call(1, "a", json!({})), stop);
    assert_eq!(call.status, StatusCode::OK);
    assert_eq!(call.json().await["result"]["text"], text);
}

#[tokio::test]
async fn an_owner_that_stops_waits_for_its_links() {
    let [first, second] = nodes().await;
    second.settle().await;
    let session = first.http.manager.initialized().await;
    let mut backend = first.http.manager.backend().await;
    let client = second.client(&session);
    let respond = async {
        backend.receive().await;
        backend.send(r#""id":1,"result":{}"#).await;
    };
    let (mut call, ()) = tokio::join!(client.call(1, "a", json!({})), respond);
    assert_eq!(call.response().await["id"], 1);
    let standalone = client.get(None).await;
    assert_eq!(standalone.status, StatusCode::OK);
    let closing = async {
        first.http.manager.sessions.close_all();
        first.http.manager.sessions.closed().await;
    };
    timeout(Duration::from_secs(1), closing).await.unwrap();
    drop(standalone);

    // Its link takes no more calls, and the session is taken over at once.
    let begun = Instant::now();
    let mut resumed = client.get(Some("0/0")).await;
    assert_eq!(resumed.response().await["id"], 1);
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    assert!(second.http.manager.sessions.has_session(session.id()));
}

#[tokio::test]
async fn a_node_that_stops_asks_clients_to_try_another_one_soon() {
    let [first, second] = nodes().await;
    let session = first.http.manager.initialized().await;
    second.http.manager.sessions.close_all();
    let refused = second.client(&session).get(None).await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.headers["retry-after"], "1");
}
