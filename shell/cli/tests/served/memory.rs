//! Memory and file descriptors after sessions and requests have ended.

use http::StatusCode;
use rejoin_test_support::{
    Client,
    processes::{descriptors, resident},
};
use serde_json::json;

use crate::serve;

#[tokio::test]
async fn deleted_sessions_do_not_leak() {
    let program = serve(&[]);
    let open_and_delete = async |sessions: usize| {
        for _ in 0..sessions {
            let client = Client::initialize(&program.address).await;
            assert!(client.delete().await.status.is_success());
        }
    };
    open_and_delete(1_000).await;
    let (memory, files) = (resident(program.id()), descriptors(program.id()));
    open_and_delete(4_000).await;
    let grown = resident(program.id()).saturating_sub(memory);
    assert!(grown < 4_000, "4,000 sessions left {grown} KiB");
    assert!(descriptors(program.id()) <= files + 16);
}

#[tokio::test]
async fn disconnected_requests_are_limited_per_session() {
    let program = serve(&["--max-pending-requests", "100"]);
    let client = Client::initialize(&program.address).await;
    for id in 0..1_000 {
        let call = client.call(id, "count", json!({ "total": 1, "interval_ms": 600_000 })).await;
        let expected = if id < 100 { StatusCode::OK } else { StatusCode::TOO_MANY_REQUESTS };
        assert_eq!(call.status, expected);
    }
    let other = Client::initialize(&program.address).await;
    other.call(1, "echo", json!({ "message": "m" })).await.response().await;
}

#[tokio::test]
async fn cancelled_requests_are_limited_until_they_expire() {
    let limits = [
        "--max-pending-requests",
        "5",
        "--max-cancelled-requests",
        "5",
        "--cancelled-timeout",
        "200ms",
    ];
    let program = serve(&limits);
    let client = Client::initialize(&program.address).await;
    let (mut served, mut refused) = (0, 0);
    for id in 0.. {
        let call = client.call(id, "count", json!({ "total": 1, "interval_ms": 600_000 })).await;
        if call.status == StatusCode::TOO_MANY_REQUESTS {
            refused += 1;
            // Wait until a cancelled request expires.
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            continue;
        }
        assert_eq!(call.status, StatusCode::OK);
        served += 1;
        let params = json!({ "requestId": id });
        let cancel =
            json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": params });
        assert_eq!(client.post(&cancel).await.status, StatusCode::ACCEPTED);
        if served == 50 {
            break;
        }
    }
    assert!(refused > 0, "cancelled requests count until they are answered or expire");
}

#[tokio::test]
async fn refused_requests_do_not_leak() {
    let program = serve(&[]);
    let client = Client::initialize(&program.address).await;
    let new_client = Client::new(&program.address);
    let send_refused = async |times: usize| {
        for _ in 0..times {
            let response = new_client.call(1, "echo", json!({ "message": "m" })).await;
            assert_eq!(response.status, StatusCode::BAD_REQUEST);
        }
    };
    send_refused(2_000).await;
    let memory = resident(program.id());
    send_refused(8_000).await;
    let grown = resident(program.id()).saturating_sub(memory);
    assert!(grown < 4_000, "8,000 refused requests left {grown} KiB");
    client.call(1, "echo", json!({ "message": "m" })).await.response().await;
}
