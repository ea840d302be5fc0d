//! A node that dies while it takes a session over.

use std::fs;

use http::StatusCode;
use rejoin_test_support::{engine::Engine, processes::wait_until, script};
use serde_json::json;
use tempfile::TempDir;

use crate::{cluster::Cluster, on_each_engine, resume};

/// A server that does not answer `initialize` if it is the second one that was started.
const HANGS: &str = r#"echo started >> "$STARTS"
[ "$(wc -l < "$STARTS")" = 2 ] && sleep 600"#;

#[tokio::test]
#[ignore = "downloads a server"]
async fn the_next_node_takes_over_what_a_dead_one_has_begun_to() {
    on_each_engine(async |engine| {
        let directory = TempDir::new().unwrap();
        let starts = directory.path().join("starts");
        let started = || fs::read_to_string(&starts).unwrap_or_default().lines().count();
        let variable = format!("STARTS={}", starts.display());
        let script = format!("{HANGS}\n{}", script::with_prelude(script::ECHO));
        let server = ["--", "/bin/sh", "-c", &script];
        let options = [&["--takeover", "reopen", "--env", &variable][..], &server].concat();
        let engine = Engine::start(engine).await;
        let mut cluster = Cluster::start(&engine, &options).await;
        cluster.may_take_over().await;
        let client = cluster.session_of(0).await;
        let mut call = client.call(1, "any", json!({ "a": 1 })).await;
        let last = loop {
            if let Some(id) = call.next().await.unwrap().id() {
                break id;
            }
        };
        drop(call);
        // The server answers in order.
        script::result(&client, 2, json!({ "a": 2 })).await;
        cluster.kill(0);
        let at_second = cluster.at(1, &client);
        let abandoned = tokio::spawn(async move { at_second.get(None).await });
        wait_until(|| started() == 2).await;
        abandoned.abort();
        cluster.kill(1);

        let client = cluster.at(2, &client);
        let (mut resumed, _) = resume(&client, &last).await;
        assert_eq!(resumed.status, StatusCode::OK);
        let messages = resumed.messages().await;
        assert_eq!(messages.len(), 1);
        assert!(messages[0].json()["result"]["received"].is_object());
        let mut response = client.call(3, "any", json!({ "a": 3 })).await;
        assert!(response.response().await["result"]["received"].is_object());
        assert_eq!(started(), 3);
        let last = engine.last_entries().await.into_values().next().unwrap();
        assert_eq!(last.epoch, 3);
    })
    .await;
}
