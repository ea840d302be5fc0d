//! Clients that lose their connection and resume.

use std::time::Duration;

use http::StatusCode;
use rejoin_test_support::{Client, HttpResponse, sse::Item};
use serde_json::json;

use crate::serve;

/// Reads progress in order, up to `until` or the response. Returns the last progress, and whether
/// the response was received.
async fn read_progress(response: &mut HttpResponse, from: u64, until: Option<u64>) -> (u64, bool) {
    let mut at = from;
    while until != Some(at) {
        let Some(event) = response.message().await else { return (at, false) };
        if let Some(progress) = event.progress() {
            assert_eq!(progress, at + 1, "{event:?}");
            at = progress;
        } else {
            assert!(event.is_response(), "{event:?}");
            assert_eq!(response.message().await, None);
            return (at, true);
        }
    }
    (at, false)
}

#[tokio::test]
async fn missed_events_are_replayed_in_order_after_the_response() {
    let program = serve(&[]);
    let client = Client::initialize(&program.address).await;
    let mut call = client.call(1, "count", json!({ "total": 10, "interval_ms": 20 })).await;
    assert_eq!(read_progress(&mut call, 0, Some(3)).await, (3, false));
    let seen = call.last_event_id.clone().unwrap();
    drop(call);
    // The call takes 200 ms. It completes during the next one.
    client.call(2, "count", json!({ "total": 1, "interval_ms": 400 })).await.response().await;
    let mut resumed = client.get(Some(&seen)).await;
    assert_eq!(resumed.status, StatusCode::OK);
    assert_eq!(read_progress(&mut resumed, 3, None).await, (10, true));
}

#[tokio::test]
async fn repeated_disconnects_during_a_call_lose_nothing() {
    let program = serve(&[]);
    let client = Client::initialize(&program.address).await;
    let mut response = client.call(1, "count", json!({ "total": 100, "interval_ms": 2 })).await;
    let mut at = 0;
    for stop in (5..100).step_by(5) {
        (at, _) = read_progress(&mut response, at, Some(stop)).await;
        let seen = response.last_event_id.clone().unwrap();
        drop(response);
        response = client.get(Some(&seen)).await;
    }
    assert_eq!(read_progress(&mut response, at, None).await, (100, true));
}

#[tokio::test]
async fn a_resume_replays_only_later_events() {
    let program = serve(&[]);
    let client = Client::initialize(&program.address).await;
    let mut call = client.call(1, "count", json!({ "total": 3, "interval_ms": 0 })).await;
    let events = call.messages().await;
    assert_eq!(events.len(), 4);
    for (position, event) in events.iter().enumerate() {
        let mut resumed = client.get(event.id().as_deref()).await;
        assert_eq!(resumed.messages().await, events[position + 1..]);
    }
}

#[tokio::test]
async fn evicted_events_are_reported_as_a_gap() {
    let program = serve(&[]);
    let client = Client::initialize(&program.address).await;
    let mut call = client.call(1, "count", json!({ "total": 1, "interval_ms": 0 })).await;
    call.response().await;
    drop(client.call(2, "count", json!({ "total": 5000, "interval_ms": 0 })).await);
    // Resume until the response is received.
    let mut resumed;
    let mut events = Vec::new();
    loop {
        resumed = client.get(Some("0/1")).await;
        assert_eq!(resumed.status, StatusCode::OK);
        while let Some(event) = resumed.next().await {
            events.push(event);
        }
        if events.last().is_some_and(Item::is_response) {
            break;
        }
    }
    let first = events.iter().find_map(Item::progress).unwrap();
    if first > 1 {
        assert!(matches!(events[0], Item::Gap(_)), "{:?}", events[0]);
    }
    let progress: Vec<_> = events.iter().filter_map(Item::progress).collect();
    assert!(progress.windows(2).all(|pair| pair[1] == pair[0] + 1));
    assert_eq!(progress.last(), Some(&5000));
}

#[tokio::test]
async fn a_disconnected_client_polls_after_the_retry_delay() {
    let program = serve(&[]);
    let client = Client::initialize(&program.address).await;
    let mut call = client.call(1, "poll", json!({ "ms": 300 })).await;
    let mut retry = None;
    while let Some(event) = call.next().await {
        assert!(!event.is_response());
        retry = event.retry().or(retry);
    }
    let seen = call.last_event_id.clone().unwrap();
    let resumed = loop {
        // The retry delay that the server sent.
        tokio::time::sleep(retry.unwrap()).await;
        let mut resumed = client.get(Some(&seen)).await;
        if let Some(event) = resumed.message().await {
            break event;
        }
    };
    assert!(resumed.is_response());
    assert_eq!(resumed.json()["id"].take(), 1);
}

#[tokio::test]
async fn reconnect_after_loses_nothing() {
    let options = ["--reconnect-after", "50ms", "--reconnect-delay", "7ms"];
    let program = serve(&options);
    let client = Client::initialize(&program.address).await;
    let mut connection = client.call(1, "count", json!({ "total": 30, "interval_ms": 10 })).await;
    let (mut at, mut reconnects) = (0, 0);
    loop {
        let mut retry = None;
        while let Some(event) = connection.next().await {
            retry = event.retry().or(retry);
            if let Some(progress) = event.progress() {
                assert_eq!(progress, at + 1);
                at = progress;
            } else if event.is_response() {
                assert_eq!(at, 30);
                assert!(reconnects > 1, "{reconnects} reconnects in 300 ms");
                return;
            }
        }
        assert_eq!(retry, Some(Duration::from_millis(7)));
        reconnects += 1;
        connection = client.get(connection.last_event_id.as_deref()).await;
    }
}

#[tokio::test]
async fn invalid_event_ids_are_refused_and_do_not_disturb_the_stream() {
    let program = serve(&[]);
    let client = Client::initialize(&program.address).await;
    let mut call = client.call(1, "count", json!({ "total": 5, "interval_ms": 20 })).await;
    assert_eq!(read_progress(&mut call, 0, Some(1)).await, (1, false));
    for id in ["999999/0", "-1", "x", "0/0/0", "7/7", &"9".repeat(5000)] {
        let mut refused = client.get(Some(id)).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{id}");
        assert!(refused.json().await["error"]["message"].is_string());
    }
    assert_eq!(read_progress(&mut call, 1, None).await, (5, true));
}

#[tokio::test]
async fn event_ids_of_another_session_are_refused() {
    let program = serve(&[]);
    let (mine, other) =
        (Client::initialize(&program.address).await, Client::initialize(&program.address).await);
    let mut call = other.call(1, "echo", json!({ "message": "private" })).await;
    call.response().await;
    let refused = mine.get(call.last_event_id.as_deref()).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn an_expired_response_resumes_as_an_error() {
    let program = serve(&["--retention", "0s"]);
    let client = Client::initialize(&program.address).await;
    let mut call = client.call(1, "echo", json!({ "message": "m" })).await;
    assert!(call.response().await["result"].is_object());
    drop(call);
    let mut resumed = client.get(Some("0/0")).await;
    assert_eq!(resumed.status, StatusCode::OK);
    let events = resumed.messages().await;
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].json()["id"], 1);
    assert!(events[0].json()["error"].is_object());
}
