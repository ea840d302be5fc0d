//! The log never harms: not where its reader has gone, nor where it has stopped.

use std::{fs::File, io::Read as _, process::Stdio, time::Duration};

use serde_json::json;
use tokio::time::timeout;

use crate::{client::Client, program::Program};

/// How long anything may take that does not wait for the log.
const PROMPT: Duration = Duration::from_secs(10);

async fn is_served(program: &Program) {
    let served = async {
        let client = Client::initialize(&program.address).await;
        client.call(1, "echo", json!({ "message": "m" })).await.response().await;
        client.delete().await;
    };
    timeout(PROMPT, served).await.unwrap();
}

#[tokio::test]
async fn a_log_whose_reader_is_gone_is_dropped() {
    let mut program = Program::logging_to(Stdio::piped(), &["--log-level", "debug"]);
    drop(program.stderr());
    for _ in 0..3 {
        is_served(&program).await;
    }
    assert!(program.end_by("TERM").success());
}

#[tokio::test]
async fn a_log_on_a_full_disk_is_dropped() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let program = Program::logging_to(full.into(), &["--log-level", "debug"]);
    for _ in 0..3 {
        is_served(&program).await;
    }
    assert!(program.end_by("TERM").success());
}

#[tokio::test]
async fn a_log_that_nobody_reads_holds_nobody_up_and_what_is_lost_is_counted() {
    let mut program = Program::logging_to(Stdio::piped(), &["--log-level", "trace"]);
    let mut stderr = program.stderr();
    // Far more than a pipe and the queue hold.
    for _ in 0..10 {
        let client = Client::initialize(&program.address).await;
        let mut flood = client.call(1, "flood", json!({ "events": 3_000 })).await;
        timeout(PROMPT, flood.response()).await.unwrap();
    }
    is_served(&program).await;
    program.signal("TERM");
    let end = tokio::task::spawn_blocking(move || program.wait());
    assert!(timeout(PROMPT, end).await.unwrap().unwrap().success());
    let mut log = Vec::new();
    stderr.read_to_end(&mut log).unwrap();
    assert!(log.len() < 4 << 20, "{} bytes", log.len());
}
