//! Sessions that one process continues after another has stopped.

use std::time::Duration;

use http::StatusCode;
use rejoin_test_support::{Client, Program, engine::Engine, sse::Item};
use serde_json::json;
use tokio::time::sleep;

use crate::{at, check_failed_after, engines, read_until, resume, serve};

/// Time after which a process may take sessions over: it knows the store for twice the time of a
/// lease.
const GRACE: Duration = Duration::from_millis(3_200);

/// Number of kills; each takes about two seconds.
const KILLS: usize = 3;

#[tokio::test]
#[ignore = "downloads a server"]
async fn a_killed_process_loses_nothing_that_was_sent() {
    for engine in engines() {
        let engine = Engine::start(&engine).await;
        let mut second = serve(&engine, &[]);
        sleep(GRACE).await;
        for _ in 0..KILLS {
            let first = serve(&engine, &[]);
            kill_and_resume(&first, &second).await;
            second = replace(second, first);
        }
    }
}

/// Keeps the process that is alive.
fn replace(second: Program, first: Program) -> Program {
    drop(first);
    second
}

/// Kills the owner of a session in the middle of a call, and resumes at another process.
async fn kill_and_resume(owner: &Program, other: &Program) {
    let client = Client::initialize(&owner.address).await;
    let count = json!({ "total": 100, "interval_ms": 2 });
    let mut response = client.call(1, "count", count).await;
    read_until(&mut response, 10).await;
    owner.signal("KILL");
    let mut seen = 10;
    while let Some(item) = response.next().await {
        seen = item.progress().inspect(|progress| assert_eq!(*progress, seen + 1)).unwrap_or(seen);
    }
    let last = response.last_event_id.unwrap();
    let client = at(&client, other);
    let (mut resumed, took) = resume(&client, &last).await;
    assert_eq!(resumed.status, StatusCode::OK);
    assert!(took < Duration::from_secs(2), "{took:?}");
    let messages = resumed.messages().await;
    let end = check_failed_after(seen, &messages);
    // It is acknowledged: there is nothing else.
    let (mut again, _) = resume(&client, &end.id().unwrap()).await;
    assert!(again.message().await.is_none());
}

#[tokio::test]
#[ignore = "downloads a server"]
async fn a_paused_process_is_fenced() {
    for engine in engines() {
        let engine = Engine::start(&engine).await;
        let second = serve(&engine, &[]);
        sleep(GRACE).await;
        let first = serve(&engine, &[]);
        let client = Client::initialize(&first.address).await;
        let count = json!({ "total": 2_000, "interval_ms": 5 });
        let mut response = client.call(1, "count", count).await;
        let last = read_until(&mut response, 10).await;
        first.signal("STOP");
        let (mut resumed, _) = resume(&at(&client, &second), &last).await;
        let messages = resumed.messages().await;
        assert!(messages.last().unwrap().json().get("error").is_some());
        let through = messages.iter().filter_map(Item::progress).next_back();
        first.signal("CONT");
        // What the first process sends after the other has claimed the session is nothing new.
        while let Some(item) = response.next().await {
            assert!(item.progress() <= through.or(Some(10)), "{:?}", item.progress());
        }
        let refused = client.call(2, "echo", json!({ "message": "a" })).await;
        assert!(refused.status.is_client_error() || refused.status.is_server_error());
    }
}

#[tokio::test]
#[ignore = "downloads a server"]
async fn a_session_that_another_process_has_is_not_said_to_be_missing() {
    for engine in engines() {
        let engine = Engine::start(&engine).await;
        let (first, second) = (serve(&engine, &[]), serve(&engine, &[]));
        let client = Client::initialize(&first.address).await;
        let refused = at(&client, &second).call(1, "echo", json!({ "message": "a" })).await;
        assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(refused.headers.contains_key("retry-after"));
        let mut response = client.call(2, "echo", json!({ "message": "a" })).await;
        assert!(response.response().await.get("result").is_some());
    }
}
