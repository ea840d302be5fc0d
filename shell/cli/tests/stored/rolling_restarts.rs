//! Nodes that are replaced one after the other, under load.

use std::time::Duration;

use rejoin_test_support::engine::Engine;

use crate::{
    cluster::{Cluster, NODES},
    counting::Counting,
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
