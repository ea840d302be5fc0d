//! Events of connections on the spans of the requests that they concern.

use rejoin_test_support::Client;
use serde_json::json;

use crate::{
    collector::{events, hex, text},
    fixture::{TRACE, Traced, traced_call, traceparent},
};

/// Begins a call that ends while its client is away. Returns the id of the last event before.
async fn call_and_leave(traced: &mut Traced, client: &Client, total: u32) -> String {
    let arguments = json!({ "total": total, "interval_ms": 20 });
    let mut call = traced_call(client, 1, "count", arguments, &traceparent(), &[]).await;
    call.message().await.unwrap();
    let seen = call.last_event_id.clone().unwrap();
    drop(call);
    traced.logged("connection lost").await;
    // The call ends during this one.
    let longer = json!({ "total": 1, "interval_ms": 20 * (total + 20) });
    client.call(2, "count", longer).await.response().await;
    seen
}

#[tokio::test]
async fn a_call_whose_client_comes_back_has_one_span_until_then() {
    let mut traced = Traced::start(&[]).await;
    let client = traced.client().await;
    let seen = call_and_leave(&mut traced, &client, 5).await;
    let other = traced.collector.span("2").await;
    assert!(client.get(Some(&seen)).await.response().await["result"].is_object());
    let span = traced.collector.span("1").await;
    assert_eq!(span.name, "tools/call count");
    assert_eq!(hex(&span.trace_id), TRACE);
    let after = seen.split('/').next().unwrap();
    assert_eq!(
        events(&span),
        [
            "disconnected rejoin.reason=lost".to_owned(),
            format!("resumed rejoin.after={after}"),
            "replayed rejoin.events=5".to_owned(),
        ]
    );
    assert!(span.end_time_unix_nano > other.end_time_unix_nano);
    assert_eq!(text(&span.attributes, "error.type"), "");
}

#[tokio::test]
async fn a_call_that_goes_on_after_its_client_has_come_back_ends_with_its_response() {
    let mut traced = Traced::start(&[]).await;
    let client = traced.client().await;
    let arguments = json!({ "total": 20, "interval_ms": 50 });
    let mut call = traced_call(&client, 1, "count", arguments, &traceparent(), &[]).await;
    call.message().await.unwrap();
    let seen = call.last_event_id.clone().unwrap();
    drop(call);
    traced.logged("connection lost").await;
    let mut resumed = client.get(Some(&seen)).await;
    resumed.message().await.unwrap();
    // This takes its place.
    let mut second = client.get(resumed.last_event_id.as_deref()).await;
    assert!(second.response().await["result"].is_object());
    let span = traced.collector.span("1").await;
    let names: Vec<_> = span.events.iter().map(|event| &*event.name).collect();
    let names: Vec<_> = names.into_iter().filter(|name| *name != "replayed").collect();
    assert_eq!(names, ["disconnected", "resumed", "disconnected", "resumed"]);
    assert_eq!(text(&span.events.last().unwrap().attributes, "rejoin.reason"), "");
    let reasons = events(&span).join("\n");
    assert!(reasons.contains("disconnected rejoin.reason=replaced"), "{reasons}");
}

#[tokio::test]
async fn a_client_that_missed_events_has_a_gap() {
    let mut traced = Traced::start(&["--max-stream-events", "2"]).await;
    let client = traced.client().await;
    let seen = call_and_leave(&mut traced, &client, 10).await;
    assert!(client.get(Some(&seen)).await.response().await["result"].is_object());
    let span = traced.collector.span("1").await;
    let gap = span.events.iter().find(|event| event.name == "gap").unwrap();
    let number = |key| text(&gap.attributes, key).parse::<u64>().unwrap();
    let first: u64 = seen.split('/').next().unwrap().parse::<u64>().unwrap() + 1;
    assert_eq!(number("rejoin.first"), first);
    assert_eq!(number("rejoin.events"), number("rejoin.last") - first + 1);
    assert!(number("rejoin.events") >= 7, "{gap:?}");
}

#[tokio::test]
async fn a_call_whose_client_stays_away_ends_when_the_response_expires() {
    let mut traced = Traced::start(&["--retention", "1s"]).await;
    let client = traced.client().await;
    call_and_leave(&mut traced, &client, 5).await;
    let span = traced.collector.span("1").await;
    assert_eq!(events(&span), ["disconnected rejoin.reason=lost", "expired"]);
    // It has ended with its request.
    assert!(span.end_time_unix_nano < span.events[1].time_unix_nano);
}

#[tokio::test]
async fn a_client_that_is_told_to_poll_is_disconnected() {
    let traced = Traced::start(&[]).await;
    let client = traced.client().await;
    let mut call = client.call(1, "poll", json!({ "ms": 300 })).await;
    while call.next().await.is_some() {}
    let seen = call.last_event_id.clone();
    let resumed = client.get(seen.as_deref()).await.response().await;
    assert!(resumed["result"].is_object());
    let span = traced.collector.span("1").await;
    assert_eq!(events(&span)[0], "disconnected rejoin.reason=requested");
    assert!(events(&span)[1].starts_with("resumed"));
}
