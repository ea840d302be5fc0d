//! Metrics.

use serde_json::json;

use crate::fixture::Traced;

const OPERATION: &str = "mcp.server.operation.duration";
const SESSION: &str = "mcp.server.session.duration";

/// Those of the semantic conventions.
const BUCKETS: [f64; 14] =
    [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0];

#[tokio::test]
async fn requests_are_counted_in_buckets_by_method_tool_and_error() {
    let traced = Traced::start(&[]).await;
    let client = traced.client().await;
    for id in 1..=3 {
        client.call(id, "echo", json!({ "message": "m" })).await.response().await;
    }
    client.call(4, "count", json!({ "total": 1, "interval_ms": 60 })).await.response().await;
    for id in 5..=300 {
        client.call(id, &format!("tool {id}"), json!({})).await.response().await;
    }
    client.post(&json!({ "jsonrpc": "2.0", "id": 301, "method": "no/such" })).await;
    let tool = |name, error| {
        [("mcp.method.name", "tools/call"), ("gen_ai.tool.name", name), ("error.type", error)]
    };
    let unknown = [("mcp.method.name", "_other"), ("error.type", "-32601")];
    let find = |received: &crate::collector::Received| received.point(OPERATION, &unknown);
    assert_eq!(traced.collector.wait(find).await.count, 1);
    let received = traced.collector.received();
    let echo = received.point(OPERATION, &tool("echo", "")).unwrap();
    assert_eq!((echo.count, &*echo.explicit_bounds), (3, &BUCKETS[..]));
    assert_eq!(echo.bucket_counts.len(), BUCKETS.len() + 1);
    let count = received.point(OPERATION, &tool("count", "")).unwrap();
    assert!(count.sum.unwrap() >= 0.06);
    assert_eq!(count.bucket_counts[..3], [0, 0, 0]);
    assert_eq!(received.point(OPERATION, &tool("_other", "-32602")).unwrap().count, 296);
    let initialize = [("mcp.method.name", "initialize"), ("network.transport", "tcp")];
    assert_eq!(received.point(OPERATION, &initialize).unwrap().count, 1);
}

#[tokio::test]
async fn sessions_are_counted_when_they_end() {
    let exits = rejoin_test_support::script::with_prelude("receive && exit 3");
    let traced = Traced::start(&["--retention", "1s", "--", "/bin/sh", "-c", &exits]).await;
    let (deleted, failed) = (traced.client().await, traced.client().await);
    assert!(deleted.delete().await.status.is_success());
    failed.post(&json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" })).await;
    for error in ["", "backend_gone"] {
        let labels = [("rejoin.server", "default"), ("error.type", error)];
        let ended = traced.collector.wait(|received| received.point(SESSION, &labels)).await;
        assert_eq!((ended.count, &*ended.explicit_bounds), (1, &BUCKETS[..]), "{error}");
    }
}
