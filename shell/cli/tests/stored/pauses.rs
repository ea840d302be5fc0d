//! Nodes that stop for a while, and go on (SIGSTOP and SIGCONT).

use std::{collections::BTreeMap, time::Duration};

use http::StatusCode;
use rejoin_test_support::{
    Client,
    engine::{Engine, LastEntry},
    processes::wait_until,
    test_server_path,
};
use serde_json::json;
use tokio::time::{Instant, sleep, sleep_until};

use crate::{
    cluster::{Cluster, NODES},
    counting::Counting,
    on_each_engine,
};

const PAUSE: Duration = Duration::from_secs(10);

#[tokio::test]
#[ignore = "downloads a server"]
async fn a_node_that_was_paused_for_long_is_fenced_and_then_like_any_other() {
    on_each_engine(async |engine| {
        let options = ["--takeover", "reopen", "--", test_server_path()];
        let engine = Engine::start(engine).await;
        let cluster = Cluster::start(&engine, &options).await;
        cluster.may_take_over().await;
        let (taken, kept) = (cluster.session_of(0).await, cluster.session_of(0).await);
        assert_eq!(cluster.servers(0), 2);
        let interval = Duration::from_millis(5);
        // One client is connected to the owner, the other one through another node.
        let mut direct = Counting::begin(&cluster.at(0, &taken), 1, 100_000, interval).await;
        cluster.balancer.choose_next(1);
        let mut call = Counting::begin(&taken, 2, 100_000, interval).await;
        direct.read_through(10).await;
        call.read_through(10).await;
        cluster.node(0).signal("STOP");
        let paused_until = Instant::now() + PAUSE;
        // The next node is well.
        cluster.balancer.choose_next(1);
        let end = call.finish().await;
        assert!(end.get("error").is_some(), "{end}");
        let claimed = engine.last_entries().await;
        sleep_until(paused_until).await;
        cluster.node(0).signal("CONT");

        // What it had written before it was paused is all that it sends.
        direct.read_rest().await;
        direct.go_to(&cluster.at(1, &taken));
        let end = direct.finish().await;
        assert!(end.get("error").is_some(), "{end}");
        wait_until(|| cluster.servers(0) == 1).await;
        // Any node serves both sessions: one of them has been taken over, once.
        assert_eq!(epochs(&claimed), [1, 2]);
        for node in 0..NODES {
            for client in [&taken, &kept] {
                echo(&cluster.at(node, client)).await;
            }
        }
        assert_eq!(owners(&engine.last_entries().await), owners(&claimed));
        // It has sessions of its own again, and takes over those of others.
        let new = cluster.session_of(0).await;
        echo(&new).await;
    })
    .await;
}

async fn echo(client: &Client) {
    let mut response = client.call(10, "echo", json!({ "message": "a" })).await;
    assert_eq!(response.status, StatusCode::OK);
    assert!(response.response().await.get("result").is_some());
}

#[tokio::test]
#[ignore = "downloads a server"]
async fn a_short_pause_is_only_waited_for() {
    on_each_engine(async |engine| {
        let engine = Engine::start(engine).await;
        // Its renewals may be up to a third of it late already.
        let cluster = Cluster::start(&engine, &["--lease", "2s"]).await;
        let client = cluster.session_of(0).await;
        let mut call = Counting::begin(&client, 1, 300, Duration::from_millis(5)).await;
        call.read_through(10).await;
        cluster.node(0).signal("STOP");
        let calls = async {
            for id in 2..=4 {
                let mut response = client.call(id, "echo", json!({ "message": "a" })).await;
                assert_eq!(response.status, StatusCode::OK);
                assert!(response.response().await.get("result").is_some());
            }
        };
        let go_on = async {
            sleep(Duration::from_millis(700)).await;
            cluster.node(0).signal("CONT");
        };
        tokio::join!(calls, go_on);
        let end = call.finish().await;
        assert!(end.get("result").is_some(), "{end}");
        let epochs = engine.last_entries().await.into_values().map(|last| last.epoch);
        assert_eq!(epochs.collect::<Vec<_>>(), [1]);
    })
    .await;
}

fn epochs(entries: &BTreeMap<String, LastEntry>) -> Vec<u64> {
    let mut epochs: Vec<_> = entries.values().map(|last| last.epoch).collect();
    epochs.sort_unstable();
    epochs
}

fn owners(entries: &BTreeMap<String, LastEntry>) -> Vec<&str> {
    entries.values().map(|last| &*last.node).collect()
}
