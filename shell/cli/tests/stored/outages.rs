//! A server of the store that stops, restarts or forgets, while a process has sessions.

use std::time::Duration;

use http::StatusCode;
use rejoin_test_support::{Client, Program, engine::Engine};
use serde_json::json;
use tokio::time::sleep;

use crate::{call_until_served, engines, read_until, serve};

/// Begins a call that outlasts what `disturb` does, and checks that nothing of it is lost.
async fn check(program: &Program, total: u64, disturb: impl AsyncFnOnce()) {
    let client = Client::initialize(&program.address).await;
    let mut response = client.call(1, "count", json!({ "total": total, "interval_ms": 10 })).await;
    read_until(&mut response, 5).await;
    disturb().await;
    call_until_served(&client, 2).await;
    let mut seen = 5;
    loop {
        let Some(message) = response.message().await else {
            // Its connection was cut, because the store was away for long.
            let last = response.last_event_id.clone().unwrap();
            (response, _) = crate::resume(&client, &last).await;
            continue;
        };
        if message.is_response() {
            assert!(message.json().get("result").is_some());
            break;
        }
        seen += 1;
        assert_eq!(message.progress(), Some(seen));
    }
    assert_eq!(seen, total);
}

#[tokio::test]
#[ignore = "downloads a server"]
async fn a_server_that_restarts_empty_costs_nothing() {
    for engine in engines() {
        let mut engine = Engine::start(&engine).await;
        let program = serve(&engine, &[]);
        check(&program, 300, async || {
            engine.kill();
            sleep(Duration::from_millis(500)).await;
            engine.restart().await;
        })
        .await;
    }
}

#[tokio::test]
#[ignore = "downloads a server"]
async fn a_server_that_restarts_from_its_file_costs_nothing() {
    for engine in engines() {
        let options = &["--appendonly", "yes", "--appendfsync", "everysec"];
        let mut engine = Engine::start_with(&engine, options).await;
        let program = serve(&engine, &[]);
        check(&program, 300, async || {
            engine.kill();
            engine.restart().await;
        })
        .await;
    }
}

#[tokio::test]
#[ignore = "downloads a server"]
async fn while_the_server_is_away_clients_are_told_to_retry() {
    for engine in engines() {
        let engine = Engine::start(&engine).await;
        let program = serve(&engine, &[]);
        let client = Client::initialize(&program.address).await;
        check(&program, 1_000, async || {
            engine.pause(true);
            sleep(Duration::from_secs(4)).await;
            let refused = client.call(1, "echo", json!({ "message": "a" })).await;
            assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
            let refused = client.get(Some("0")).await;
            assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
            engine.pause(false);
        })
        .await;
    }
}

#[tokio::test]
#[ignore = "downloads a server"]
async fn a_server_that_was_flushed_gets_the_sessions_again() {
    for engine in engines() {
        let engine = Engine::start(&engine).await;
        let program = serve(&engine, &[]);
        check(&program, 300, async || engine.command("FLUSHALL").await).await;
    }
}
