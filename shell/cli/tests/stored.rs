//! Programs with a store on a real server, Valkey and Redis: restarts, takeovers and outages. Ignored
//! unless asked for, because a server is downloaded.
//!
//! What fails, and the test for it; with three nodes, links, and a balancer that knows nothing of
//! sessions, unless it is in `restarts`, `takeovers` or `outages`:
//!
//! | what fails | test |
//! |---|---|
//! | nothing | `nodes::any_node_serves_any_session` |
//! | the owner is killed in the middle of a call | `owner_kills::a_killed_owner_loses_no_event_and_no_id_names_two`, `takeovers::a_killed_process_loses_nothing_that_was_sent` |
//! | the owner is killed between a response and its client's return | `owner_kills::a_response_that_its_client_has_not_seen_outlives_the_owner` |
//! | all nodes die one after the other, while nobody asks for their sessions | `idle_sessions::a_session_outlives_all_nodes_one_after_the_other` |
//! | a node with 300 sessions dies, and all clients come back at once | `idle_sessions::all_clients_of_a_dead_node_can_come_back_at_once` |
//! | a node dies while it takes a session over | `broken_takeover::the_next_node_takes_over_what_a_dead_one_has_begun_to` |
//! | two nodes want to take a session over | `owner_kills::one_of_two_nodes_takes_a_session_over` |
//! | the node that passes a call on is killed | `ingress_kills::a_call_goes_on_if_the_node_dies_that_passes_it_on` |
//! | the owner of a call with a JSON response is killed | `ingress_kills::a_json_call_whose_owner_dies_is_refused_with_its_id` |
//! | a node is paused for 10 s, or for less than its lease | `pauses`, `takeovers::a_paused_process_is_fenced` |
//! | the server restarts from its file, or an older one, or empty, or is flushed | `engine_faults`, `outages` |
//! | the server is away | `engine_faults::while_it_is_away_clients_are_told_to_retry`, `outages` |
//! | the server is full | `engine_faults::while_it_is_full_clients_are_told_to_retry` |
//! | the server evicts a session, whose owner lives or is dead | `lost_keys::an_owner_writes_a_session_again_that_was_evicted`, `lost_keys::a_session_that_its_owner_and_the_store_have_lost_does_not_exist`, `lost_keys::a_server_that_may_evict_sessions_is_warned_about` |
//! | a session cannot be read | `lost_keys::a_session_of_a_later_version_is_left_alone_and_a_damaged_one_ends` |
//! | a replica is promoted that lacks what was written last | `failover::a_living_owner_loses_nothing` |
//! | … and the owner dies with the server | `failover::a_dead_owner_loses_what_the_replica_lacks_and_no_id_names_two_events` |
//! | … and the owner stays with the server of before | `failover::an_owner_that_stays_with_the_old_server_is_fenced` |
//! | a partition between a node and the store | `partitions::a_node_without_the_store_loses_what_others_are_asked_for` |
//! | a partition between nodes | `partitions::an_owner_that_others_cannot_reach_keeps_its_sessions` |
//! | a partition while a session is deleted | `partitions::a_session_is_deleted_for_all_nodes_or_not_at_all` |
//! | the secret of the links is another one, or not proved | `strangers` |
//! | the server is not trusted, or does not trust the client | `encryption` |
//! | a restart, with SIGTERM | `restarts`, `encryption` |
//! | a restart of a node that passes streams on, or of an owner with an endless call | `rolling_restarts::a_node_that_stops_ends_the_streams_that_it_passes_on`, `rolling_restarts::a_json_call_that_outlasts_the_drain_of_its_owner_is_refused_with_its_id` |
//! | a rolling restart under load | `rolling_restarts::a_rolling_restart_loses_nothing` |
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::expect_used, reason = "a test fails by panicking")]
#![expect(clippy::panic, reason = "a test fails by panicking")]
#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]

#[path = "stored/broken_takeover.rs"]
mod broken_takeover;
#[path = "stored/cluster.rs"]
mod cluster;
#[path = "stored/counting.rs"]
mod counting;
#[path = "stored/encryption.rs"]
mod encryption;
#[path = "stored/engine_faults.rs"]
mod engine_faults;
#[path = "stored/failover.rs"]
mod failover;
#[path = "stored/idle_sessions.rs"]
mod idle_sessions;
#[path = "stored/ingress_kills.rs"]
mod ingress_kills;
#[path = "stored/load.rs"]
mod load;
#[path = "stored/lost_keys.rs"]
mod lost_keys;
#[path = "stored/nodes.rs"]
mod nodes;
#[path = "stored/outages.rs"]
mod outages;
#[path = "stored/owner_kills.rs"]
mod owner_kills;
#[path = "stored/partitions.rs"]
mod partitions;
#[path = "stored/pauses.rs"]
mod pauses;
#[path = "stored/restarts.rs"]
mod restarts;
#[path = "stored/rolling_restarts.rs"]
mod rolling_restarts;
#[path = "stored/strangers.rs"]
mod strangers;
#[path = "stored/takeovers.rs"]
mod takeovers;

use std::{
    future::poll_fn,
    path::{Path, PathBuf},
    task::Poll,
    time::Duration,
};

use http::StatusCode;
use rejoin_test_support::{Client, HttpResponse, Program, engine::Engine, sse::Item};
use serde_json::json;
use tokio::time::{Instant, sleep};

use self::counting::RETRY;

/// Returns the servers to test with.
fn engines() -> Vec<PathBuf> {
    rejoin_test_support::engine::programs(env!("CARGO_TARGET_TMPDIR"))
}

/// Runs a test on all servers at the same time.
async fn on_each_engine(test: impl AsyncFn(&Path)) {
    let engines = engines();
    let mut tests: Vec<_> = engines.iter().map(|engine| Box::pin(test(engine))).collect();
    poll_fn(|cx| {
        tests.retain_mut(|test| test.as_mut().poll(cx).is_pending());
        if tests.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
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

/// Calls once a call is served.
async fn call_until_served(client: &Client, id: i64) -> HttpResponse {
    let begun = Instant::now();
    loop {
        let response = client.call(id, "echo", json!({ "message": "a" })).await;
        match response.status {
            StatusCode::OK => return response,
            StatusCode::SERVICE_UNAVAILABLE => {
                assert!(response.headers.contains_key("retry-after"));
            }
            status => panic!("{status}"),
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "it is never served");
        sleep(Duration::from_millis(100)).await;
    }
}

/// Prints how long something took, each time. Returns the times of half of it, of 19 of 20, and of all.
#[expect(clippy::print_stderr, reason = "a measurement")]
fn report(what: &str, mut times: Vec<Duration>) -> [Duration; 3] {
    times.sort_unstable();
    let parts = [50, 95, 100].map(|percent| times[(times.len() * percent).div_ceil(100) - 1]);
    let [p50, p95, max] = parts;
    eprintln!("{what}, {} times: p50 {p50:?}, p95 {p95:?}, max {max:?}", times.len());
    parts
}

/// Checks that a client is told to try again.
fn check_retry(response: &HttpResponse) {
    assert_eq!(response.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(response.headers.contains_key("retry-after"), "{:?}", response.headers);
}

/// Waits until a node says that a session does not exist. A node that has just connected to the store
/// says to try again, because the store may have lost sessions that others write again.
async fn until_missing(client: &Client) {
    loop {
        let response = client.get(None).await;
        if response.status == StatusCode::NOT_FOUND {
            break;
        }
        check_retry(&response);
        sleep(RETRY).await;
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
