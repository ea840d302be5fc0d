//! Shutdown by signals.

use std::time::Duration;

use rejoin_test_support::{Client, Program};
use serde_json::json;

#[tokio::test]
async fn signals_close_idle_connections_and_exit() {
    for signal in ["TERM", "INT", "HUP"] {
        let program = Program::serve(&["--drain-timeout", "600s"]);
        let client = Client::initialize(&program.address).await;
        let mut standalone = client.get(None).await;
        assert!(program.stop_with(signal).success());
        let mut retry = None;
        while let Some(event) = standalone.next().await {
            retry = event.retry().or(retry);
        }
        assert_eq!(retry, Some(Duration::from_secs(1)));
    }
}

#[tokio::test]
async fn requests_that_exceed_the_drain_timeout_fail() {
    let program = Program::serve(&["--drain-timeout", "100ms"]);
    let client = Client::initialize(&program.address).await;
    let mut call = client.call(1, "count", json!({ "total": 1, "interval_ms": 600_000 })).await;
    assert!(program.stop_with("TERM").success());
    let error = &call.response().await["error"];
    assert_eq!(error["code"], -32603);
    assert_eq!(error["message"], "the session was closed: the server is shutting down");
}

#[tokio::test]
async fn a_second_signal_exits_immediately() {
    let program = Program::serve(&["--drain-timeout", "600s"]);
    let client = Client::initialize(&program.address).await;
    // Never read, and larger than the socket buffers.
    let _flood = client.call(1, "count", json!({ "total": 1_000_000, "interval_ms": 0 })).await;
    program.signal("TERM");
    // A different signal, since the kernel merges pending signals of the same kind.
    assert!(program.stop_with("INT").success());
}
