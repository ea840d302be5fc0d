//! Lifetime of sessions.

use http::StatusCode;
use rejoin_test_support::Client;
use serde_json::json;

use crate::serve;

#[tokio::test]
async fn a_pending_request_keeps_its_session() {
    let program = serve(&["--idle-timeout", "200ms"]);
    let client = Client::initialize(&program.address).await;
    let mut call = client.call(1, "count", json!({ "total": 1, "interval_ms": 1_000 })).await;
    assert!(call.response().await["result"].is_object());
}

#[tokio::test]
async fn an_open_get_keeps_its_session_until_it_is_closed() {
    let program = serve(&["--idle-timeout", "200ms"]);
    let client = Client::initialize(&program.address).await;
    let get = client.get(None).await;
    // Longer than the idle timeout, in a single request.
    client.call(1, "count", json!({ "total": 1, "interval_ms": 600 })).await.response().await;
    client.call(2, "echo", json!({ "message": "m" })).await.response().await;
    drop(get);
    while client.call(3, "count", json!({ "total": 1, "interval_ms": 0 })).await.status
        != StatusCode::NOT_FOUND
    {
        // Each attempt restarts the idle timer, so wait longer than the timeout.
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    }
}

#[tokio::test]
async fn sessions_beyond_the_limit_get_503_with_retry_after() {
    let program = serve(&["--max-sessions", "1"]);
    let client = Client::initialize(&program.address).await;
    // A session without a request would be evicted.
    client.call(1, "echo", json!({ "message": "m" })).await.response().await;
    let initialize = rejoin_test_support::initialize("2025-11-25", &json!({}));
    let refused = Client::new(&program.address).post(&initialize).await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(refused.headers.contains_key("retry-after"));
    assert!(client.delete().await.status.is_success());
    Client::initialize(&program.address).await;
}
