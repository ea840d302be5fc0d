//! Nodes that are replaced one after the other, under load.

use std::time::Duration;

use http::StatusCode;
use rejoin_test_support::engine::Engine;
use serde_json::json;
use tokio::time::Instant;

use crate::{
    cluster::{Cluster, NODES},
    counting::Counting,
    ingress_kills::call_for_ever,
    load::Load,
    on_each_engine,
};

#[tokio::test]
#[ignore = "downloads a server"]
async fn a_rolling_restart_loses_nothing() {
    on_each_engine(async |engine| {
        let engine = Engine::start(engine).await;
        // It serves for longer than the balancer takes to notice.
        let options = ["--takeover", "reopen", "--drain-delay", "500ms"];
        let mut cluster = Cluster::start(&engine, &options).await;
        let mut load = Load::start(&cluster, 4).await;
        for node in 0..NODES {
            load.more_calls(2).await;
            let client = cluster.session_of(node).await;
            // As long as the drain at most.
            let mut long = Counting::begin(&client, 1, 100, Duration::from_millis(20)).await;
            long.read_through(10).await;
            let (end, ()) = tokio::join!(long.finish(), cluster.replace(node));
            assert!(end.get("result").is_some(), "{end}");
            Counting::begin(&client, 2, 20, Duration::from_millis(5)).await.finish().await;
        }
        load.more_calls(2).await;
        let tally = load.stop().await;
        tally.check_nothing_lost();
        assert!(tally.longest < Duration::from_secs(15), "{tally:?}");
    })
    .await;
}

#[tokio::test]
#[ignore = "downloads a server"]
async fn a_node_that_stops_ends_the_streams_that_it_passes_on() {
    on_each_engine(async |engine| {
        let engine = Engine::start(engine).await;
        let mut cluster = Cluster::start(&engine, &[]).await;
        let client = cluster.session_of(0).await;
        let mut stream = cluster.at(1, &client).get(None).await;
        assert_eq!(stream.status, StatusCode::OK);
        let mut call =
            Counting::begin(&cluster.at(1, &client), 1, 200, Duration::from_millis(20)).await;
        call.read_through(10).await;
        let begun = Instant::now();
        let ending = async {
            let mut is_told = false;
            while let Some(item) = stream.next().await {
                is_told |= item.retry().is_some();
            }
            assert!(is_told, "it is told when to come back");
        };
        tokio::join!(ending, call.read_rest(), cluster.replace(1));
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        assert!(call.progress < 200, "it is told to come back, too");
        call.go_to(&client);
        let end = call.finish().await;
        assert!(end.get("result").is_some(), "{end}");
    })
    .await;
}

#[tokio::test]
#[ignore = "downloads a server"]
async fn a_json_call_that_outlasts_the_drain_of_its_owner_is_refused_with_its_id() {
    on_each_engine(async |engine| {
        let engine = Engine::start(engine).await;
        let options = ["--json-responses", "--drain-timeout", "1s"];
        let mut cluster = Cluster::start(&engine, &options).await;
        let client = cluster.session_of(0).await;
        let calling = tokio::spawn(call_for_ever(cluster.at(1, &client)));
        let mut done = client.call(2, "count", json!({ "total": 100, "interval_ms": 2 })).await;
        assert!(done.response().await.get("result").is_some());
        cluster.replace(0).await;
        let (status, message) = calling.await.unwrap();
        assert_eq!(status, StatusCode::BAD_GATEWAY);
        assert_eq!(message["id"], 1);
        assert!(message.get("error").is_some());
    })
    .await;
}
