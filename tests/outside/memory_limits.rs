//! Limits of memory and of sessions, with real processes.

use std::{fs, time::Duration};

use http::{Method, StatusCode};
use serde_json::json;

use crate::{client::Client, program::Program};

/// How much memory a process has held at most, in KiB.
fn peak(program: &Program) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", program.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// A server that answers `initialize`, and reads nothing after it.
const DEAF: &str = r#"read -r line
echo '{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-11-25","capabilities":{},"serverInfo":{"name":"deaf","version":"0"}}}'
read -r line
exec sleep 600"#;

#[tokio::test]
async fn messages_that_wait_for_a_server_take_no_more_than_is_allowed() {
    let limits = ["--max-bodies", "32MiB", "--backend-timeout", "1s"];
    let program = Program::serve(&[&limits[..], &["--", "sh", "-c", DEAF]].concat());
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(Client::initialize(&program.address).await);
    }
    let before = peak(&program);
    let large = json!({ "jsonrpc": "2.0", "method": "n", "params": ["x".repeat(3 << 20)] });
    let large = large.to_string();
    let mut accepted = 0;
    for round in 0..8 {
        for client in &clients {
            let told = client.send(Method::POST, large.clone(), &[]).await;
            accepted += usize::from(told.status == StatusCode::ACCEPTED);
            assert!(round > 0 || told.status == StatusCode::ACCEPTED, "{}", told.status);
        }
    }
    let grown = peak(&program).saturating_sub(before);
    assert!(accepted <= 32 / 3, "{accepted} messages of 3 MiB were accepted");
    assert!(grown < 64 << 10, "{grown} KiB for 32 MiB of messages");
    // Small messages are accepted all the same.
    for client in &clients {
        let small = json!({ "jsonrpc": "2.0", "method": "n" });
        let told = tokio::time::timeout(Duration::from_secs(20), client.post(&small));
        assert_eq!(told.await.unwrap().status, StatusCode::ACCEPTED);
    }
}
