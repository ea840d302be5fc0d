//! What is left when clients are gone: nothing.

use std::fs;

use http::StatusCode;
use serde_json::json;

use crate::{client::Client, program::Program};

/// How much memory a process holds, in KiB.
fn resident(program: &Program) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", program.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// How many file descriptors a process has open.
fn descriptors(program: &Program) -> usize {
    fs::read_dir(format!("/proc/{}/fd", program.id())).unwrap().count()
}

async fn open_and_leave(program: &Program, sessions: usize) {
    for _ in 0..sessions {
        let client = Client::initialize(&program.address).await;
        assert!(client.delete().await.status.is_success());
    }
}

#[tokio::test]
async fn sessions_that_come_and_go_leave_nothing() {
    let program = Program::serve(&[]);
    open_and_leave(&program, 2_000).await;
    let (memory, files) = (resident(&program), descriptors(&program));
    open_and_leave(&program, 8_000).await;
    let grown = resident(&program).saturating_sub(memory);
    assert!(grown < 8_000, "8,000 sessions left {grown} KiB");
    assert!(descriptors(&program) <= files + 16);
}

#[tokio::test]
async fn requests_that_are_rejected_leave_nothing() {
    let program = Program::serve(&[]);
    let client = Client::initialize(&program.address).await;
    let stranger = Client::stranger(&program.address);
    let rejected = async |times: usize| {
        for _ in 0..times {
            let answer = stranger.call(1, "echo", json!({ "message": "m" })).await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        }
    };
    rejected(2_000).await;
    let memory = resident(&program);
    rejected(8_000).await;
    let grown = resident(&program).saturating_sub(memory);
    assert!(grown < 4_000, "8,000 rejected requests left {grown} KiB");
    client.call(1, "echo", json!({ "message": "m" })).await.response().await;
}
