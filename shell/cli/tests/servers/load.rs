//! Reloads under load.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use rejoin_test_support::{Client, processes::wait_until, script};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::fixture::{Served, valued};

const CLIENTS: usize = 64;

#[derive(Default)]
struct Progress {
    calls: AtomicUsize,
    stop: AtomicBool,
}

/// Calls until it is told to stop. Returns the number of calls, each of which was answered once by
/// the same process.
async fn call_repeatedly(client: Client, progress: Arc<Progress>) -> i64 {
    let mut pid = Value::Null;
    for id in 1.. {
        let result = script::result(&client, id, Value::Null).await;
        assert_eq!(result["requests"], id, "a call was lost or doubled: {result}");
        assert!(pid.is_null() || pid == result["pid"], "another process");
        pid = result["pid"].clone();
        progress.calls.fetch_add(1, Ordering::SeqCst);
        if progress.stop.load(Ordering::SeqCst) {
            return id;
        }
    }
    unreachable!()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_that_changes_nothing_ends_no_session() {
    let servers = json!({ "a": valued("a"), "b": valued("b") });
    let served = Served::start(&servers, &[]);
    let progress = Arc::new(Progress::default());
    let mut calls = JoinSet::new();
    for number in 0..CLIENTS {
        let client = served.open(["a", "b"][number % 2]).await;
        calls.spawn(call_repeatedly(client, Arc::clone(&progress)));
    }
    for _ in 0..3 {
        let next = progress.calls.load(Ordering::SeqCst) + 2 * CLIENTS;
        wait_until(|| progress.calls.load(Ordering::SeqCst) >= next).await;
        let line = served.reload(&servers);
        assert!(line.contains("unchanged=2 changed=0 added=0 removed=0"), "{line}");
    }
    progress.stop.store(true, Ordering::SeqCst);
    let calls = calls.join_all().await;
    assert_eq!(calls.len(), CLIENTS);
    assert!(calls.iter().all(|calls| *calls > 0), "{calls:?}");
}
