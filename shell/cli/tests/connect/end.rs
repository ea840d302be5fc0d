//! The end of the program: whatever happens, no process is left.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, Command},
    time::Duration,
};

use rejoin_test_support::{LATEST_REVISION, Program, initialize, processes, program_path};
use serde_json::json;
use tokio::time::Instant;

use crate::{
    application::Application,
    scripted_server::{Received, ScriptedServer},
};

/// Waits until a process has exited, and returns whether it has succeeded.
async fn exits(mut child: Child) -> bool {
    let begin = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.success();
        }
        if begin.elapsed() > Duration::from_secs(20) {
            child.kill().unwrap();
            child.wait().unwrap();
            return false;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[test]
fn end_of_stdin_deletes_the_session_and_exits() {
    let server = ScriptedServer::start(|_| None);
    let (status, _) = Application::initialize(&server.url, &[]).leave();
    assert!(status.success());
    assert_eq!(server.count(|request| request.method == "DELETE"), 1);
}

#[test]
fn pending_calls_do_not_delay_the_exit() {
    let program = Program::serve(&[]);
    let mut application = Application::initialize(&program.url, &[]);
    application.call(1, "count", &json!({ "total": 1, "interval_ms": 600_000 }));
    application.call(2, "echo", &json!({ "message": "m" }));
    application.response(2);
    let begin = Instant::now();
    let (status, _) = application.leave();
    assert!(status.success());
    assert!(begin.elapsed() < Duration::from_secs(10));
}

#[test]
fn signal_ends_the_program() {
    let server = ScriptedServer::start(|_| None);
    let mut application = Application::initialize(&server.url, &[]);
    application.call(1, "tool", &json!({}));
    application.response(1);
    processes::signal(application.id(), rustix::process::Signal::TERM);
    let (status, _) = application.wait();
    assert!(status.success());
    assert_eq!(server.count(|request| request.method == "DELETE"), 1);
}

#[test]
fn unreachable_server_does_not_delay_the_exit() {
    let mut application = Application::start("http://127.0.0.1:9/mcp", &[]);
    application.send(&initialize(LATEST_REVISION, &json!({})));
    let begin = Instant::now();
    let (status, _) = application.leave();
    assert!(status.success());
    assert!(begin.elapsed() < Duration::from_secs(10));
}

/// Starts an application that does not read what it is sent: a flood of notifications. Returns
/// after the first message.
fn start_unread(url: &str) -> (Child, BufReader<std::process::ChildStdout>) {
    let mut child = Application::spawn(Command::new(program_path()).args(["connect", url]));
    let mut stdout = BufReader::with_capacity(1, child.stdout.take().unwrap());
    let mut stdin = child.stdin.take().unwrap();
    let mut send = |message: serde_json::Value| {
        stdin.write_all(format!("{message}\n").as_bytes()).unwrap();
    };
    send(initialize(LATEST_REVISION, &json!({})));
    stdout.read_line(&mut String::new()).unwrap();
    send(json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }));
    for id in 1..=4 {
        let arguments = json!({ "total": 1_000_000, "interval_ms": 0 });
        let params =
            json!({ "name": "count", "arguments": arguments, "_meta": { "progressToken": id } });
        send(json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params }));
    }
    child.stdin = Some(stdin);
    (child, stdout)
}

#[tokio::test]
async fn application_that_does_not_read_holds_back_the_server_and_costs_little_memory() {
    let program = Program::serve(&["--stall-timeout-max", "never", "--hold-timeout", "never"]);
    let (mut child, _stdout) = start_unread(&program.url);
    let mut most = 0;
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        most = most.max(processes::resident(child.id()));
    }
    assert!(most < 64 << 10, "{most} KiB");
    drop(child.stdin.take());
    assert!(exits(child).await);
}

#[tokio::test]
async fn application_that_has_died_ends_the_program() {
    let program = Program::serve(&[]);
    let (child, stdout) = start_unread(&program.url);
    drop(stdout);
    // Its stdin is still open.
    assert!(exits(child).await);
}

#[test]
fn invalid_options_are_named() {
    for (arguments, named) in [
        (&["ftp://x"][..], "http://"),
        (&["http://x/", "--header", "Host=a"], "--header"),
        (&["http://x/", "--bearer-file", "/no/such"], "--bearer-file"),
        (&["https://x/", "--ca", "/no/such"], "--ca"),
        (&["http://x/", "--bearer-file", "f", "--header", "Authorization=a"], "--bearer-file"),
        (&[], "URL"),
    ] {
        let output = Command::new(program_path()).arg("connect").args(arguments).output().unwrap();
        assert!(!output.status.success(), "{arguments:?}");
        assert!(output.stdout.is_empty());
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(stderr.contains(named), "{stderr}");
    }
}

#[test]
fn too_long_line_gets_an_error() {
    let server = ScriptedServer::start(|_| None);
    let mut application = Application::initialize(&server.url, &[]);
    application.call(1, "tool", &json!({ "text": "x".repeat(17 << 20) }));
    let error = application.next();
    assert_eq!(error["error"]["message"], "the message is larger than 16777216 bytes");
    application.call(2, "tool", &json!({}));
    assert!(application.response(2).0["result"].is_object());
    assert_eq!(server.count(Received::is_call), 1);
}
