//! The stages of a shutdown, as clients see them.

use std::{
    io::{self, BufRead as _, BufReader},
    process::Stdio,
    time::Duration,
};

use http::StatusCode;
use rejoin_test_support::{Client, HttpResponse, Program, initialize, script};
use serde_json::{Value, json};
use tokio::{
    task::spawn_blocking,
    time::{sleep, timeout},
};

/// Timeout of every operation.
const PROMPT: Duration = Duration::from_secs(20);

/// A server that answers its first call after the next notification, and other calls at once.
const FINISHES_LATER: &str = r#"receive; first=$id
while receive; do
    case "$line" in
        *notifications/any*) id=$first; respond '{"done":true}' ;;
        *) respond '{}' ;;
    esac
done"#;

async fn start_session(program: &Program) -> HttpResponse {
    Client::new(&program.address).post(&initialize("2025-11-25", &json!({}))).await
}

/// Waits until a request gets an answer of a certain kind.
async fn until<F: Future<Output = bool>>(is_reached: impl Fn() -> F) {
    let reached = async {
        while !is_reached().await {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PROMPT, reached).await.unwrap();
}

async fn has_status(program: &Program, status: StatusCode) -> bool {
    start_session(program).await.status == status
}

/// Waits for the signal to have an effect: responses close their connections.
async fn until_draining(client: &Client) {
    until(|| async { client.call(90, "any", json!({})).await.headers.contains_key("connection") })
        .await;
}

/// Sends what the pending call of the script waits for.
async fn finish(client: &Client) {
    let notification = json!({ "jsonrpc": "2.0", "method": "notifications/any" });
    assert_eq!(client.post(&notification).await.status, StatusCode::ACCEPTED);
}

async fn assert_exits(mut program: Program) {
    assert!(program.exited(PROMPT).await.unwrap().success());
}

fn done() -> Value {
    json!({ "done": true })
}

#[tokio::test]
async fn everything_is_served_during_the_delay() {
    let program = script::serve(&["--drain-delay", "600s"], script::ECHO);
    let client = Client::initialize(&program.address).await;
    assert!(!client.call(1, "any", json!({})).await.headers.contains_key("connection"));
    let mut standalone = client.get(None).await;
    program.signal("TERM");
    until_draining(&client).await;
    // Old sessions and new ones.
    assert!(client.call(2, "any", json!({})).await.response().await["result"].is_object());
    let other = Client::initialize(&program.address).await;
    let mut call = other.call(1, "any", json!({})).await;
    assert_eq!(call.headers["connection"], "close");
    assert!(call.response().await["result"].is_object());
    assert!(standalone.next().await.is_some(), "it is still open");
    // A different signal, since the kernel merges pending signals of the same kind.
    program.signal("INT");
    assert_exits(program).await;
}

#[tokio::test]
async fn after_the_delay_new_sessions_are_refused_and_calls_finish() {
    let program =
        script::serve(&["--drain-delay", "300ms", "--drain-timeout", "600s"], FINISHES_LATER);
    let client = Client::initialize(&program.address).await;
    let idle = Client::initialize(&program.address).await;
    let mut call = client.call(1, "any", json!({})).await;
    program.signal("TERM");
    until(|| has_status(&program, StatusCode::SERVICE_UNAVAILABLE)).await;
    let refused = start_session(&program).await;
    assert!(refused.headers.contains_key("retry-after"));
    let second = client.call(2, "any", json!({})).await;
    assert_eq!(second.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(idle.call(1, "any", json!({})).await.status, StatusCode::NOT_FOUND);
    finish(&client).await;
    assert_eq!(call.response().await["result"], done());
    assert_exits(program).await;
}

#[tokio::test]
async fn a_client_that_lost_its_connection_before_gets_its_response() {
    let script = script::with_prelude(FINISHES_LATER);
    let options = ["--drain-timeout", "600s", "--", "/bin/sh", "-c", &script];
    let mut program = Program::logging_to(Stdio::piped(), &options);
    let log = BufReader::new(program.stderr()).lines();
    let client = Client::initialize(&program.address).await;
    let mut call = client.call(1, "any", json!({})).await;
    let primed = call.next().await.unwrap().id().unwrap().clone();
    drop(call);
    // Not on the thread of the runtime, which has to close the connection first.
    let is_lost = |line: io::Result<String>| line.unwrap().contains("connection lost");
    assert!(spawn_blocking(move || log.into_iter().any(is_lost)).await.unwrap());
    finish(&client).await;
    program.signal("TERM");
    until(|| has_status(&program, StatusCode::SERVICE_UNAVAILABLE)).await;
    let mut resumed = client.get(Some(&primed)).await;
    assert_eq!(resumed.response().await["result"], done());
    assert_exits(program).await;
}

#[tokio::test]
async fn a_call_that_is_left_at_the_timeout_fails() {
    let options = ["--drain-delay", "100ms", "--drain-timeout", "100ms"];
    let program = script::serve(&options, FINISHES_LATER);
    let client = Client::initialize(&program.address).await;
    let mut call = client.call(1, "any", json!({})).await;
    program.signal("TERM");
    let error = call.response().await["error"].take();
    assert_eq!(error["message"], "the session was closed: the server is shutting down");
    assert_exits(program).await;
}

#[tokio::test]
async fn a_second_signal_ends_the_wait_for_calls() {
    let program = script::serve(&["--drain-timeout", "600s"], FINISHES_LATER);
    let client = Client::initialize(&program.address).await;
    let _call = client.call(1, "any", json!({})).await;
    program.signal("TERM");
    until(|| has_status(&program, StatusCode::SERVICE_UNAVAILABLE)).await;
    program.signal("INT");
    assert_exits(program).await;
}
