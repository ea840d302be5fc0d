//! The limit of open files, of the program and of its children.

use std::{
    fs,
    process::{Command, Stdio},
    time::Duration,
};

use http::StatusCode;
use rejoin_test_support::{
    Client, Program, program_path,
    script::{PRELUDE, result},
};
use serde_json::json;
use tokio::time::timeout;

#[tokio::test]
async fn open_files_limit_is_raised_for_the_program_only() {
    let script = "while receive; do respond \"{\\\"files\\\":$(ulimit -n)}\"; done";
    let script = format!("{PRELUDE}\n{script}");
    let mut command = Command::new("/bin/sh");
    let limited = "ulimit -S -n 256 && exec \"$0\" \"$@\"";
    command.args(["-c", limited, &program_path()]);
    let program = Program::serve_with(command, &["--", "/bin/sh", "-c", &script]);
    let limits = fs::read_to_string(format!("/proc/{}/limits", program.id())).unwrap();
    let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let [soft, hard] = [3, 4].map(|at| files.split_whitespace().nth(at).unwrap());
    assert_eq!(soft, hard);
    let client = Client::initialize(&program.address).await;
    assert_eq!(result(&client, 1, json!({})).await["files"], 256);
}

/// Starts the program with a limit of open files.
fn start_with_open_files(limit: u32, args: &[&str]) -> Program {
    let limited = format!("ulimit -n {limit} && exec \"$0\" \"$@\"");
    let mut command = Command::new("/bin/sh");
    command.args(["-c", &limited, &program_path()]).args(args).stderr(Stdio::piped());
    Program::start(&mut command)
}

/// Returns what the program logs at its start, with a limit of open files.
fn logged_with_open_files(limit: u32, args: &[&str]) -> String {
    start_with_open_files(limit, args).stop()
}

#[test]
fn open_files_limit_that_is_too_low_is_logged() {
    let log = logged_with_open_files(256, &[]);
    assert!(log.contains("limit of 256") && log.contains("--max-connections 20000"), "{log}");
    let log = logged_with_open_files(1024, &["--max-connections", "1000", "--", "/bin/cat"]);
    assert!(log.contains("limit of 1024") && log.contains("--max-connections 1000"), "{log}");
}

#[test]
fn default_number_of_connections_fits_the_open_files_limit() {
    let log = logged_with_open_files(1024, &["--", "/bin/cat"]);
    assert!(!log.contains("open files"), "{log}");
}

#[tokio::test]
async fn open_files_limit_that_is_too_low_for_reloaded_servers_is_logged() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let write = |servers| {
        fs::write(file.path(), json!({ "mcpServers": servers }).to_string()).unwrap();
    };
    let server =
        |sessions: u32| json!({ "command": "/bin/cat", "rejoin": { "max-sessions": sessions } });
    write(json!({ "a": server(10) }));
    let path = file.path().to_str().unwrap();
    let program =
        start_with_open_files(1024, &["serve", "--max-connections", "500", "--servers", path]);
    write(json!({ "a": server(10), "b": server(1_000) }));
    program.signal("HUP");
    let added = Client::new(&program.address).with_path("/servers/b/mcp");
    let is_added = async { while added.get(None).await.status == StatusCode::NOT_FOUND {} };
    timeout(Duration::from_secs(20), is_added).await.unwrap();
    let log = program.stop();
    assert!(log.contains("limit of 1024") && log.contains("--max-sessions 1010"), "{log}");
}
