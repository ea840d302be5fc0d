//! Collectors that do not accept telemetry.

use std::time::Duration;

use rejoin_test_support::Client;
use serde_json::{Value, json};
use tokio::{net::TcpListener, time::Instant};

use crate::{
    collector::{Behaviour, Collector},
    fixture::Traced,
};

const REFUSED: &str = "the collector does not accept telemetry";
const ACCEPTED: &str = "the collector accepts telemetry again";

/// Makes calls, and returns how long they took.
async fn calls(client: &Client, count: i64) -> Duration {
    let before = Instant::now();
    for id in 1..=count {
        client.call(id, "echo", json!({ "message": "m" })).await.response().await;
    }
    before.elapsed()
}

fn is_refusal(line: &Value) -> bool {
    line["message"] == REFUSED
}

/// Returns the signals of lines, sorted.
fn signals<'a>(lines: impl IntoIterator<Item = &'a Value>) -> Vec<&'a str> {
    let mut signals: Vec<_> =
        lines.into_iter().map(|line| line["signal"].as_str().unwrap()).collect();
    signals.sort_unstable();
    signals
}

#[tokio::test]
async fn a_collector_that_is_down_delays_nothing_and_is_logged_once() {
    let collector = Collector::start(Behaviour::Accepts).await;
    // A port that nobody listens on.
    let url = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let mut traced = Traced::start_at(&url, collector, &[], &[]);
    let client = traced.client().await;
    assert!(calls(&client, 100).await < Duration::from_secs(5));
    let line = traced.logged(REFUSED).await;
    assert!(line["error"].as_str().unwrap().contains("Connect"), "{line}");
    let other = traced.logged(REFUSED).await;
    assert_eq!(signals([&line, &other]), ["metrics", "traces"]);
    let (_, lines) = traced.stop(Duration::from_secs(10)).await;
    assert!(!lines.iter().any(is_refusal), "{lines:?}");
}

#[tokio::test]
async fn a_collector_that_never_responds_delays_neither_calls_nor_the_shutdown() {
    let collector = Collector::start(Behaviour::Hangs).await;
    let timeout = ("OTEL_EXPORTER_OTLP_TIMEOUT", "30000");
    // A queue that a few spans fill.
    let small =
        [timeout, ("OTEL_BSP_MAX_QUEUE_SIZE", "4"), ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "2")];
    let traced = Traced::start_with(collector, &[], &small);
    let client = traced.client().await;
    traced.collector.wait(|received| (received.requests > 0).then_some(())).await;
    assert!(calls(&client, 300).await < Duration::from_secs(5));
    let before = Instant::now();
    let (_, lines) = traced.stop(Duration::from_secs(10)).await;
    assert!(before.elapsed() < Duration::from_secs(6), "{:?}", before.elapsed());
    let unsent =
        lines.iter().filter(|line| line["message"] == "shutdown: some telemetry was not sent");
    assert!(unsent.count() >= 1, "{lines:?}");
}

#[tokio::test]
async fn a_request_to_the_collector_has_a_timeout() {
    let collector = Collector::start(Behaviour::Hangs).await;
    let timeout = ("OTEL_EXPORTER_OTLP_TIMEOUT", "100");
    let mut traced = Traced::start_with(collector, &[], &[timeout]);
    traced.client().await;
    let line = traced.logged(REFUSED).await;
    assert_eq!(line["error"], "no response within 100ms");
}

#[tokio::test]
async fn a_collector_that_refuses_is_logged_once_until_it_accepts() {
    let collector = Collector::start(Behaviour::Refuses(500)).await;
    let mut traced = Traced::start_with(collector, &[], &[]);
    let client = traced.client().await;
    calls(&client, 5).await;
    let line = traced.logged(REFUSED).await;
    assert_eq!(line["error"], "status 500 Internal Server Error");
    let other = traced.logged(REFUSED).await;
    assert_eq!(signals([&line, &other]), ["metrics", "traces"]);
    // Those that follow are of metrics.
    let refused = traced.collector.received().requests;
    traced.collector.wait(|received| (received.requests > refused + 3).then_some(())).await;
    traced.collector.set(Behaviour::Accepts);
    client.call(9, "echo", json!({ "message": "m" })).await.response().await;
    traced.collector.span("9").await;
    let mut lines = traced.logged_until(ACCEPTED).await;
    lines.extend(traced.logged_until(ACCEPTED).await);
    assert!(!lines.iter().any(is_refusal), "{lines:?}");
    let accepted = || lines.iter().filter(|line| line["message"] == ACCEPTED);
    assert_eq!(signals(accepted()), ["metrics", "traces"]);
    let metrics = accepted().find(|line| line["signal"] == "metrics").unwrap();
    assert!(metrics["failures"].as_u64().unwrap() > 3, "{lines:?}");
    let (_, lines) = traced.stop(Duration::from_secs(10)).await;
    assert!(!lines.iter().any(is_refusal), "{lines:?}");
}

#[tokio::test]
async fn a_collector_that_takes_only_traces_is_logged_once() {
    let collector = Collector::start(Behaviour::AcceptsTraces).await;
    let mut traced = Traced::start_with(collector, &[], &[]);
    let client = traced.client().await;
    let line = traced.logged(REFUSED).await;
    assert_eq!(
        (&line["signal"], &line["error"]),
        (&json!("metrics"), &json!("status 404 Not Found"))
    );
    for id in 1..=5 {
        client.call(id, "echo", json!({ "message": "m" })).await.response().await;
        traced.collector.span(&id.to_string()).await;
        let refused = traced.collector.received().requests;
        traced.collector.wait(|received| (received.requests > refused).then_some(())).await;
    }
    let (_, lines) = traced.stop(Duration::from_secs(10)).await;
    let about_it = |line: &&Value| is_refusal(line) || line["message"] == ACCEPTED;
    assert_eq!(lines.iter().find(about_it), None);
}
