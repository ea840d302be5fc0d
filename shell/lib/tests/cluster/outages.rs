//! Nodes of which one has lost the store.

use std::{sync::atomic::Ordering, time::Duration};

use http::StatusCode;
use rejoin::{HttpConfig, store::MemoryStore};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::{
    counting_store::CountingStore,
    node::{Node, SECRET},
    test_store::TestStore,
};

/// Twice the lease, and some time for the search.
const TAKEN_OVER_IN: Duration = Duration::from_secs(5);

#[tokio::test]
async fn a_session_whose_owner_has_lost_only_the_store_is_taken_over() {
    let store = TestStore::new();
    let its_store = store.other();
    let first = Node::start_with(&its_store, SECRET, HttpConfig::default()).await;
    let second = Node::start_with(&store, SECRET, HttpConfig::default()).await;
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

    // The second one knows the owner by now, and its link stands.
    its_store.cut(true);
    let begun = Instant::now();
    let mut resumed = loop {
        let resumed = client.get(Some("0/0")).await;
        if second.http.manager.sessions.has_session(session.id()) {
            break resumed;
        }
        assert!(matches!(resumed.status, StatusCode::OK | StatusCode::SERVICE_UNAVAILABLE));
        assert!(begun.elapsed() < TAKEN_OVER_IN, "{}", resumed.status);
        sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(resumed.response().await["id"], 1);

    // The former owner finds out, too.
    its_store.cut(false);
    while first.http.manager.sessions.has_session(session.id()) {
        assert!(begun.elapsed() < 3 * TAKEN_OVER_IN, "it still has the session");
        sleep(Duration::from_millis(20)).await;
    }
}

/// The store has accepted the claim of the second one, which does not know it.
#[tokio::test]
async fn a_session_that_was_claimed_too_late_is_served_by_who_has_claimed_it() {
    let memory = MemoryStore::default();
    let store = CountingStore::of(memory.clone());
    let first = Node::start(&memory).await;
    let second = Node::start_with(&store, SECRET, HttpConfig::default()).await;
    let third = Node::start(&memory).await;
    tokio::join!(second.settle(), third.settle());
    let session = first.http.manager.initialized().await;
    let mut backend = first.http.manager.backend().await;
    let client = first.client(&session);
    let respond = async {
        backend.receive().await;
        backend.send(r#""id":1,"result":{}"#).await;
    };
    let (mut call, ()) = tokio::join!(client.call(1, "a", json!({})), respond);
    assert_eq!(call.response().await["id"], 1);
    first.http.manager.sessions.close_all();
    first.http.manager.sessions.closed().await;

    store.loses_claim.store(true, Ordering::SeqCst);
    let refused = second.client(&session).get(Some("0/0")).await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    let mut resumed = third.client(&session).get(Some("0/0")).await;
    assert_eq!(resumed.status, StatusCode::OK);
    assert_eq!(resumed.response().await["id"], 1);
    assert!(second.http.manager.sessions.has_session(session.id()));
}
