//! Restarts under load: each instance is replaced by the next one, and no call is lost or doubled.

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::StatusCode;
use rejoin_test_support::{Client, Program, initialize, script};
use serde_json::json;
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::balancer::Balancer;

const CLIENTS: usize = 64;
const RESTARTS: usize = 3;

/// A server that counts its calls in a file, one line each, and takes as long as the call says.
const COUNTS: &str = r#"while receive; do
    call=${line#*'"call":"'}
    seconds=${line#*'"seconds":"'}
    echo "${call%%\"*}" >> "$CALLS"
    sleep "${seconds%%\"*}"
    respond '{"content":[]}'
done"#;

/// Every so many clients make calls that take longer than an instance serves after the signal.
const LONG_EVERY: usize = 8;

/// How long an instance serves after the signal: longer than the balancer takes to notice.
const DRAIN_DELAY: Duration = Duration::from_millis(1_000);

/// How long the balancer takes to notice that an instance is not ready any more.
const LAG: Duration = Duration::from_millis(300);

fn start_instance(calls: &Path) -> Program {
    let delay = format!("{}ms", DRAIN_DELAY.as_millis());
    let calls = format!("CALLS={}", calls.display());
    let options = ["--drain-delay", &delay, "--drain-timeout", "60s", "--env", &calls];
    script::serve(&options, COUNTS)
}

/// What the clients have seen.
#[derive(Default)]
struct Seen {
    is_over: AtomicBool,
    /// Calls that were refused because their session had ended or drained, and sent again.
    refused: AtomicUsize,
    sessions: AtomicUsize,
}

/// Makes calls one after the other, until it is told to stop. Returns how many have a response.
async fn make_calls(nth: usize, balancer: String, seen: Arc<Seen>) -> usize {
    let seconds = if nth.is_multiple_of(LONG_EVERY) { "2" } else { "0.05" };
    let mut session = None;
    let mut calls = 0;
    while !seen.is_over.load(Ordering::Relaxed) {
        let client = match session.take() {
            Some(client) => client,
            None => begin_session(&balancer, &seen).await,
        };
        let arguments = json!({ "call": format!("{nth}-{calls}"), "seconds": seconds });
        let mut response = client.call(i64::try_from(calls).unwrap(), "count", arguments).await;
        match response.status {
            StatusCode::OK => {
                let messages = response.messages().await;
                let [message] = messages.as_slice() else { panic!("{messages:?}") };
                assert!(message.json()["result"].is_object(), "{message:?}");
                calls += 1;
                session = Some(client);
            }
            // Its session has ended, or ends: it was not executed. It begins a new one.
            StatusCode::NOT_FOUND | StatusCode::SERVICE_UNAVAILABLE => {
                seen.refused.fetch_add(1, Ordering::Relaxed);
            }
            other => panic!("a call was answered by {other}"),
        }
    }
    calls
}

async fn begin_session(balancer: &str, seen: &Seen) -> Client {
    let new = Client::new(balancer);
    loop {
        let mut response = new.post(&initialize("2025-11-25", &json!({}))).await;
        let id = response.headers.get("mcp-session-id").map(|id| id.to_str().unwrap().to_owned());
        let is_begun =
            response.status == StatusCode::OK && response.response().await["result"].is_object();
        if let Some(id) = id.filter(|_| is_begun) {
            let client = new.with_session(&id);
            let initialized = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
            // If the session has ended meanwhile, the call is refused.
            client.post(&initialized).await;
            seen.sessions.fetch_add(1, Ordering::Relaxed);
            return client;
        }
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_is_lost_or_doubled_by_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("calls");
    let mut instance = start_instance(&file);
    let balancer = Balancer::start(&instance.address).await;
    let seen = Arc::new(Seen::default());
    let mut clients = JoinSet::new();
    for nth in 0..CLIENTS {
        clients.spawn(make_calls(nth, balancer.address.clone(), Arc::clone(&seen)));
    }
    for restart in 0..RESTARTS {
        let busy = CLIENTS * (restart + 1);
        let started = async {
            while seen.sessions.load(Ordering::Relaxed) < busy {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(Duration::from_secs(60), started).await.unwrap();
        let next = start_instance(&file);
        let mut old = std::mem::replace(&mut instance, next);
        old.signal("TERM");
        sleep(LAG).await;
        balancer.choose(&instance.address);
        assert!(old.exited(Duration::from_secs(60)).await.unwrap().success());
    }
    seen.is_over.store(true, Ordering::Relaxed);
    let answered: usize = clients.join_all().await.into_iter().sum();
    let executed = fs::read_to_string(&file).unwrap();
    let mut executed: Vec<&str> = executed.lines().collect();
    let count = executed.len();
    executed.sort_unstable();
    executed.dedup();
    assert_eq!(executed.len(), count, "a call was executed twice");
    assert_eq!(count, answered, "each call that was executed has one response");
    // Every client had to begin a session on each instance.
    let sessions = seen.sessions.load(Ordering::Relaxed);
    assert!(sessions >= CLIENTS * (RESTARTS + 1), "{sessions} sessions");
    assert!(seen.refused.load(Ordering::Relaxed) >= CLIENTS * RESTARTS);
}
