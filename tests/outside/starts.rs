//! Starts of children: the limits of sessions and of starts, and parked children.

use std::{
    fs,
    process::Stdio,
    time::{Duration, Instant},
};

use http::StatusCode;
use rejoin_test_support::{
    Client, LATEST_REVISION, Program, initialize,
    processes::{children, signal, wait_until, with_word},
    script::{ECHO, PRELUDE, result, serve},
};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt as _, net::TcpStream, time::timeout};

use crate::process_life::{IGNORES_SIGNALS, logged, word};

/// Requests a session, without waiting for the response.
pub(crate) async fn start_session(program: &Program) -> TcpStream {
    start_session_with(program, &json!({})).await
}

async fn start_session_with(program: &Program, capabilities: &Value) -> TcpStream {
    let body = initialize(LATEST_REVISION, capabilities).to_string();
    let request = format!(
        "POST /mcp HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\n\
         accept: application/json, text/event-stream\r\ncontent-length: {}\r\n\r\n{body}",
        program.address,
        body.len()
    );
    let mut stream = TcpStream::connect(&program.address).await.unwrap();
    // So that dropping it resets the connection.
    stream.set_zero_linger().unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

#[tokio::test]
async fn processes_are_limited_by_the_session_limit() {
    let word = word();
    let script = format!(": {word}\n{PRELUDE}\n{IGNORES_SIGNALS}");
    let options =
        ["--max-sessions", "2", "--stop-timeout", "200ms", "--", "/bin/sh", "-c", &script];
    let program = Program::serve(&options);
    for _ in 0..8 {
        // This waits while two processes of earlier sessions are still ending.
        let client = Client::initialize(&program.address).await;
        assert!(client.delete().await.status.is_success());
        assert!(children(program.id()).iter().filter(|it| it.command.contains(&word)).count() <= 2);
    }
}

#[tokio::test]
async fn session_is_refused_while_a_child_is_stopping() {
    let options = ["--max-sessions", "1", "--stop-timeout", "20s", "--queue-timeout", "100ms"];
    let program = serve(&options, "trap '' TERM; while :; do sleep 1; done");
    let client = Client::initialize(&program.address).await;
    assert!(client.delete().await.status.is_success());
    let refused =
        Client::new(&program.address).post(&initialize(LATEST_REVISION, &json!({}))).await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn new_sessions_replace_unused_ones_that_stop_slowly() {
    const SESSIONS: usize = 3;
    let max = SESSIONS.to_string();
    let options = ["--max-sessions", &max, "--max-starts-per-second", "unlimited"];
    let options = [&options[..], &["--stop-timeout", "400ms"]].concat();
    let program = serve(&options, IGNORES_SIGNALS);
    for _ in 0..SESSIONS {
        Client::initialize(&program.address).await;
    }
    let newcomers = [(); SESSIONS].map(|()| {
        let address = program.address.clone();
        tokio::spawn(async move {
            let new_client = Client::new(&address);
            new_client.post(&initialize(LATEST_REVISION, &json!({}))).await.status
        })
    });
    for newcomer in newcomers {
        assert_eq!(newcomer.await.unwrap(), StatusCode::OK);
    }
}

#[tokio::test]
async fn starts_above_the_rate_wait_and_then_are_refused() {
    let program = serve(&["--max-starts-per-second", "1"], ECHO);
    let started = Instant::now();
    Client::initialize(&program.address).await;
    Client::initialize(&program.address).await;
    assert!(started.elapsed() > Duration::from_millis(900));
    starts_are_refused(&program, &json!({})).await;
}

/// Requests sessions until the next start would have to wait too long, and is refused.
async fn starts_are_refused(program: &Program, capabilities: &Value) {
    // So many that the next one would have to wait for more than 5 s.
    let mut waiting = Vec::new();
    for _ in 0..6 {
        waiting.push(start_session_with(program, capabilities).await);
    }
    let refused = async {
        loop {
            let new_client = Client::new(&program.address);
            let request = initialize(LATEST_REVISION, capabilities);
            let response = timeout(Duration::from_millis(500), new_client.post(&request)).await;
            if let Ok(response) = response
                && response.status != StatusCode::OK
            {
                break response;
            }
        }
    };
    let mut refused = timeout(Duration::from_secs(10), refused).await.unwrap();
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    let seconds: u64 = refused.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=10).contains(&seconds), "{seconds}");
    let message = refused.json().await["error"]["message"].to_string();
    assert!(message.contains("too many servers are starting"), "{message}");
}

/// A script that records its start in a file, and is slow to answer the first message.
fn slow_start_script(starts: &str) -> String {
    let first = format!("IFS= read -r first; echo started >> {starts}; sleep 1.5");
    format!("{first}\n{{ printf '%s\\n' \"$first\"; cat; }} | {{ {PRELUDE}\n{ECHO}; }}")
}

fn count(starts: &str) -> usize {
    fs::read_to_string(starts).unwrap_or_default().lines().count()
}

#[tokio::test]
async fn retrying_client_gets_the_child_that_is_still_starting() {
    let directory = tempfile::tempdir().unwrap();
    let starts = directory.path().join("starts");
    let starts = starts.to_str().unwrap();
    // A parked child does not count against the limit of sessions.
    let options = ["--max-sessions", "1", "--", "/bin/sh", "-c", &slow_start_script(starts)];
    let program = Program::serve(&options);
    let impatient = start_session(&program).await;
    wait_until(|| count(starts) == 1).await;
    drop(impatient);
    let client = Client::initialize(&program.address).await;
    assert_eq!(
        result(&client, 1, json!({ "a": 1 })).await["received"]["params"]["arguments"]["a"],
        1
    );
    assert_eq!(count(starts), 1);
    assert!(client.delete().await.status.is_success());
    // The child is not reused for another client.
    Client::initialize(&program.address).await;
    assert_eq!(count(starts), 2);
}

#[tokio::test]
async fn client_with_another_initialize_gets_a_new_child() {
    let directory = tempfile::tempdir().unwrap();
    let starts = directory.path().join("starts");
    let starts = starts.to_str().unwrap();
    let program =
        Program::serve(&["--start-grace", "4s", "--", "/bin/sh", "-c", &slow_start_script(starts)]);
    let impatient = start_session(&program).await;
    wait_until(|| count(starts) == 1).await;
    drop(impatient);
    let other =
        Client::initialize_with(&program.address, LATEST_REVISION, &json!({ "sampling": {} }))
            .await;
    assert_eq!(count(starts), 2);
    assert!(other.delete().await.status.is_success());
    // No client has come for the first child.
    wait_until(|| children(program.id()).iter().all(|it| !it.command.contains("started"))).await;
}

#[tokio::test]
async fn start_error_is_the_same_while_a_child_is_parked() {
    let directory = tempfile::tempdir().unwrap();
    let (command, starts) = (directory.path().join("command"), directory.path().join("starts"));
    std::os::unix::fs::symlink("/bin/sh", &command).unwrap();
    let (command, starts) = (command.to_str().unwrap(), starts.to_str().unwrap());
    let script = format!("read -r line; echo started >> {starts}; sleep 1000");
    let mut program = Program::logging_to(Stdio::piped(), &["--", command, "-c", &script]);
    let log = program.stderr();
    let impatient = start_session(&program).await;
    wait_until(|| count(starts) == 1).await;
    drop(impatient);
    logged(log, "kept for the next client").await;
    fs::remove_file(command).unwrap();
    let request = initialize(LATEST_REVISION, &json!({ "sampling": {} }));
    let mut response = Client::new(&program.address).post(&request).await;
    assert_eq!(response.status, StatusCode::BAD_GATEWAY);
    let message = response.json().await["error"]["message"].to_string();
    assert!(message.contains("No such file"), "{message}");
}

#[tokio::test]
async fn start_rate_is_limited_while_a_child_is_parked() {
    let directory = tempfile::tempdir().unwrap();
    let starts = directory.path().join("starts");
    let starts = starts.to_str().unwrap();
    let script = format!("read -r line; echo started >> {starts}; sleep 1000");
    let options = ["--max-starts-per-second", "1", "--", "/bin/sh", "-c", &script];
    let mut program = Program::logging_to(Stdio::piped(), &options);
    let log = program.stderr();
    let impatient = start_session(&program).await;
    wait_until(|| count(starts) == 1).await;
    drop(impatient);
    logged(log, "kept for the next client").await;
    starts_are_refused(&program, &json!({ "sampling": {} })).await;
}

#[tokio::test]
async fn parked_child_ends_with_the_program() {
    for ending in [Signal::TERM, Signal::KILL] {
        let directory = tempfile::tempdir().unwrap();
        let (word, starts) = (word(), directory.path().join("starts"));
        let starts = starts.to_str().unwrap();
        let script = format!(": {word}; read -r line; echo started >> {starts}; sleep 1000");
        let options = ["--stop-timeout", "300ms", "--", "/bin/sh", "-c", &script];
        let mut program = Program::logging_to(Stdio::piped(), &options);
        let log = program.stderr();
        let impatient = start_session(&program).await;
        wait_until(|| count(starts) == 1).await;
        drop(impatient);
        logged(log, "kept for the next client").await;
        assert_eq!(with_word(&word).len(), 2);
        signal(program.id(), ending);
        wait_until(|| with_word(&word).is_empty()).await;
    }
}

/// Measures the duration of a call.
async fn time_of(client: &Client, id: i64) -> Duration {
    let started = Instant::now();
    result(client, id, json!({})).await;
    started.elapsed()
}

#[tokio::test]
async fn many_starts_do_not_delay_other_requests() {
    const STARTS: usize = 200;
    let program = serve(&["--max-sessions", "1000"], ECHO);
    // Runs on the same machine, and starts nothing meanwhile.
    let idle_program = serve(&[], ECHO);
    let client = Client::initialize(&program.address).await;
    let control = Client::initialize(&idle_program.address).await;
    let mut connections = Vec::new();
    for _ in 0..STARTS {
        connections.push(start_session(&program).await);
    }
    let (mut times, mut control_times) = (Vec::new(), Vec::new());
    for id in 1..=20 {
        times.push(time_of(&client, id).await);
        control_times.push(time_of(&control, id).await);
    }
    times.sort();
    control_times.sort();
    let [median, control] = [&times, &control_times].map(|times| times[times.len() / 2]);
    let most = 2 * control + Duration::from_millis(50);
    assert!(median < most, "{times:?}, control: {control_times:?}");
}
