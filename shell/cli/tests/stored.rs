//! Programs with a store on a real server: restarts, takeovers and outages. Ignored unless asked for,
//! because the server is downloaded.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::panic, reason = "a test fails by panicking")]
#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]

#[path = "stored/nodes.rs"]
mod nodes;
#[path = "stored/outages.rs"]
mod outages;
#[path = "stored/restarts.rs"]
mod restarts;
#[path = "stored/takeovers.rs"]
mod takeovers;

use std::{path::PathBuf, time::Duration};

use http::StatusCode;
use rejoin_test_support::{Client, HttpResponse, Program, engine::Engine, sse::Item};
use tokio::time::{Instant, sleep};

/// Returns the servers to test with.
fn engines() -> Vec<PathBuf> {
    rejoin_test_support::engine::programs(env!("CARGO_TARGET_TMPDIR"))
}

/// Starts the program with a store.
fn serve(engine: &Engine, options: &[&str]) -> Program {
    let url = engine.url();
    Program::serve(&[&["--store", &url], options].concat())
}

/// Returns the same session at another program.
fn at(client: &Client, program: &Program) -> Client {
    Client::new(&program.address).with_session(client.session())
}

/// Resumes a stream, as a client does that waits if it is told to. Also returns how long it took.
async fn resume(client: &Client, last_event_id: &str) -> (HttpResponse, Duration) {
    let begun = Instant::now();
    loop {
        let response = client.get(Some(last_event_id)).await;
        if response.status != StatusCode::SERVICE_UNAVAILABLE {
            return (response, begun.elapsed());
        }
        assert!(response.headers.contains_key("retry-after"), "{:?}", response.headers);
        assert!(begun.elapsed() < Duration::from_secs(30), "it is never served");
        sleep(Duration::from_millis(100)).await;
    }
}

/// Checks that a resumed call goes on after the progress that was seen, and ends in an error. Returns
/// that.
fn check_failed_after(seen: u64, messages: &[Item]) -> &Item {
    let (end, progress) = messages.split_last().unwrap();
    for (message, expected) in progress.iter().zip(seen + 1..) {
        assert_eq!(message.progress(), Some(expected));
    }
    assert!(end.json().get("error").is_some(), "{}", end.json());
    end
}

/// Reads events until there is one with this progress. Returns the id of the last one.
async fn read_until(response: &mut HttpResponse, progress: u64) -> String {
    loop {
        let item = response.next().await.unwrap();
        if item.progress() == Some(progress) {
            return item.id().unwrap();
        }
    }
}
