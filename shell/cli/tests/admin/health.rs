//! Liveness and readiness.

use http::{Method, StatusCode};
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

#[tokio::test]
async fn the_health_path_of_the_public_port_says_only_ok() {
    let keys = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(keys.path(), format!("ada sha256:{}\n", "0".repeat(64))).unwrap();
    let keys = keys.path().to_str().unwrap();
    let served = Served::start(&["--health-path", "/healthz", "--auth-keys", keys]);
    let client = Client::new(&served.program.address).with_path("/healthz");
    let mut ok = client.send(Method::GET, String::new(), &[]).await;
    assert_eq!(ok.status, StatusCode::OK);
    assert_eq!(ok.headers["content-type"], "text/plain; charset=utf-8");
    assert_eq!(ok.chunk().await.unwrap().unwrap(), "ok\n");
    let mut head = client.send(Method::HEAD, String::new(), &[]).await;
    assert_eq!((head.status, head.chunk().await.unwrap()), (StatusCode::OK, None));
    for method in [Method::POST, Method::DELETE] {
        let refused = client.send(method, String::new(), &[]).await;
        assert_eq!(refused.status, StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(refused.headers["allow"], "GET, HEAD");
    }
    let other = Client::new(&served.program.address).with_path("/healthz/").get(None).await;
    assert_eq!(other.status, StatusCode::NOT_FOUND);
}
