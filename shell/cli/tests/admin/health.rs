//! Liveness and readiness.

use http::StatusCode;
use rejoin_test_support::Client;
use serde_json::json;

use crate::Served;

#[tokio::test]
async fn a_program_that_shuts_down_is_alive_but_not_ready() {
    let served = Served::start(&["--drain-timeout", "30s"]);
    assert_eq!(served.text("/livez").await, "ok\n");
    assert_eq!(served.text("/readyz").await, "ok\n");
    let client = Client::initialize(&served.program.address).await;
    let mut call = client.call(1, "count", json!({ "total": 1_000, "interval_ms": 100 })).await;
    assert!(call.message().await.is_some());
    served.program.signal("TERM");
    while served.get("/readyz").await.status == StatusCode::OK {
        assert!(call.message().await.is_some());
    }
    assert_eq!(served.get("/readyz").await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(served.text("/livez").await, "ok\n");
}

#[tokio::test]
async fn the_public_port_does_not_serve_operators() {
    let served = Served::start(&[]);
    for path in ["/livez", "/readyz", "/metrics", "/sessions"] {
        let public = Client::new(&served.program.address).with_path(path).get(None).await;
        assert_eq!(public.status, StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(served.get("/mcp").await.status, StatusCode::NOT_FOUND);
}
