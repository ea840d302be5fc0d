//! Nodes that are killed while they pass a call on, whose owner lives.

use std::time::Duration;

use http::{Method, StatusCode};
use rejoin_test_support::{Client, engine::Engine};
use serde_json::{Value, json};

use crate::{cluster::Cluster, counting::Counting, on_each_engine};

const KILLS: u64 = 4;
const TOTAL: u64 = 100;

#[tokio::test]
#[ignore = "downloads a server"]
async fn a_call_goes_on_if_the_node_dies_that_passes_it_on() {
    on_each_engine(async |engine| {
        let engine = Engine::start(engine).await;
        let mut cluster = Cluster::start(&engine, &[]).await;
        let client = cluster.session_of(0).await;
        for id in 1..=KILLS {
            cluster.balancer.choose_next(1);
            let interval = Duration::from_millis(5);
            let mut call = Counting::begin(&client, id.try_into().unwrap(), TOTAL, interval).await;
            call.read_through(40).await;
            cluster.kill(1);
            let end = call.finish().await;
            assert!(end.get("result").is_some(), "{end}");
            assert_eq!(call.progress, TOTAL);
            call.check_nothing_follows().await;
            cluster.restart(1).await;
        }
        let epochs = engine.last_entries().await.into_values().map(|last| last.epoch);
        assert_eq!(epochs.collect::<Vec<_>>(), [1]);
    })
    .await;
}

#[tokio::test]
#[ignore = "downloads a server"]
async fn a_json_call_whose_owner_dies_is_refused_with_its_id() {
    on_each_engine(async |engine| {
        let engine = Engine::start(engine).await;
        let mut cluster = Cluster::start(&engine, &["--json-responses"]).await;
        cluster.may_take_over().await;
        let client = cluster.session_of(0).await;
        let calling = tokio::spawn(call_for_ever(cluster.at(1, &client)));
        let seen = cluster.at(2, &client);
        // The owner has executed something after it: the call has come to it.
        let mut done = seen.call(2, "count", json!({ "total": 100, "interval_ms": 2 })).await;
        assert!(done.response().await.get("result").is_some());
        assert!(!calling.is_finished());
        cluster.kill(0);
        let (status, message) = calling.await.unwrap();
        assert_eq!(status, StatusCode::BAD_GATEWAY);
        assert_eq!(message["id"], 1);
        assert!(message.get("error").is_some());
    })
    .await;
}

/// Makes a call that does not end, for a response in JSON. Returns the status and the body.
pub(crate) async fn call_for_ever(client: Client) -> (StatusCode, Value) {
    let params = json!({ "name": "count", "arguments": { "total": 1_000_000, "interval_ms": 5 } });
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params });
    let accept = [("accept", "application/json")];
    let mut response = client.send(Method::POST, call.to_string(), &accept).await;
    (response.status, response.json().await)
}
