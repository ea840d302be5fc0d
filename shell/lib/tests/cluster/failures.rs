//! Links that are cut, and processes that end.

use std::time::Duration;

use http::StatusCode;
use rejoin::{
    HttpConfig, ManagerConfig,
    store::{MemoryStore, StoreConfig},
};
use serde_json::json;
use tokio::time::{Instant, timeout};

use crate::node::{Node, SECRET, json_responses, nodes};

#[tokio::test]
async fn a_client_resumes_after_the_link_was_cut() {
    let [first, second] = nodes().await;
    let session = first.http.manager.initialized().await;
    let mut backend = first.http.manager.backend().await;
    let client = second.client(&session);
    let (mut call, _) = tokio::join!(client.call(1, "a", json!({})), backend.receive());
    let progress = |progress: u32| {
        let params = format!(r#"{{"progressToken":1,"progress":{progress}}}"#);
        format!(r#""method":"notifications/progress","params":{params}"#)
    };
    backend.send(&progress(1)).await;
    assert_eq!(call.message().await.unwrap().json()["params"]["progress"], 1);

    first.proxy.cut().await;
    assert!(call.message().await.is_none(), "the response ends");
    let last_event_id = call.last_event_id.clone().unwrap();
    backend.send(&progress(2)).await;
    backend.send(r#""id":1,"result":{}"#).await;
    let mut resumed = client.get(Some(&last_event_id)).await;
    assert_eq!(resumed.status, StatusCode::OK);
    let messages = resumed.messages().await;
    assert_eq!(messages.len(), 2, "{messages:?}");
    assert_eq!(messages[0].json()["params"]["progress"], 2);
    assert_eq!(messages[1].json()["id"], 1);
}

#[tokio::test]
async fn a_post_is_not_sent_again_after_the_link_was_cut() {
    let store = MemoryStore::default();
    let first = Node::start(&store).await;
    let second = Node::start_with(&store, SECRET, json_responses()).await;
    let session = first.http.manager.initialized().await;
    let mut backend = first.http.manager.backend().await;
    let client = second.client(&session);
    let cut = async {
        backend.receive().await;
        first.proxy.cut().await;
    };
    let (mut call, ()) = tokio::join!(client.call(7, "a", json!({})), cut);
    assert_eq!(call.status, StatusCode::BAD_GATEWAY);
    let error = call.json().await;
    assert_eq!((&error["id"], &error["error"]["code"]), (&json!(7), &json!(-32_603)));

    // The next message that the backend gets is of another POST, on a new link.
    let respond = async {
        let received = backend.receive().await;
        assert!(String::from_utf8_lossy(&received).contains(r#""id":8"#), "{received:?}");
        backend.send(r#""id":8,"result":{}"#).await;
    };
    let (mut call, ()) = tokio::join!(client.call(8, "a", json!({})), respond);
    assert_eq!(call.json().await["id"], 8);
    assert_eq!(*first.proxy.accepted.borrow(), 2);
}

#[tokio::test]
async fn a_client_that_is_gone_is_gone_for_the_owner() {
    let [first, second] = nodes().await;
    let session = first.http.manager.initialized().await;
    let client = second.client(&session);
    let standalone = client.get(None).await;
    assert_eq!(standalone.status, StatusCode::OK);
    let connections = || session.stats().unwrap().connections;
    assert_eq!(connections(), 1);
    drop(standalone);
    let begun = Instant::now();
    while connections() > 0 {
        assert!(begun.elapsed() < Duration::from_secs(10), "its connection is still open");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_call_whose_client_is_gone_is_not_carried_out_later() {
    let store = MemoryStore::default();
    let mut manager = ManagerConfig::default();
    manager.session.batch_max = 1;
    manager.queue_max = 1;
    let configs = (manager, StoreConfig::default());
    let first = Node::start_as(&store, configs, SECRET, HttpConfig::default()).await;
    let second = Node::start(&store).await;
    let session = first.http.manager.initialized().await;
    let mut backend = first.http.manager.backend().await;
    let client = second.client(&session);
    let queued = client.post(&json!({ "jsonrpc": "2.0", "method": "n" })).await;
    assert_eq!(queued.status, StatusCode::ACCEPTED);
    // The queue is full.
    let waits = timeout(Duration::from_millis(200), client.call(1, "a", json!({}))).await;
    assert!(waits.is_err(), "{waits:?}");
    // Nothing tells when the owner knows.
    tokio::time::sleep(Duration::from_millis(500)).await;
    backend.receive().await;
    let (call, received) = tokio::join!(client.call(2, "a", json!({})), backend.receive());
    assert_eq!(call.status, StatusCode::OK);
    assert!(String::from_utf8_lossy(&received).contains(r#""id":2"#), "{received:?}");
}

#[tokio::test]
async fn a_session_that_its_owner_hands_over_is_found_again() {
    let [first, second] = nodes().await;
    second.settle().await;
    let session = first.http.manager.initialized().await;
    let mut backend = first.http.manager.backend().await;
    let client = second.client(&session);
    let respond = async {
        backend.receive().await;
        backend.send(r#""id":1,"result":{}"#).await;
    };
    let (call, ()) = tokio::join!(client.call(1, "a", json!({})), respond);
    drop(call);
    first.http.manager.sessions.close_all();
    first.http.manager.sessions.closed().await;

    // Its link stands, and says that the session has moved.
    let mut resumed = client.get(Some("0/0")).await;
    assert_eq!(resumed.status, StatusCode::OK);
    assert_eq!(resumed.response().await["id"], 1);
    assert!(second.http.manager.sessions.has_session(session.id()));
}

#[tokio::test]
async fn a_session_whose_owner_is_gone_is_taken_over() {
    let [first, second, third] = nodes().await;
    second.settle().await;
    let session = first.http.manager.initialized().await;
    let mut backend = first.http.manager.backend().await;
    let client = second.client(&session);
    let (mut call, _) = tokio::join!(client.call(1, "a", json!({})), backend.receive());
    let params = r#"{"progressToken":1,"progress":1}"#;
    backend.send(&format!(r#""method":"notifications/progress","params":{params}"#)).await;
    assert!(call.message().await.is_some());
    let last_event_id = call.last_event_id.clone().unwrap();

    let begun = Instant::now();
    drop(first);
    assert!(call.message().await.is_none(), "the response ends");
    let mut resumed = client.get(Some(&last_event_id)).await;
    assert_eq!(resumed.status, StatusCode::OK);
    let error = resumed.response().await;
    assert_eq!(error["error"]["code"], -32_603, "{error}");
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());

    // The third one finds it at its new owner.
    let gone = third.client(&session).call(2, "a", json!({})).await;
    assert_eq!(gone.status, StatusCode::NOT_FOUND);
    assert!(!third.http.manager.sessions.has_session(session.id()));
}
