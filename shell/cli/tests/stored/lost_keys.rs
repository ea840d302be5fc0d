//! Sessions that the store alone has lost, or that nobody can read.

use std::{fmt::Write as _, process::Stdio};

use http::StatusCode;
use rejoin_test_support::{LogLines, Program, engine::Engine};
use serde_json::json;
use tokio::time::{Duration, sleep};

use crate::{
    check_retry,
    cluster::Cluster,
    counting::{Counting, RETRY},
    on_each_engine,
};

const TOTAL: u64 = 100;
const INTERVAL: Duration = Duration::from_millis(5);

#[tokio::test]
#[ignore = "downloads a server"]
async fn an_owner_writes_a_session_again_that_was_evicted() {
    on_each_engine(async |engine| {
        let engine = Engine::start(engine).await;
        let mut cluster = Cluster::start(&engine, &[]).await;
        cluster.may_take_over().await;
        let client = cluster.session_of(0).await;
        let mut call = Counting::begin(&client, 1, TOTAL, INTERVAL).await;
        call.read_through(20).await;
        remove(&engine).await;
        // Meanwhile others know who has it.
        call.read_through(TOTAL - 1).await;
        call.leave();
        let mut later = Counting::begin(&client, 2, TOTAL, INTERVAL).await;
        later.finish().await;
        cluster.kill(0);
        let end = call.finish().await;
        assert!(end.get("result").is_some(), "{end}");
        assert_eq!(call.progress, TOTAL);
    })
    .await;
}

#[tokio::test]
#[ignore = "downloads a server"]
async fn a_session_that_its_owner_and_the_store_have_lost_does_not_exist() {
    on_each_engine(async |engine| {
        let engine = Engine::start(engine).await;
        let mut cluster = Cluster::start(&engine, &[]).await;
        cluster.may_take_over().await;
        let client = cluster.session_of(0).await;
        cluster.kill(0);
        remove(&engine).await;
        for _ in 0..2 {
            let gone = client.call(1, "echo", json!({ "message": "a" })).await;
            assert_eq!(gone.status, StatusCode::NOT_FOUND);
        }
    })
    .await;
}

/// Removes the only session, as a server does that evicts it.
async fn remove(engine: &Engine) {
    let entries = engine.last_entries().await;
    let [key] = entries.keys().collect::<Vec<_>>()[..] else { panic!("{entries:?}") };
    assert_eq!(engine.query(&format!("DEL {key}")).await, ["1"]);
}

#[tokio::test]
#[ignore = "downloads a server"]
async fn a_server_that_may_evict_sessions_is_warned_about() {
    on_each_engine(async |engine| {
        let options = &["--maxmemory-policy", "allkeys-lru"];
        let engine = Engine::start_with(engine, options).await;
        let mut program = Program::logging_to(Stdio::piped(), &["--store", &engine.url()]);
        let log = LogLines::of(&mut program);
        rejoin_test_support::Client::initialize(&program.address).await;
        assert!(log.next_with("may evict sessions").contains("allkeys-lru"));
    })
    .await;
}

#[tokio::test]
#[ignore = "downloads a server"]
async fn a_session_of_a_later_version_is_left_alone_and_a_damaged_one_ends() {
    on_each_engine(async |engine| {
        let engine = Engine::start(engine).await;
        let mut cluster = Cluster::start(&engine, &[]).await;
        cluster.may_take_over().await;
        let client = cluster.session_of(0).await;
        cluster.kill(0);
        let key = engine.last_entries().await.into_keys().next().unwrap();
        let last = engine.query(&format!("XREVRANGE {key} + - COUNT 1")).await;
        let header: String = last[2].chars().take(11).collect();
        let later = format!("\u{ff}{}", header.chars().skip(1).collect::<String>());
        append(&engine, &key, "1-1000", &later).await;
        // Also after its lease has expired.
        sleep(Duration::from_secs(2)).await;
        check_retry(&client.get(Some("0/0")).await);
        assert_eq!(engine.query(&format!("XDEL {key} 1-1000")).await, ["1"]);
        let damaged = format!("{header}\u{c1}");
        append(&engine, &key, "1-1001", &damaged).await;
        let (gone, _) = crate::resume(&client, "0/0").await;
        assert_eq!(gone.status, StatusCode::NOT_FOUND);
        sleep(RETRY).await;
        assert_eq!(client.get(Some("0/0")).await.status, StatusCode::NOT_FOUND);
    })
    .await;
}

async fn append(engine: &Engine, key: &str, id: &str, entry: &str) {
    let mut escaped = String::new();
    for byte in entry.chars() {
        write!(escaped, "\\x{:02x}", u32::from(byte)).unwrap();
    }
    assert_eq!(engine.query(&format!("XADD {key} {id} e \"{escaped}\"")).await, [id]);
}
