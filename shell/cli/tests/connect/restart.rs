//! Servers that lose the session.

use std::time::Duration;

use rejoin_test_support::{Client, LATEST_REVISION, Program, free_port, initialize};
use serde_json::{Value, json};

use crate::{
    application::Application,
    scripted_server::{Received, Reply, ScriptedServer, json_body, status},
};

fn methods(messages: &[Value]) -> Vec<&str> {
    messages.iter().filter_map(|message| message["method"].as_str()).collect()
}

#[tokio::test]
async fn restarted_server_gets_a_new_session_and_pending_calls_fail() {
    let address = format!("127.0.0.1:{}", free_port());
    let program = Program::serve(&["--listen", &address]);
    let mut application = Application::initialize(&program.url, &[]);
    application.call(1, "count", &json!({ "total": 1_000, "interval_ms": 10 }));
    assert_eq!(application.next()["method"], "notifications/progress");
    // Killed, so that no response can be sent.
    assert!(!program.stop_with("KILL").success());
    let program = Program::serve(&["--listen", &address]);
    let (response, before) = application.response(1);
    let message = response["error"]["message"].as_str().unwrap();
    assert!(message.contains("not known whether the server executed"), "{message}");
    assert!(methods(&before).contains(&"notifications/message"), "{before:?}");
    application.call(2, "echo", &json!({ "message": "m" }));
    let (response, _) = application.response(2);
    assert_eq!(response["result"]["content"][0]["text"], "m");
    let (status, _) = application.leave();
    assert!(status.success());
    drop(program);
}

#[tokio::test]
async fn server_that_drains_and_restarts_at_its_address_loses_no_call() {
    let address = format!("127.0.0.1:{}", free_port());
    let mut program = Program::serve(&["--listen", &address, "--drain-timeout", "60s"]);
    let mut idle = Application::initialize(&program.url, &[]);
    let mut busy = Application::initialize(&program.url, &[]);
    // It keeps the server draining.
    busy.call(1, "count", &json!({ "total": 20, "interval_ms": 100 }));
    assert_eq!(busy.next()["method"], "notifications/progress");
    program.signal("TERM");
    let client = Client::new(&program.address);
    let mut opened = 0;
    while client.post(&initialize(LATEST_REVISION, &json!({}))).await.status != 503 {
        opened += 1;
        assert!(opened < 500, "the program opens sessions although it should drain");
    }
    // The session of one application has ended; that of the other accepts no further calls.
    idle.call(2, "echo", &json!({ "message": "idle" }));
    busy.call(3, "echo", &json!({ "message": "busy" }));
    let (response, _) = busy.response(1);
    assert!(response["result"].is_object(), "{response}");
    assert!(program.exited(Duration::from_secs(60)).await.unwrap().success());
    let program = Program::serve(&["--listen", &address]);
    for (application, id, text) in [(&idle, 2, "idle"), (&busy, 3, "busy")] {
        let (response, _) = application.response(id);
        assert_eq!(response["result"]["content"][0]["text"], text, "{response}");
    }
    assert!(idle.leave().0.success() && busy.leave().0.success());
    drop(program);
}

#[test]
fn session_that_is_not_renewed_is_deleted() {
    let server = ScriptedServer::start(|request| {
        let session = request.header("mcp-session-id");
        if request.is_call() && session == Some("s1") {
            return Some(status(404, ""));
        }
        // The first new session is begun, and then lost by a proxy.
        let is_notification = request.message["method"] == "notifications/initialized";
        (is_notification && session == Some("s2")).then(|| status(502, ""))
    });
    let mut application = Application::initialize(&server.url, &[]);
    application.call(1, "tool", &json!({}));
    assert!(application.response(1).0["result"].is_object());
    application.leave();
    let deleted = server.received().into_iter().filter(|request| request.method == "DELETE");
    let deleted: Vec<_> =
        deleted.filter_map(|request| request.header("mcp-session-id").map(str::to_owned)).collect();
    assert_eq!(deleted, ["s2", "s3"]);
}

#[test]
fn call_that_got_the_404_is_sent_in_the_new_session() {
    check_new_session(|| status(404, ""));
}

#[test]
fn server_that_says_400_for_an_unknown_session_gets_a_new_one() {
    check_new_session(|| {
        let error =
            json!({ "code": -32_000, "message": "Bad Request: No valid session ID provided" });
        json_body(400, "", &json!({ "jsonrpc": "2.0", "error": error, "id": null }))
    });
}

/// Checks that a call whose session is lost is sent in a new one.
fn check_new_session(reply: impl Fn() -> Reply + Send + 'static) {
    let server = ScriptedServer::start(move |request| {
        let is_lost = request.header("mcp-session-id") == Some("s1") && request.is_call();
        is_lost.then(&reply)
    });
    let mut application = Application::initialize(&server.url, &[]);
    application.call(1, "tool", &json!({}));
    let (response, before) = application.response(1);
    assert!(response["result"].is_object(), "{response}");
    assert_eq!(
        methods(&before),
        ["notifications/message", "notifications/tools/list_changed"],
        "{before:?}"
    );
    assert_eq!(before[0]["params"]["logger"], "rejoin");
    assert_eq!(before[0]["params"]["level"], "warning");
    application.leave();
    assert_eq!(server.count(Received::is_initialize), 2);
    let calls = server.received();
    let calls = calls.iter().filter(|request| request.is_call());
    let sessions: Vec<_> = calls.map(|request| request.header("mcp-session-id")).collect();
    assert_eq!(sessions, [Some("s1"), Some("s2")]);
}

#[tokio::test]
async fn server_that_knows_no_session_is_not_asked_in_a_loop() {
    let server = ScriptedServer::start(|request| request.is_call().then(|| status(404, "")));
    let mut application = Application::initialize(&server.url, &[]);
    for id in 1..=2 {
        application.call(id, "tool", &json!({}));
        let (response, _) = application.response(id);
        let message = "the server refused the request with HTTP status 404";
        assert_eq!(response["error"]["message"], message);
    }
    assert_eq!(server.count(Received::is_call), 4);
    tokio::time::sleep(Duration::from_millis(500)).await;
    let sessions = server.count(Received::is_initialize);
    assert!(sessions <= 6, "{sessions} sessions");
}
