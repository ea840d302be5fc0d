//! Requests that reach another process than that of their session.

use std::{sync::atomic::Ordering, time::Duration};

use http::{Method, StatusCode};
use rejoin::{
    HttpConfig, ManagerConfig,
    store::{MemoryStore, StoreConfig},
};
use rejoin_test_support::sse::Item;
use serde_json::json;
use tokio::time::Instant;

use crate::counting_store::CountingStore;

use crate::node::{Node, SECRET, json_responses, nodes};

#[tokio::test]
async fn a_session_is_served_by_every_process() {
    let [first, second, third] = nodes().await;
    tokio::join!(first.settle(), second.settle(), third.settle());
    let session = first.http.manager.initialized().await;
    let mut backend = first.http.manager.backend().await;

    let mut call = second.client(&session).call(1, "a", json!({})).await;
    assert_eq!(call.status, StatusCode::OK);
    assert!(call.is_event_stream());
    let received = String::from_utf8(backend.receive().await.to_vec()).unwrap();
    assert!(received.contains(r#""name":"a""#), "{received}");
    for progress in 1..=3 {
        let params = format!(r#"{{"progressToken":1,"progress":{progress}}}"#);
        let notification = format!(r#""method":"notifications/progress","params":{params}"#);
        backend.send(&notification).await;
        let message = call.message().await.unwrap().json();
        assert_eq!(message["params"]["progress"], progress);
    }
    let last_event_id = call.last_event_id.clone().unwrap();
    drop(call);

    let mut resumed = third.client(&session).get(Some(&last_event_id)).await;
    assert_eq!(resumed.status, StatusCode::OK);
    backend.send(r#""id":1,"result":{"content":[]}"#).await;
    let messages = resumed.messages().await;
    assert_eq!(messages.len(), 1, "{messages:?}");
    assert_eq!(messages[0].json()["result"], json!({ "content": [] }));

    let notification = json!({ "jsonrpc": "2.0", "method": "notifications/roots/list_changed" });
    let accepted = second.client(&session).post(&notification).await;
    assert_eq!(accepted.status, StatusCode::ACCEPTED);
    assert!(backend.receive().await.ends_with(b"list_changed\"}"));

    let deleted = third.client(&session).delete().await;
    assert_eq!(deleted.status, StatusCode::NO_CONTENT);
    for node in [&first, &second, &third] {
        let missing = node.client(&session).get(None).await;
        assert_eq!(missing.status, StatusCode::NOT_FOUND);
    }
    assert_eq!(backend.receive_or_end().await, None);
}

#[tokio::test]
async fn a_response_begins_with_its_first_event() {
    let write_time = Duration::from_millis(20);
    let store = CountingStore { write_time, ..CountingStore::default() };
    let first = Node::start_with(&store, SECRET, HttpConfig::default()).await;
    let second = Node::start_with(&store, SECRET, HttpConfig::default()).await;
    tokio::join!(first.settle(), second.settle());
    let session = first.http.manager.initialized().await;
    let mut backend = first.http.manager.backend().await;
    for (id, node) in [(1, &first), (2, &second)] {
        let mut call = node.client(&session).call(id, "a", json!({})).await;
        let item = call.next().await;
        assert!(matches!(item, Some(Item::Priming { .. })), "{item:?}");
        backend.receive().await;
        backend.send(&format!(r#""id":{id},"result":{{}}"#)).await;
        assert_eq!(call.messages().await.len(), 1);
    }
}

#[tokio::test]
async fn a_backend_knows_the_request_that_was_passed_on() {
    let [first, second] = nodes().await;
    let session = first.http.manager.initialized().await;
    let mut backend = first.http.manager.backend().await;
    let client = second.client(&session);
    let post = r#"{"jsonrpc":"2.0","id":1,"method":"a"}"#.to_owned();
    let sent = client.send(Method::POST, post, &[("x-custom", "value")]);
    let (sent, message) = tokio::join!(sent, backend.receive_message());
    assert_eq!(sent.status, StatusCode::OK);
    let parts = message.parts().unwrap();
    assert_eq!(parts.headers["x-custom"], "value");
    assert_eq!((&parts.method, parts.uri.path()), (&Method::POST, "/mcp"));
}

#[tokio::test]
async fn a_process_asks_the_store_once_for_a_session() {
    let store = CountingStore::default();
    let first = Node::start_with(&store, SECRET, HttpConfig::default()).await;
    let second = Node::start_with(&store, SECRET, HttpConfig::default()).await;
    let session = first.http.manager.initialized().await;
    let mut backend = first.http.manager.backend().await;
    for id in 1..=50 {
        let client = second.client(&session);
        let call = client.call(id, "a", json!({}));
        let respond = async {
            backend.receive().await;
            backend.send(&format!(r#""id":{id},"result":{{}}"#)).await;
        };
        let (mut call, ()) = tokio::join!(call, respond);
        assert_eq!(call.response().await["id"], id);
    }
    assert_eq!(store.asked.load(Ordering::SeqCst), 1);
    assert_eq!(*first.proxy.accepted.borrow(), 1, "there is one connection");
}

#[tokio::test]
async fn json_responses_and_batches_are_passed_on() {
    let store = MemoryStore::default();
    let first = Node::start(&store).await;
    let second = Node::start_with(&store, SECRET, json_responses()).await;
    let session = first.http.manager.initialized_as("2025-03-26").await;
    let mut backend = first.http.manager.backend().await;
    let client = second.client(&session);
    let respond = async {
        backend.receive().await;
        backend.send(&format!(r#""id":1,"result":{{"text":"{}"}}"#, "x".repeat(300_000))).await;
    };
    let (mut call, ()) = tokio::join!(client.call(1, "a", json!({})), respond);
    assert!(!call.is_event_stream());
    assert_eq!(call.json().await["result"]["text"].as_str().unwrap().len(), 300_000);

    let request = |id: u64| json!({ "jsonrpc": "2.0", "id": id, "method": "a" });
    let batch = json!([request(2), request(3)]);
    let respond = async {
        for id in [2, 3] {
            let received = backend.receive().await;
            assert!(received.starts_with(b"{"), "{received:?}");
            backend.send(&format!(r#""id":{id},"result":{{}}"#)).await;
        }
    };
    let (mut call, ()) = tokio::join!(client.post(&batch), respond);
    let ids: Vec<_> = call.messages().await.iter().map(|item| item.json()["id"].clone()).collect();
    assert_eq!(ids, [2, 3]);
}

/// Its process has all of it.
#[tokio::test]
async fn a_call_that_is_pending_elsewhere_needs_no_memory_for_messages() {
    let store = MemoryStore::default();
    let first = Node::start(&store).await;
    // Two bodies are too many at a time.
    let mut manager = ManagerConfig::default();
    manager.memory_bytes_max = 64 << 20;
    let body = "x".repeat(2 << 20);
    let second =
        Node::start_as(&store, (manager, StoreConfig::default()), SECRET, json_responses()).await;
    let session = first.http.manager.initialized().await;
    let mut backend = first.http.manager.backend().await;
    let client = second.client(&session);
    let pending = client.call(1, "a", json!({ "text": body }));
    let others = async {
        backend.receive().await;
        let begun = Instant::now();
        let notification = json!({ "jsonrpc": "2.0", "method": "n", "params": { "text": body } });
        loop {
            let sent = client.post(&notification).await;
            if sent.status == StatusCode::ACCEPTED {
                break;
            }
            assert_eq!(sent.status, StatusCode::SERVICE_UNAVAILABLE);
            assert!(begun.elapsed() < Duration::from_secs(10), "there is still no memory");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        backend.receive().await;
        backend.send(r#""id":1,"result":{}"#).await;
    };
    let (mut pending, ()) = tokio::join!(pending, others);
    assert!(!pending.is_event_stream());
    assert_eq!(pending.json().await["id"], 1);
}

#[tokio::test]
async fn large_messages_and_many_events_are_passed_on() {
    let [first, second] = nodes().await;
    let session = first.http.manager.initialized().await;
    let mut backend = first.http.manager.backend().await;
    let client = second.client(&session);
    let text = "0123456789".repeat(100_000);
    let (mut call, received) =
        tokio::join!(client.call(1, "a", json!({ "text": text })), backend.receive());
    assert!(received.len() > text.len());
    let sending = async {
        for progress in 1..=500 {
            let params = format!(r#"{{"progressToken":1,"progress":{progress}}}"#);
            backend.send(&format!(r#""method":"notifications/progress","params":{params}"#)).await;
        }
        backend.send(&format!(r#""id":1,"result":{{"text":"{text}"}}"#)).await;
    };
    let (messages, ()) = tokio::join!(call.messages(), sending);
    assert_eq!(messages.len(), 501);
    for (number, message) in (1..).zip(&messages[..500]) {
        assert_eq!(message.json()["params"]["progress"], number);
    }
    assert_eq!(messages[500].json()["result"]["text"], text);
}
