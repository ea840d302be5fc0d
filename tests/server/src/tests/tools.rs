//! The tools.

use std::{future::poll_fn, time::Duration};

use rejoin::SseEvent;
use rejoin_core::{EventId, StreamId};
use rejoin_local_client::{Client, next, outcome, response};
use serde_json::json;
use tokio::time::{Instant, timeout};

use super::{connect, text};
use crate::http::backend;

#[tokio::test(start_paused = true)]
async fn tools_are_listed_with_their_schemas() {
    let client = connect().await;
    let initialized = client.session.initialized().unwrap();
    assert!(initialized.logging);
    let response = response(client.request(1, "tools/list", json!({})).await).await;
    let tools = response["result"]["tools"].as_array().unwrap();
    assert!(tools.iter().all(|tool| tool["description"].is_string()));
    assert!(tools.iter().all(|tool| tool["inputSchema"]["type"] == "object"));
    let count = tools.iter().find(|tool| tool["name"] == "count").unwrap();
    assert_eq!(count["inputSchema"]["properties"]["total"]["maximum"], 1_000_000);
    assert_eq!(count["inputSchema"]["required"], json!(["total", "interval_ms"]));
}

#[tokio::test(start_paused = true)]
async fn echo_responds_immediately() {
    let client = connect().await;
    let started = Instant::now();
    let response = response(client.call(1, "echo", json!({ "message": "hello" })).await).await;
    assert_eq!(text(&response), "hello");
    assert_eq!(started.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn count_reports_every_step_on_its_own_stream() {
    let client = connect().await;
    let _standalone = client.session.standalone().unwrap();
    let arguments = json!({ "total": 5, "interval_ms": 100 });
    let mut connection = client.call(1, "count", arguments.clone()).await;
    let started = Instant::now();
    let (before, response) = outcome(&mut connection).await;
    assert_eq!(started.elapsed(), Duration::from_millis(500));
    let steps: Vec<_> = before.iter().map(|step| &step["params"]).collect();
    assert_eq!(steps.len(), 5);
    for (step, n) in steps.into_iter().zip(1_u8..) {
        assert_eq!(step["progressToken"], 1);
        assert_eq!(step["progress"], f64::from(n));
        assert_eq!(step["total"], 5.0);
    }
    assert_eq!(text(&response), "counted to 5");

    let params = json!({ "name": "count", "arguments": arguments });
    let mut connection = client.request(2, "tools/call", params).await;
    let (before, _) = outcome(&mut connection).await;
    assert_eq!(before.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_reading_client_gets_every_event_of_a_flood() {
    let client = connect().await;
    let mut connection =
        client.call(1, "count", json!({ "total": 20_000, "interval_ms": 0 })).await;
    let (before, response) = outcome(&mut connection).await;
    assert_eq!(before.len(), 20_000);
    assert_eq!(before.last().unwrap()["params"]["progress"], 20_000.0);
    assert_eq!(text(&response), "counted to 20000");
}

#[tokio::test(start_paused = true)]
async fn poll_disconnects_and_responds_after_the_reconnect() {
    let client = connect().await;
    let mut connection = client.call(1, "poll", json!({ "ms": 2_000 })).await;
    let mut events = Vec::new();
    let started = Instant::now();
    while poll_fn(|cx| connection.poll_events(cx, &mut events)).await {}
    assert_eq!(started.elapsed(), Duration::ZERO);
    let retry = Some(Duration::from_secs(2));
    let id = EventId::new(StreamId::Request(0), 1);
    assert_eq!(events.last(), Some(&SseEvent::Priming { id, retry }));
    let mut connection = client.session.resume(id).unwrap();
    let (_, response) = outcome(&mut connection).await;
    assert_eq!(text(&response), "the connection was closed meanwhile");
    assert_eq!(started.elapsed(), Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn poll_keeps_the_connection_of_a_client_that_cannot_resume() {
    let client = Client::connect_as(backend(), "2025-06-18", json!({})).await;
    let response = response(client.call(1, "poll", json!({ "ms": 10 })).await).await;
    assert!(text(&response).starts_with("the connection was left open: "), "{response}");
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_call_stops() {
    let client = connect().await;
    let arguments = json!({ "total": 100_000, "interval_ms": 1_000 });
    let mut connection = client.call(1, "count", arguments).await;
    assert_eq!(next(&mut connection).await.unwrap()["params"]["progress"], 1.0);
    client.notify("notifications/cancelled", json!({ "requestId": 1 })).await;
    let mut standalone = client.session.standalone().unwrap();
    assert_eq!(next(&mut connection).await, None);
    let silence = timeout(Duration::from_secs(10), next(&mut standalone)).await;
    assert!(silence.is_err(), "{silence:?}");
}

#[tokio::test(start_paused = true)]
async fn unknown_tools_are_rejected() {
    let client = connect().await;
    let response = response(client.call(1, "sing", json!({})).await).await;
    assert_eq!(response["error"]["code"], -32_602);
    assert_eq!(response["error"]["message"], "unknown tool `sing`");
}
