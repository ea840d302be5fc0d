//! Owners that are killed in the middle of calls.

use std::{env, time::Duration};

use http::StatusCode;
use rejoin_test_support::engine::Engine;
use serde_json::json;
use tokio::time::Instant;

use crate::{
    cluster::{Cluster, NODES},
    counting::Counting,
    on_each_engine, report,
};

/// The number of kills: `REJOIN_TEST_KILLS`, or this.
const KILLS: usize = 3;

/// How soon the first event of a resumed stream must come, after 19 of 20 kills.
const TAKEOVER: Duration = Duration::from_secs(2);

const TOTAL: u64 = 100;
const KILLED_AT: u64 = 40;
const INTERVAL: Duration = Duration::from_millis(5);

fn kills() -> usize {
    env::var("REJOIN_TEST_KILLS").map_or(KILLS, |kills| kills.parse().unwrap())
}

#[tokio::test]
#[ignore = "downloads a server"]
async fn a_killed_owner_loses_no_event_and_no_id_names_two() {
    on_each_engine(async |engine| {
        let engine = Engine::start(engine).await;
        let mut cluster = Cluster::start(&engine, &[]).await;
        let mut times = Vec::new();
        for kill in 0..kills() {
            cluster.may_take_over().await;
            let owner = kill % NODES;
            times.extend(kill_in_mid_call(&mut cluster, owner).await);
            cluster.restart(owner).await;
        }
        let [_, p95, _] = report("first event after a kill", times);
        assert!(p95 <= TAKEOVER, "{p95:?}");
    })
    .await;
}

/// Kills the owner of two sessions with three calls. Returns how long after the kill the first event
/// of each came.
async fn kill_in_mid_call(cluster: &mut Cluster, owner: usize) -> [Duration; 3] {
    let (client, other) = (cluster.session_of(owner).await, cluster.session_of(owner).await);
    // The balancer sends each of them to another node.
    let mut calls = [
        Counting::begin(&client, 1, TOTAL, INTERVAL).await,
        Counting::begin(&client, 2, TOTAL, INTERVAL).await,
        Counting::begin(&other, 3, TOTAL, INTERVAL).await,
    ];
    let [first, second, third] = &mut calls;
    tokio::join!(
        first.read_through(KILLED_AT),
        second.read_through(KILLED_AT),
        third.read_through(KILLED_AT)
    );
    cluster.kill(owner);
    let killed_at = Instant::now();
    tokio::join!(fail(first, killed_at), fail(second, killed_at), fail(third, killed_at)).into()
}

/// Comes back to a call whose owner is dead. It ends in one failure, after all that was sent.
async fn fail(call: &mut Counting, killed_at: Instant) -> Duration {
    call.read_rest().await;
    let (status, _) = call.resume().await;
    let time = killed_at.elapsed();
    assert_eq!(status, StatusCode::OK);
    let end = call.finish().await;
    assert!(end.get("error").is_some(), "{end}");
    assert!((KILLED_AT..TOTAL).contains(&call.progress));
    call.check_nothing_follows().await;
    time
}

#[tokio::test]
#[ignore = "downloads a server"]
async fn a_response_that_its_client_has_not_seen_outlives_the_owner() {
    on_each_engine(async |engine| {
        let engine = Engine::start(engine).await;
        let mut cluster = Cluster::start(&engine, &[]).await;
        cluster.may_take_over().await;
        let client = cluster.session_of(0).await;
        let mut call = Counting::begin(&client, 1, TOTAL, Duration::from_millis(2)).await;
        call.read_through(KILLED_AT).await;
        call.leave();
        // It begins later and takes as long.
        let mut later = Counting::begin(&client, 2, TOTAL, Duration::from_millis(3)).await;
        later.finish().await;
        cluster.kill(0);
        let end = call.finish().await;
        assert!(end.get("result").is_some(), "{end}");
        assert_eq!(call.progress, TOTAL);
        call.check_nothing_follows().await;
    })
    .await;
}

#[tokio::test]
#[ignore = "downloads a server"]
async fn one_of_two_nodes_takes_a_session_over() {
    on_each_engine(async |engine| {
        let engine = Engine::start(engine).await;
        let mut cluster = Cluster::start(&engine, &["--takeover", "reopen"]).await;
        cluster.may_take_over().await;
        let client = cluster.session_of(0).await;
        cluster.kill(0);
        let (first, second) = (cluster.at(1, &client), cluster.at(2, &client));
        let echo = || json!({ "message": "a" });
        let (mut first, mut second) =
            tokio::join!(first.call(1, "echo", echo()), second.call(2, "echo", echo()));
        assert!(first.response().await.get("result").is_some());
        assert!(second.response().await.get("result").is_some());
        let epochs = engine.last_entries().await.into_values().map(|last| last.epoch);
        assert_eq!(epochs.collect::<Vec<_>>(), [2]);
    })
    .await;
}
