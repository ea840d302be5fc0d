//! The `announce` tool: messages that belong to no request.

use std::time::Duration;

use rejoin_local_client::{next, response};
use serde_json::json;
use tokio::time::{Instant, timeout};

use super::{connect, failure, text};

#[tokio::test(start_paused = true)]
async fn announcements_follow_the_response_on_the_standalone_stream() {
    let client = connect().await;
    let mut standalone = client.session.standalone().unwrap();
    let started = Instant::now();
    let arguments = json!({ "count": 3, "interval_ms": 1_000 });
    let response = response(client.call(1, "announce", arguments).await).await;
    assert_eq!(started.elapsed(), Duration::ZERO);
    assert_eq!(text(&response), "3 announcements follow");
    for n in 1..=3 {
        let message = next(&mut standalone).await.unwrap();
        assert_eq!(message["method"], "notifications/message");
        assert_eq!(message["params"]["data"], format!("announcement {n} of 3"));
        assert_eq!(started.elapsed(), Duration::from_secs(n));
    }
}

#[tokio::test(start_paused = true)]
async fn announcements_respect_the_logging_level() {
    let client = connect().await;
    let mut standalone = client.session.standalone().unwrap();
    let level = json!({ "level": "warning" });
    assert_eq!(
        response(client.request(1, "logging/setLevel", level).await).await["result"],
        json!({})
    );
    let arguments = json!({ "count": 3, "interval_ms": 1 });
    response(client.call(2, "announce", arguments).await).await;
    let silence = timeout(Duration::from_secs(1), next(&mut standalone)).await;
    assert!(silence.is_err(), "{silence:?}");
}

#[tokio::test(start_paused = true)]
async fn background_tasks_of_a_session_are_limited() {
    let client = connect().await;
    let arguments = json!({ "count": 1, "interval_ms": 1_000 });
    for id in 1..=16 {
        text(&response(client.call(id, "announce", arguments.clone()).await).await);
    }
    let refused = response(client.call(17, "announce", arguments.clone()).await).await;
    assert_eq!(failure(&refused), "this session has 16 background tasks already");
    tokio::time::sleep(Duration::from_secs(2)).await;
    text(&response(client.call(18, "announce", arguments).await).await);
}

#[tokio::test(start_paused = true)]
async fn announcements_end_with_the_session() {
    let client = connect().await;
    let arguments = json!({ "count": 100_000, "interval_ms": 60_000 });
    response(client.call(1, "announce", arguments).await).await;
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    client.sessions.close_all();
    // The service, its event loop and the announcements.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(tasks(), before - 3);
}
