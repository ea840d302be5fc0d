//! What is sent on shutdown, and what is not sent at all.

use std::time::Duration;

use serde_json::json;

use crate::{
    collector::{Behaviour, Collector, text},
    fixture::Traced,
};

#[tokio::test]
async fn spans_and_metrics_are_sent_on_shutdown() {
    let collector = Collector::start(Behaviour::Accepts).await;
    let rare = [("OTEL_BSP_SCHEDULE_DELAY", "60000"), ("OTEL_METRIC_EXPORT_INTERVAL", "60000")];
    let traced = Traced::start_with(collector, &["--drain-timeout", "100ms"], &rare);
    let client = traced.client().await;
    client.call(1, "echo", json!({ "message": "m" })).await.response().await;
    let pending = client.call(2, "count", json!({ "total": 1, "interval_ms": 60_000 })).await;
    assert_eq!(traced.collector.received().requests, 0);
    let (collector, _) = traced.stop(Duration::from_secs(10)).await;
    drop(pending);
    assert_eq!(collector.span("1").await.name, "tools/call echo");
    // Its session is closed before.
    let closed = collector.span("2").await;
    assert_eq!(text(&closed.attributes, "error.type"), "session_closed");
    let received = collector.received();
    assert!(received.point("mcp.server.session.duration", &[]).is_some());
}

#[tokio::test]
async fn nothing_is_sent_if_the_sdk_is_disabled() {
    let collector = Collector::start(Behaviour::Accepts).await;
    let mut traced = Traced::start_with(collector, &[], &[("OTEL_SDK_DISABLED", "true")]);
    traced.logged("OTEL_SDK_DISABLED is set").await;
    traced.client().await;
    let (collector, _) = traced.stop(Duration::from_secs(10)).await;
    assert_eq!(collector.received().requests, 0);
}
