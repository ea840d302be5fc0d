//! Nodes that cannot reach the store, or each other.

use std::time::Duration;

use http::StatusCode;
use rejoin_test_support::{Client, engine::Engine, processes::wait_until, test_server_path};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::{
    check_retry,
    cluster::Cluster,
    counting::{Counting, RETRY},
    on_each_engine, until_missing,
};

/// Interval of the events of calls.
const INTERVAL: Duration = Duration::from_millis(20);

/// Time in which a session whose owner has lost the store is served by another node.
const TAKEOVER: Duration = Duration::from_secs(6);

#[tokio::test]
#[ignore = "downloads a server"]
async fn a_node_without_the_store_loses_what_others_are_asked_for() {
    on_each_engine(async |engine| {
        let options = ["--takeover", "reopen", "--", test_server_path()];
        let engine = Engine::start(engine).await;
        let cluster = Cluster::start_with_forwarders(&engine, &options).await;
        cluster.may_take_over().await;
        let (taken, kept) = (cluster.session_of(0).await, cluster.session_of(0).await);
        // The others know who has them.
        let mut call = Counting::begin(&cluster.at(1, &taken), 1, 100_000, INTERVAL).await;
        call.read_through(10).await;
        serve(&cluster.at(2, &taken)).await;
        cluster.stores[0].silence(true);
        let cut_at = Instant::now();
        sleep(Duration::from_secs(2)).await;
        let at_owner = cluster.at(0, &taken);
        let echo = json!({ "message": "a" });
        let (posted, got) = tokio::join!(at_owner.call(3, "echo", echo), at_owner.get(None));
        [posted, got].iter().for_each(check_retry);
        serve_soon(&cluster.at(1, &taken)).await;
        assert!(cut_at.elapsed() < TAKEOVER, "{:?}", cut_at.elapsed());
        serve_soon(&cluster.at(2, &taken)).await;
        let end = call.finish().await;
        assert!(end.get("error").is_some(), "{end}");
        cluster.stores[0].silence(false);

        // It goes on with the session that nobody has asked for, and passes requests on for the other.
        for client in [&taken, &kept] {
            serve_soon(&cluster.at(0, client)).await;
        }
        wait_until(|| cluster.servers(0) == 1).await;
        call.check_nothing_follows().await;
    })
    .await;
}

#[tokio::test]
#[ignore = "downloads a server"]
async fn an_owner_that_others_cannot_reach_keeps_its_sessions() {
    on_each_engine(async |engine| {
        let engine = Engine::start(engine).await;
        let cluster = Cluster::start_with_forwarders(&engine, &[]).await;
        cluster.may_take_over().await;
        let client = cluster.session_of(0).await;
        let mut call = Counting::begin(&cluster.at(1, &client), 1, 600, INTERVAL).await;
        call.read_through(10).await;
        cluster.links[0].silence(true);
        // What was passed on breaks, and goes on at the owner itself.
        call.read_rest().await;
        for node in [1, 2] {
            let other = cluster.at(node, &client);
            let (posted, got, deleted) = tokio::join!(
                other.call(2, "echo", json!({ "message": "a" })),
                other.get(Some(&call.last)),
                other.delete()
            );
            [posted, got, deleted].iter().for_each(check_retry);
        }
        serve(&cluster.at(0, &client)).await;
        call.go_to(&cluster.at(0, &client));
        call.resume().await;
        cluster.links[0].silence(false);
        serve_soon(&cluster.at(1, &client)).await;
        let end = call.finish().await;
        assert!(end.get("result").is_some(), "{end}");
        let epochs = engine.last_entries().await.into_values().map(|last| last.epoch);
        assert_eq!(epochs.collect::<Vec<_>>(), [1]);
    })
    .await;
}

#[tokio::test]
#[ignore = "downloads a server"]
async fn a_session_is_deleted_for_all_nodes_or_not_at_all() {
    on_each_engine(async |engine| {
        let engine = Engine::start(engine).await;
        let cluster = Cluster::start_with_forwarders(&engine, &[]).await;
        let client = cluster.session_of(0).await;
        serve(&client).await;
        cluster.may_take_over().await;
        // At its owner, which is cut off from the store.
        cluster.stores[0].silence(true);
        check_retry(&cluster.at(0, &client).delete().await);
        cluster.stores[0].silence(false);
        // Whether it still takes effect is not known. In any case all agree.
        sleep(Duration::from_secs(4)).await;
        let client = cluster.session_of(0).await;
        cluster.stores[1].silence(true);
        sleep(Duration::from_secs(2)).await;
        check_retry(&cluster.at(1, &client).delete().await);
        cluster.stores[1].silence(false);
        serve_soon(&cluster.at(1, &client)).await;
        assert_eq!(cluster.at(1, &client).delete().await.status, StatusCode::NO_CONTENT);
        for node in 0..3 {
            until_missing(&cluster.at(node, &client)).await;
        }
    })
    .await;
}

async fn serve(client: &Client) {
    let mut response = client.call(20, "echo", json!({ "message": "a" })).await;
    assert_eq!(response.status, StatusCode::OK);
    assert!(response.response().await.get("result").is_some());
}

/// Calls until a call is served. Until then it is refused.
async fn serve_soon(client: &Client) {
    let begun = Instant::now();
    loop {
        let mut response = client.call(20, "echo", json!({ "message": "a" })).await;
        if response.status == StatusCode::OK {
            assert!(response.response().await.get("result").is_some());
            return;
        }
        check_retry(&response);
        assert!(begun.elapsed() < Duration::from_secs(20), "it is never served");
        sleep(RETRY).await;
    }
}
