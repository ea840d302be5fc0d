//! HTTP/1.1 over TLS.

use super::fixture::{Served, check_slow_reader, count, echo, get, read_gap, read_progress};

#[tokio::test]
async fn a_session_is_served() {
    let served = Served::start(&[]);
    assert!(served.program.url.starts_with("https://127.0.0.1:"), "{}", served.program.url);
    let client = served.open().await;
    let mut call = served.send(count(&client, 1, 3, 0)).await;
    assert_eq!(read_progress(&mut call, 0, None).await, (3, true));
}

/// Many more bytes than the buffers between server and client, if they are limited.
const EVENTS: u64 = 20_000;

#[tokio::test]
async fn what_a_stopped_reader_was_sent_is_limited() {
    let served = Served::start(&[]);
    let client = served.open().await;
    let mut call = served.send(count(&client, 1, EVENTS, 0)).await;
    assert_eq!(read_progress(&mut call, 0, Some(3)).await, (3, false));
    let seen = call.last_event_id.clone().unwrap();
    // Another call takes longer than the buffers need to fill.
    let mut other = served.send(count(&client, 2, 5, 100)).await;
    assert_eq!(read_progress(&mut other, 0, None).await, (5, true));
    let mut resumed = served.send(get(&client, Some(&seen))).await;
    let sent = read_gap(&mut resumed, 3).await;
    assert!(sent < EVENTS / 5, "{sent}");
    assert_eq!(read_progress(&mut resumed, sent, None).await, (EVENTS, true));
}

#[tokio::test]
async fn a_shutdown_waits_until_a_response_is_read() {
    let served = Served::start(&["--drain-timeout", "600s"]);
    let client = served.open().await;
    let message = "m".repeat(1 << 20);
    let response = served.send(echo(&client, 1, &message)).await;
    check_slow_reader(served, response, &message).await;
}
