//! The log: without a reader, with a slow reader, rate limits, and its contents.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    process::{ChildStderr, Stdio},
    time::Duration,
};

use http::Method;
use rejoin_test_support::{Client, LATEST_REVISION, Program, initialize, script};
use serde_json::json;
use tokio::time::timeout;

/// Timeout of operations that must not wait for the log.
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
async fn log_without_a_reader_is_dropped() {
    let mut program = Program::logging_to(Stdio::piped(), &["--log-level", "debug"]);
    drop(program.stderr());
    for _ in 0..3 {
        is_served(&program).await;
    }
    assert!(program.stop_with("TERM").success());
}

#[tokio::test]
async fn log_on_a_full_disk_is_dropped() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let program = Program::logging_to(full.into(), &["--log-level", "debug"]);
    for _ in 0..3 {
        is_served(&program).await;
    }
    assert!(program.stop_with("TERM").success());
}

/// Starts the program with a child that writes 2 MiB to stderr before it answers: more than the pipe
/// and the log queue hold.
fn serve_with_large_stderr() -> Program {
    let script = "i=0; while [ $i -lt 500 ]; do printf '%04000d\\n' $i >&2; i=$((i+1)); done
        receive; respond {}; receive";
    let script = script::with_prelude(script);
    Program::logging_to(Stdio::piped(), &["--", "/bin/sh", "-c", &script])
}

#[tokio::test]
async fn unread_log_blocks_nothing() {
    let mut program = serve_with_large_stderr();
    let mut stderr = program.stderr();
    for _ in 0..3 {
        is_served(&program).await;
    }
    program.signal("TERM");
    assert!(program.exited(PROMPT).await.unwrap().success());
    let mut log = Vec::new();
    stderr.read_to_end(&mut log).unwrap();
    assert!(log.len() < 128 << 10, "{} bytes", log.len());
}

#[tokio::test]
async fn returning_log_reader_sees_how_many_lines_were_dropped() {
    let mut program = serve_with_large_stderr();
    let mut stderr = program.stderr();
    is_served(&program).await;
    let log = tokio::task::spawn_blocking(move || {
        let mut log = String::new();
        stderr.read_to_string(&mut log).unwrap();
        log
    });
    is_served(&program).await;
    assert!(program.stop_with("TERM").success());
    let log = log.await.unwrap();
    let lost = log.lines().filter(|line| line.contains("log lines dropped"));
    let lines = lost.filter_map(|line| line.split_once("lines=")?.1.parse::<u64>().ok());
    assert!(lines.sum::<u64>() > 100, "{} bytes", log.len());
}

fn count(log: &str, words: &str) -> usize {
    log.lines().filter(|line| line.contains(words)).count()
}

#[tokio::test]
async fn stderr_lines_of_a_child_are_rate_limited_and_counted() {
    let flood =
        "i=0; while [ $i -lt 3000 ]; do echo line-$i >&2; i=$((i+1)); done; receive; respond {}";
    let script = script::with_prelude(flood);
    let command = ["--", "/bin/sh", "-c", &script];
    let program = Program::logging_to(Stdio::piped(), &command);
    let client = Client::initialize(&program.address).await;
    client.call(1, "any", json!({})).await.response().await;
    let log = program.stop();
    let lines = count(&log, "line-");
    assert!((500..1_500).contains(&lines), "{lines}");
    assert!(log.contains("log lines suppressed"), "{log}");
}

#[tokio::test]
async fn invalid_lines_of_a_child_are_rate_limited_and_counted() {
    const LINES: usize = 3_000;
    let flood = format!(
        "i=0; while [ $i -lt {LINES} ]; do echo x; i=$((i+1)); done; receive; respond {{}}"
    );
    let script = script::with_prelude(&flood);
    let program = Program::logging_to(Stdio::piped(), &["--", "/bin/sh", "-c", &script]);
    let client = Client::initialize(&program.address).await;
    client.call(1, "any", json!({})).await.response().await;
    let log = program.stop();
    assert!(count(&log, "invalid line on stdout ignored") < LINES / 50, "{log}");
    assert!(log.contains("log lines suppressed") && log.len() < 8 * LINES, "{}", log.len());
}

#[tokio::test]
async fn lines_that_a_client_causes_are_limited_and_counted() {
    let program = Program::logging_to(Stdio::piped(), &[]);
    let client = Client::initialize(&program.address).await;
    for id in 0..200 {
        let response = json!({ "jsonrpc": "2.0", "id": id, "result": {} });
        client.post(&response).await;
        client.send(Method::GET, String::new(), &[("host", "example.com")]).await;
    }
    let log = program.stop();
    assert!(count(&log, "request refused") < 60, "{log}");
    assert!(count(&log, "response dropped") < 60, "{log}");
    assert!(count(&log, "log lines suppressed") >= 2, "{log}");
}

/// A server that answers its first call, after six messages, only once it has answered the second.
const FINISHES_AFTER_THE_NEXT: &str = r#"
    log='"jsonrpc":"2.0","method":"notifications/message"'
    of='"level":"info","data":1,"_meta":{"rejoin/relatedRequestId":1}'
    receive; echo "{$log,\"params\":{$of}}"
    receive; for n in 1 2 3 4 5; do echo "{$log,\"params\":{$of}}"; done
    respond {}; id=1; respond {}; receive"#;

#[tokio::test]
async fn lifecycle_of_a_session_is_logged() {
    let script = script::with_prelude(FINISHES_AFTER_THE_NEXT);
    let mut program = Program::logging_to(Stdio::piped(), &["--", "/bin/sh", "-c", &script]);
    let log = BufReader::new(program.stderr());
    let client = Client::initialize(&program.address).await;
    let mut call = client.call(1, "any", json!({})).await;
    let first = call.message().await.unwrap();
    drop(call);
    let (mut text, mut log) = logged(log, "connection lost").await;
    client.call(2, "any", json!({})).await.response().await;
    client.get(first.id().as_deref()).await.response().await;
    client.delete().await;
    let refused = client.send(Method::GET, String::new(), &[("host", "evil.example")]).await;
    assert_eq!(refused.status, 403);
    assert!(program.stop_with("TERM").success());
    log.read_to_string(&mut text).unwrap();
    let session = client.session();
    assert!(!text.contains(session), "{text}");
    let short = &session[..16];
    for parts in [
        ["session opened", short, "client=\"test 0\"", "revision=\"2025-11-25\""],
        ["connection lost", short, "connection=", ""],
        ["stream resumed", short, "after=", "replayed="],
        ["session closed", short, "reason=Deleted", ""],
        ["request refused", "peer=127.0.0.1", "\"evil.example\"", "--allow-host"],
    ] {
        let is_line = |line: &str| parts.iter().all(|part| line.contains(part));
        assert!(text.lines().any(is_line), "{parts:?}: {text}");
    }
}

/// Waits for a log line that contains `words`. Returns the log up to it, and the rest.
async fn logged(
    mut log: BufReader<ChildStderr>,
    words: &'static str,
) -> (String, BufReader<ChildStderr>) {
    let read = move || {
        let mut text = String::new();
        while !text.lines().last().is_some_and(|line| line.contains(words)) {
            assert!(log.read_line(&mut text).unwrap() > 0, "{words}: {text}");
        }
        (text, log)
    };
    timeout(PROMPT, tokio::task::spawn_blocking(read)).await.unwrap().unwrap()
}

#[tokio::test]
async fn gap_is_logged() {
    let script = script::with_prelude(FINISHES_AFTER_THE_NEXT);
    let command = ["--max-stream-events", "2", "--", "/bin/sh", "-c", &script];
    let mut program = Program::logging_to(Stdio::piped(), &command);
    let log = BufReader::new(program.stderr());
    let client = Client::initialize(&program.address).await;
    let mut call = client.call(1, "any", json!({})).await;
    let first = call.message().await.unwrap();
    drop(call);
    let (_, log) = logged(log, "connection lost").await;
    client.call(2, "any", json!({})).await.response().await;
    client.get(first.id().as_deref()).await.response().await;
    logged(log, "gap: ").await;
}

#[tokio::test]
async fn refusal_by_a_limit_names_the_option() {
    let options = ["--max-sessions", "1", "--max-request-body", "1KiB", "--max-json-depth", "8"];
    let program = Program::logging_to(Stdio::piped(), &options);
    let client = Client::initialize(&program.address).await;
    client.call(1, "echo", json!({ "message": "m" })).await.response().await;
    let new_client = Client::new(&program.address);
    let refused = new_client.post(&initialize(LATEST_REVISION, &json!({}))).await;
    assert_eq!(refused.status, 503);
    let large = json!({ "jsonrpc": "2.0", "method": "x".repeat(2_000) });
    assert_eq!(client.post(&large).await.status, 413);
    let deep = json!({ "jsonrpc": "2.0", "method": "m", "params": { "a": [[[[[[[]]]]]]] } });
    assert_eq!(client.post(&deep).await.status, 400);
    let log = program.stop();
    for option in ["--max-sessions", "--max-request-body", "--max-json-depth"] {
        let option = format!("option=\"{option}\"");
        let is_line = |line: &str| {
            let parts = ["request refused", "peer=127.0.0.1", &option];
            parts.iter().all(|part| line.contains(part))
        };
        assert!(log.lines().any(is_line), "{option}: {log}");
    }
}

#[tokio::test]
async fn dropped_progress_is_counted() {
    let late = r#"
        receive; respond {}
        for n in 1 2 3; do
            echo '{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"progress":1}}'
        done
        receive; respond {}; receive"#;
    let script = script::with_prelude(late);
    let program = Program::logging_to(Stdio::piped(), &["--", "/bin/sh", "-c", &script]);
    let client = Client::initialize(&program.address).await;
    for id in [1, 2] {
        client.call(id, "any", json!({})).await.response().await;
    }
    client.delete().await;
    let log = program.stop();
    let is_line =
        |line: &str| line.contains("session closed") && line.contains("progress_dropped=3");
    assert!(log.lines().any(is_line), "{log}");
}

#[tokio::test]
async fn refusal_names_the_host_and_truncates_a_long_one() {
    let program = Program::logging_to(Stdio::piped(), &[]);
    let name = format!("long.{}", "x".repeat(10_000));
    for target in ["http://absolute.example/mcp", &format!("http://{name}/mcp")] {
        let mut stream = TcpStream::connect(&program.address).unwrap();
        write!(stream, "GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        assert!(response.starts_with("HTTP/1.1 403") && response.len() < 1_000, "{response}");
    }
    let log = program.stop();
    assert!(count(&log, "host=\"absolute.example\"") == 1, "{log}");
    let lines: Vec<_> = log.lines().filter(|line| line.contains("host=\"long.x")).collect();
    assert!(lines.len() == 1 && lines[0].len() < 1_000, "{lines:?}");
}

#[tokio::test]
async fn process_id_of_a_session_is_logged() {
    let script = script::with_prelude("while receive; do respond \"{\\\"pid\\\":$$}\"; done");
    let program = Program::logging_to(Stdio::piped(), &["--", "/bin/sh", "-c", &script]);
    let client = Client::initialize(&program.address).await;
    let pid = script::pid(&client, 1).await;
    let log = program.stop();
    assert!(
        log.lines()
            .any(|line| line.contains("session opened") && line.contains(&format!("pid={pid}"))),
        "{log}"
    );
}

#[tokio::test]
async fn access_log_has_one_line_per_request_without_bodies() {
    let program = Program::logging_to(Stdio::piped(), &["--log-level", "debug"]);
    let client = Client::initialize(&program.address).await;
    client.call(1, "echo", json!({ "message": "a secret" })).await.response().await;
    let (session, log) = (client.session().to_owned(), program.stop());
    let lines: Vec<_> = log.lines().filter(|line| line.contains("access_log: request")).collect();
    assert_eq!(lines.len(), 3, "{log}");
    for part in ["method=POST", "path=\"/mcp\"", "status=200", "duration=", &session[..16]] {
        assert!(lines[2].contains(part), "{part}: {}", lines[2]);
    }
    assert!(!log.contains("a secret") && !log.contains(&session), "{log}");
}
