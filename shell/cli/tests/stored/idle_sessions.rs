//! Sessions that nobody asks for while their owners die.

use std::time::Duration;

use http::StatusCode;
use rejoin_test_support::{Client, engine::Engine};
use serde_json::json;
use tokio::{task::JoinSet, time::Instant};

use crate::{
    check_retry,
    cluster::{Cluster, NODES},
    counting::{PATIENCE, RETRY},
    on_each_engine, report,
};

/// Calls once it is not refused. Returns the status, and how long it took.
async fn call(client: Client) -> (StatusCode, Duration) {
    let begun = Instant::now();
    loop {
        let mut response = client.call(1, "echo", json!({ "message": "a" })).await;
        if response.status != StatusCode::SERVICE_UNAVAILABLE {
            if response.status == StatusCode::OK {
                assert!(response.response().await.get("result").is_some());
            }
            return (response.status, begun.elapsed());
        }
        check_retry(&response);
        assert!(begun.elapsed() < PATIENCE, "it is never served");
        tokio::time::sleep(RETRY).await;
    }
}

#[tokio::test]
#[ignore = "downloads a server"]
async fn a_session_outlives_all_nodes_one_after_the_other() {
    on_each_engine(async |engine| {
        for (takeover, expected) in [("reopen", StatusCode::OK), ("end", StatusCode::NOT_FOUND)] {
            let engine = Engine::start(engine).await;
            let mut cluster = Cluster::start(&engine, &["--takeover", takeover]).await;
            let mut sessions = Vec::new();
            for node in 0..NODES {
                sessions.push(cluster.session_of(node).await);
            }
            for node in 0..NODES {
                cluster.kill(node);
                cluster.restart(node).await;
            }
            for client in &sessions {
                let (status, _) = call(client.clone()).await;
                assert_eq!(status, expected);
            }
        }
    })
    .await;
}

/// Sessions of a node that dies.
const SESSIONS: usize = 300;

/// How soon all of them are served again.
const ALL_SERVED: Duration = Duration::from_secs(10);

#[tokio::test]
#[ignore = "downloads a server"]
async fn all_clients_of_a_dead_node_can_come_back_at_once() {
    on_each_engine(async |engine| {
        let engine = Engine::start(engine).await;
        let mut cluster = Cluster::start(&engine, &["--takeover", "reopen"]).await;
        let mut clients = Vec::new();
        for _ in 0..SESSIONS {
            clients.push(cluster.session_of(0).await);
        }
        cluster.may_take_over().await;
        cluster.kill(0);
        let mut calls: JoinSet<_> = clients.into_iter().map(call).collect();
        let mut times = Vec::new();
        while let Some(called) = calls.join_next().await {
            let (status, time) = called.unwrap();
            assert_eq!(status, StatusCode::OK);
            times.push(time);
        }
        let [.., max] = report("served after a kill", times);
        assert!(max < ALL_SERVED, "{max:?}");
    })
    .await;
}
