//! A command whose execution takes long.

use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use rejoin_test_support::{
    Client, Program,
    processes::{children, wait_until},
    program_path,
    script::{ECHO, with_prelude},
};
use serde_json::json;

use crate::starts::start_session;

/// How long the system looks for the command at each start.
const LOOKUP_TIME: Duration = Duration::from_millis(700);

/// Number of symbolic links in a path: fewer than the 40 that the system follows.
const LINKS: usize = 38;

/// Returns a `PATH` in which the lookup of a command takes [`LOOKUP_TIME`]: each of its entries
/// leads through many links to an empty directory.
fn slow_path(directory: &Path) -> String {
    fs::create_dir(directory.join("empty")).unwrap();
    for link in 0..LINKS {
        let next = if link + 1 < LINKS { (link + 1).to_string() } else { "empty".to_owned() };
        symlink("./".repeat(2_000) + &next, directory.join(link.to_string())).unwrap();
    }
    let entry = directory.join("0");
    let started = Instant::now();
    assert!(entry.join("sh").metadata().is_err());
    let lookups = LOOKUP_TIME.as_nanos() / started.elapsed().as_nanos() + 1;
    let entry = format!("{}:", entry.display());
    // The system limits the length of an argument.
    let path = entry.repeat(usize::try_from(lookups).unwrap().min(100_000 / entry.len()));
    format!("PATH={path}/usr/bin:/bin")
}

/// Returns whether a child exists that has not executed its command yet.
fn is_executing(program: &Program) -> bool {
    children(program.id()).iter().any(|child| child.command.contains(" serve "))
}

#[tokio::test]
async fn slow_exec_does_not_delay_a_ping_of_another_session() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new(program_path());
    // One thread runs all tasks, so if a start blocked it, nothing else could run.
    command.env("TOKIO_WORKER_THREADS", "1");
    let (path, script) = (slow_path(directory.path()), with_prelude(ECHO));
    let program = Program::serve_with(command, &["--env", &path, "--", "sh", "-c", &script]);
    let client = Client::initialize(&program.address).await;
    let _starting = start_session(&program).await;
    wait_until(|| is_executing(&program)).await;
    let ping = json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" });
    let response = client.post(&ping).await.response().await;
    assert!(is_executing(&program), "the response came after the start: {response}");
    assert_eq!(response["id"], 1);
}
