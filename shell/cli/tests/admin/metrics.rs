//! Metrics.

use std::time::Duration;

use http::StatusCode;
use rejoin_test_support::{Client, script};
use serde_json::json;
use tokio::time::timeout;

use crate::Served;

/// Returns the value of the only sample with this name and these labels, in any order.
fn sample(metrics: &str, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let has_labels = |line: &&str| {
        labels.iter().all(|(label, value)| line.contains(&format!("{label}=\"{value}\"")))
    };
    let is_named =
        |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
    let mut samples = metrics.lines().filter(is_named).filter(has_labels);
    let sample = samples.next()?;
    assert_eq!(samples.next(), None, "{name} {labels:?}");
    sample.rsplit(' ').next().unwrap().parse().ok()
}

const SERVER: (&str, &str) = ("server", "default");

#[tokio::test]
async fn requests_and_sessions_are_counted() {
    let served = Served::start(&[]);
    let client = Client::initialize(&served.program.address).await;
    for id in 1..=3 {
        client.call(id, "echo", json!({ "message": "m" })).await.response().await;
    }
    client.call(4, "no such tool", json!({})).await.response().await;
    client
        .post(&json!({ "jsonrpc": "2.0", "id": 5, "method": "no/such/method" }))
        .await
        .response()
        .await;
    assert_eq!(client.with_session("unknown").get(None).await.status, StatusCode::NOT_FOUND);
    let metrics = served.text("/metrics").await;
    let count = |method, tool, error| {
        let labels = [
            SERVER,
            ("mcp_method_name", method),
            ("gen_ai_tool_name", tool),
            ("error_type", error),
        ];
        sample(&metrics, "mcp_server_operation_duration_seconds_count", &labels)
    };
    assert_eq!(count("tools/call", "echo", ""), Some(3.0), "{metrics}");
    assert_eq!(count("tools/call", "_other", "-32602"), Some(1.0), "{metrics}");
    assert_eq!(count("_other", "", "-32601"), Some(1.0), "{metrics}");
    assert_eq!(count("initialize", "", ""), Some(1.0), "{metrics}");
    assert_eq!(sample(&metrics, "rejoin_sessions", &[SERVER]), Some(1.0));
    assert_eq!(sample(&metrics, "rejoin_requests_pending", &[SERVER]), Some(0.0));
    assert_eq!(sample(&metrics, "rejoin_refusals_total", &[SERVER, ("code", "404")]), Some(1.0));
    assert!(client.delete().await.status.is_success());
    let metrics = served.text("/metrics").await;
    let deleted = [SERVER, ("reason", "deleted")];
    assert_eq!(sample(&metrics, "rejoin_sessions_closed_total", &deleted), Some(1.0));
    assert_eq!(sample(&metrics, "mcp_server_session_duration_seconds_count", &[SERVER]), Some(1.0));
    assert_eq!(sample(&metrics, "rejoin_sessions", &[SERVER]), Some(0.0));
    assert!(metrics.ends_with("# EOF\n"));
}

#[tokio::test]
async fn refused_credentials_are_counted() {
    let keys = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(keys.path(), format!("ada sha256:{}\n", "0".repeat(64))).unwrap();
    let served = Served::start(&["--auth-keys", keys.path().to_str().unwrap()]);
    let initialize = rejoin_test_support::initialize("2025-11-25", &json!({}));
    let refused = Client::new(&served.program.address).post(&initialize).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    let metrics = served.text("/metrics").await;
    assert_eq!(sample(&metrics, "rejoin_refusals_total", &[SERVER, ("code", "401")]), Some(1.0));
    let missing = [("reason", "missing")];
    assert_eq!(sample(&metrics, "rejoin_auth_failures_total", &missing), Some(1.0), "{metrics}");
}

/// Reads the metrics until one without other labels than the server has a value.
async fn metrics_with(served: &Served, name: &str, value: f64) -> String {
    let read = async {
        loop {
            let metrics = served.text("/metrics").await;
            if sample(&metrics, name, &[SERVER]) == Some(value) {
                return metrics;
            }
        }
    };
    timeout(Duration::from_secs(20), read).await.unwrap()
}

#[tokio::test]
async fn lost_connections_resumes_and_gaps_are_counted() {
    let served = Served::start(&["--max-stream-events", "2"]);
    let client = Client::initialize(&served.program.address).await;
    let mut call = client.call(1, "count", json!({ "total": 20, "interval_ms": 50 })).await;
    let first = call.message().await.unwrap().id().clone();
    drop(call);
    let metrics = metrics_with(&served, "rejoin_requests_pending", 0.0).await;
    assert_eq!(sample(&metrics, "rejoin_connections_lost_total", &[SERVER]), Some(1.0));
    let mut resumed = client.get(first.as_deref()).await;
    assert!(resumed.response().await["result"].is_object());
    let metrics = served.text("/metrics").await;
    assert_eq!(sample(&metrics, "rejoin_resumes_total", &[SERVER]), Some(1.0));
    assert_eq!(sample(&metrics, "rejoin_events_replayed_total", &[SERVER]), Some(2.0));
    assert_eq!(sample(&metrics, "rejoin_gaps_total", &[SERVER]), Some(1.0));
    assert!(sample(&metrics, "rejoin_events_missed_total", &[SERVER]).unwrap() > 10.0);
}

#[tokio::test]
async fn processes_are_counted_by_how_they_ended() {
    let answer = script::with_prelude("receive && exit 3");
    let served = Served::start(&["--", "/bin/sh", "-c", &answer]);
    let stays = Client::initialize(&served.program.address).await;
    let exits = Client::initialize(&served.program.address).await;
    let metrics = served.text("/metrics").await;
    assert_eq!(sample(&metrics, "rejoin_processes", &[SERVER]), Some(2.0), "{metrics}");
    assert_eq!(sample(&metrics, "rejoin_process_start_seconds_count", &[SERVER]), Some(2.0));
    let ping = json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" });
    exits.post(&ping).await;
    assert!(stays.delete().await.status.is_success());
    let ended = |metrics: &str, how| {
        sample(metrics, "rejoin_process_exits_total", &[SERVER, ("reason", how)])
    };
    let metrics = metrics_with(&served, "rejoin_processes", 0.0).await;
    assert_eq!(ended(&metrics, "before_session"), Some(1.0), "{metrics}");
    assert_eq!(ended(&metrics, "with_session"), Some(1.0), "{metrics}");
}
