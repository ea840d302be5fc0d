//! A server of the store that restarts, forgets, fills up or goes away, under nodes with load.

use std::time::Duration;

use http::StatusCode;
use rejoin_test_support::{Client, LATEST_REVISION, engine::Engine, initialize};
use serde_json::json;
use tokio::time::sleep;

use crate::{
    check_retry,
    cluster::{Cluster, NODES},
    counting::RETRY,
    load::{Load, Tally},
    on_each_engine, until_missing,
};

const CLIENTS_PER_NODE: usize = 3;

/// Disturbs a server under load. Checks that no session is lost: nothing is taken over.
async fn disturb(
    engine: &mut Engine,
    options: &[&str],
    disturb: impl AsyncFnOnce(&Cluster, &mut Engine),
) -> Tally {
    let cluster = Cluster::start(engine, options).await;
    let mut load = Load::start(&cluster, CLIENTS_PER_NODE).await;
    load.more_calls(3).await;
    disturb(&cluster, engine).await;
    let healed_after = load.more_calls(1).await;
    assert!(healed_after < Duration::from_secs(8), "{healed_after:?}");
    load.more_calls(3).await;
    let tally = load.stop().await;
    assert_eq!((tally.failed, tally.lost), (0, 0), "{tally:?}");
    // Their first event could not be written in time.
    assert!(tally.unknown.len() <= CLIENTS_PER_NODE * NODES, "{tally:?}");
    tally
}

#[tokio::test]
#[ignore = "downloads a server"]
async fn a_restart_from_a_file_costs_nothing() {
    on_each_engine(async |engine| {
        let options = &["--appendonly", "yes", "--appendfsync", "everysec"];
        let mut engine = Engine::start_with(engine, options).await;
        let restart = async |_: &Cluster, engine: &mut Engine| {
            engine.kill();
            engine.restart().await;
        };
        disturb(&mut engine, &[], restart).await.check_nothing_lost();
    })
    .await;
}

#[tokio::test]
#[ignore = "downloads a server"]
async fn a_restart_that_forgets_costs_nothing() {
    on_each_engine(async |engine| {
        let mut engine = Engine::start(engine).await;
        let restart = async |_: &Cluster, engine: &mut Engine| {
            engine.kill();
            engine.restart().await;
        };
        disturb(&mut engine, &[], restart).await.check_nothing_lost();
    })
    .await;
}

#[tokio::test]
#[ignore = "downloads a server"]
async fn a_restart_from_a_file_of_before_costs_nothing() {
    on_each_engine(async |engine| {
        let mut engine = Engine::start(engine).await;
        let restart = async |cluster: &Cluster, engine: &mut Engine| {
            engine.command("SAVE").await;
            let mut clients = Vec::new();
            for node in 0..NODES {
                let client = cluster.session_of(node).await;
                clients.push(cluster.at(node, &client));
            }
            engine.kill();
            // Until leases have expired.
            sleep(Duration::from_secs(2)).await;
            engine.restart().await;
            for client in &clients {
                until_served(client).await;
            }
        };
        disturb(&mut engine, &[], restart).await.check_nothing_lost();
    })
    .await;
}

/// Calls the owner of a session until it answers. Until then, it says to retry.
async fn until_served(client: &Client) {
    loop {
        let mut response = client.call(1, "echo", json!({ "message": "a" })).await;
        if response.status == StatusCode::OK {
            assert!(response.response().await["result"].is_object());
            return;
        }
        check_retry(&response);
        sleep(RETRY).await;
    }
}

#[tokio::test]
#[ignore = "downloads a server"]
async fn after_a_flush_unknown_sessions_do_not_exist() {
    on_each_engine(async |engine| {
        let engine = Engine::start(engine).await;
        let cluster = Cluster::start(&engine, &[]).await;
        engine.command("FLUSHALL").await;
        let client = Client::new(&cluster.balancer.address);
        let unknown = client.with_session("0123456789abcdef0123456789abcdef");
        for node in 0..NODES {
            until_missing(&cluster.at(node, &unknown)).await;
        }
    })
    .await;
}

#[tokio::test]
#[ignore = "downloads a server"]
async fn a_flush_costs_nothing() {
    on_each_engine(async |engine| {
        let mut engine = Engine::start(engine).await;
        let flush = async |_: &Cluster, engine: &mut Engine| engine.command("FLUSHALL").await;
        disturb(&mut engine, &[], flush).await.check_nothing_lost();
    })
    .await;
}

/// How long the server is away.
const AWAY: Duration = Duration::from_secs(20);

#[tokio::test]
#[ignore = "downloads a server"]
async fn while_it_is_away_clients_are_told_to_retry() {
    on_each_engine(async |engine| {
        let options = &["--appendonly", "yes", "--appendfsync", "everysec"];
        let mut engine = Engine::start_with(engine, options).await;
        let go_away = async |cluster: &Cluster, engine: &mut Engine| {
            let client = cluster.session_of(0).await;
            engine.kill();
            let away = async {
                // Until leases have expired.
                sleep(Duration::from_secs(2)).await;
                for node in 0..NODES {
                    check_refused(&cluster.at(node, &client)).await;
                }
            };
            tokio::join!(away, sleep(AWAY));
            engine.restart().await;
        };
        disturb(&mut engine, &[], go_away).await;
    })
    .await;
}

/// Checks that nothing is served, and that no session is said to be missing.
async fn check_refused(client: &Client) {
    let unknown = client.with_session("0123456789abcdef0123456789abcdef");
    for client in [client, &unknown] {
        check_retry(&client.call(1, "echo", json!({ "message": "a" })).await);
        check_retry(&client.get(None).await);
        check_retry(&client.get(Some("0/0")).await);
        check_retry(&client.delete().await);
    }
}

#[tokio::test]
#[ignore = "downloads a server"]
async fn while_it_is_full_clients_are_told_to_retry() {
    on_each_engine(async |engine| {
        let mut engine = Engine::start(engine).await;
        let fill = async |cluster: &Cluster, engine: &mut Engine| {
            let client = cluster.session_of(0).await;
            let idle = cluster.session_of(0).await;
            engine.command("CONFIG SET maxmemory 1").await;
            // Its response waits. Then it is known that what the session writes has no room.
            let mut waiting = client.call(9, "echo", json!({ "message": "a" })).await;
            sleep(Duration::from_secs(3)).await;
            for node in 0..NODES {
                let client = cluster.at(node, &client);
                check_retry(&client.call(1, "echo", json!({ "message": "a" })).await);
                check_retry(&client.get(None).await);
                check_retry(&client.get(Some("0/0")).await);
            }
            let new = Client::new(&cluster.node(0).address);
            check_retry(&new.post(&initialize(LATEST_REVISION, &json!({}))).await);
            // What writes nothing is served, and what makes room.
            let idle = cluster.at(0, &idle);
            assert_eq!(idle.get(None).await.status, StatusCode::OK);
            assert!(idle.delete().await.status.is_success());
            engine.command("CONFIG SET maxmemory 0").await;
            assert!(waiting.response().await["result"].is_object());
        };
        disturb(&mut engine, &[], fill).await;
    })
    .await;
}
