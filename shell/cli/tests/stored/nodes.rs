//! A healthy cluster: any node serves any session.

use http::StatusCode;
use rejoin_test_support::engine::Engine;
use serde_json::json;

use crate::{
    cluster::{Cluster, NODES},
    on_each_engine, read_until,
};

const SESSIONS: usize = 4;
const CALLS: i64 = 30;

#[tokio::test]
#[ignore = "downloads a server"]
async fn any_node_serves_any_session() {
    on_each_engine(async |engine| {
        let engine = Engine::start(engine).await;
        let cluster = Cluster::start(&engine, &[]).await;
        for session in 0..SESSIONS {
            let client = cluster.session_of(session % NODES).await;
            for id in 1..=CALLS {
                let count = json!({ "total": 3, "interval_ms": 1 });
                let mut response = client.call(id, "count", count).await;
                assert_eq!(response.status, StatusCode::OK);
                let last = read_until(&mut response, 1).await;
                drop(response);
                let mut resumed = client.get(Some(&last)).await;
                let messages = resumed.messages().await;
                assert_eq!(messages.len(), 3, "two progress notifications and the response");
                assert_eq!(messages[0].progress(), Some(2));
                assert!(messages[2].json().get("result").is_some());
            }
            assert_eq!(client.delete().await.status, StatusCode::NO_CONTENT);
            // Once they know the store for long enough to know that nobody will write it again.
            cluster.may_take_over().await;
            for _ in 0..NODES {
                let gone = client.call(1, "echo", json!({ "message": "a" })).await;
                assert_eq!(gone.status, StatusCode::NOT_FOUND);
            }
        }
        assert!(cluster.balancer.requests().iter().all(|requests| *requests > 50));
        assert!(engine.last_entries().await.is_empty());
    })
    .await;
}
