//! Requests whose response is lost: their clients get an error.

use std::time::Duration;

use http::{Method, StatusCode};
use rejoin::{HttpConfig, ManagerConfig, store::StoreConfig};
use rejoin_test_support::HttpResponse;
use serde_json::{Value, json};

use crate::{
    node::{Node, SECRET, json_responses, nodes},
    test_store::TestStore,
};

/// A node that soon cuts connections when it has lost its store.
async fn impatient(store: &TestStore, http: HttpConfig) -> Node {
    let mut config = StoreConfig::default();
    config.lease.patience = Duration::from_millis(100);
    Node::start_as(store, (ManagerConfig::default(), config), SECRET, http).await
}

fn expect_code(error: &Value) {
    assert_eq!(error.get("id"), Some(&json!(7)), "{error}");
    assert_eq!(error.pointer("/error/code"), Some(&json!(-32_603)), "{error}");
}

/// Expects an error on an event stream, and its end.
async fn expect_error(mut call: HttpResponse) {
    assert_eq!(call.status, StatusCode::OK);
    assert!(call.is_event_stream());
    let error = call.message().await.unwrap();
    assert_eq!(error.id(), None);
    expect_code(&error.json());
    assert!(call.message().await.is_none());
}

/// What befalls the owner of a session while a call is pending.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// It shuts down.
    HandsOver,
    /// It loses the store for so long that it cuts its connections.
    LosesStore,
}

/// Calls a tool at the owner of a session, or at another node, and returns what its client gets.
async fn call_that_is_lost(
    fault: Fault,
    (is_at_owner, revision): (bool, &str),
    http: HttpConfig,
    headers: &[(&'static str, &str)],
) -> (HttpResponse, [Node; 2]) {
    let is_json = http.json_responses;
    let store = TestStore::new();
    let owner = impatient(&store, http.clone()).await;
    let other = Node::start_with(&store.other(), SECRET, http).await;
    let session = owner.http.manager.initialized_as(revision).await;
    let mut backend = owner.http.manager.backend().await;
    let client = if is_at_owner { owner.client(&session) } else { other.client(&session) };
    let call = json!({ "jsonrpc": "2.0", "id": 7, "method": "a" }).to_string();
    let call = client.send(Method::POST, call, headers);
    let befall = || match fault {
        Fault::HandsOver => owner.http.manager.sessions.close_all(),
        Fault::LosesStore => store.cut(true),
    };
    let received = async {
        backend.receive().await;
        // The response to the other calls has begun by then.
        if is_json {
            befall();
        }
    };
    let (response, ()) = tokio::join!(call, received);
    if !is_json {
        befall();
    }
    (response, [owner, other])
}

#[tokio::test]
async fn a_json_call_ends_in_an_error_if_its_owner_stops_or_loses_the_store() {
    for fault in [Fault::HandsOver, Fault::LosesStore] {
        for is_at_owner in [true, false] {
            // The others would get an event id to come back by.
            let json_only = [("accept", "application/json")];
            for (revision, headers) in [("2025-06-18", &[][..]), ("2025-11-25", &json_only)] {
                let at = (is_at_owner, revision);
                let (mut call, _nodes) =
                    call_that_is_lost(fault, at, json_responses(), headers).await;
                assert_eq!(call.status, StatusCode::BAD_GATEWAY);
                expect_code(&call.json().await);
            }
        }
    }
}

#[tokio::test]
async fn a_call_without_an_event_id_ends_in_an_error_if_its_owner_stops_or_loses_the_store() {
    for fault in [Fault::HandsOver, Fault::LosesStore] {
        for is_at_owner in [true, false] {
            let at = (is_at_owner, "2025-06-18");
            let (call, _nodes) = call_that_is_lost(fault, at, HttpConfig::default(), &[]).await;
            expect_error(call).await;
        }
    }
}

#[tokio::test]
async fn a_call_without_an_event_id_ends_in_an_error_if_its_link_is_cut() {
    let [first, second] = nodes().await;
    let session = first.http.manager.initialized_as("2025-06-18").await;
    let mut backend = first.http.manager.backend().await;
    let client = second.client(&session);
    let (call, _) = tokio::join!(client.call(7, "a", json!({})), backend.receive());
    first.proxy.cut().await;
    expect_error(call).await;

    // With an id, its client can come back instead.
    let (mut call, _) = tokio::join!(client.call(8, "a", json!({})), backend.receive());
    let params = r#"{"progressToken":8,"progress":1}"#;
    backend.send(&format!(r#""method":"notifications/progress","params":{params}"#)).await;
    assert!(call.message().await.is_some());
    first.proxy.cut().await;
    assert!(call.message().await.is_none());
    backend.send(r#""id":8,"result":{}"#).await;
    let mut resumed = client.get(call.last_event_id.as_deref()).await;
    assert_eq!(resumed.response().await["id"], 8);
}

#[tokio::test]
async fn each_request_of_a_batch_ends_in_an_error() {
    let [first, second] = nodes().await;
    let session = first.http.manager.initialized_as("2025-03-26").await;
    let mut backend = first.http.manager.backend().await;
    let request = |id: u64| json!({ "jsonrpc": "2.0", "id": id, "method": "a" });
    let batch = json!([request(2), { "jsonrpc": "2.0", "method": "n" }, request(3)]);
    let client = second.client(&session);
    let (mut call, _) = tokio::join!(client.post(&batch), backend.receive());
    first.proxy.cut().await;
    let ids: Vec<_> = call.messages().await.iter().map(|item| item.json()["id"].clone()).collect();
    assert_eq!(ids, [2, 3]);
}
