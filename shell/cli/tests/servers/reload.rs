//! Reloading of the file.

use std::time::Duration;

use http::StatusCode;
use rejoin_test_support::{Client, LATEST_REVISION, initialize};
use serde_json::json;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::fixture::{Served, path, value, valued};

async fn initialized(client: &Client) -> StatusCode {
    client.post(&initialize(LATEST_REVISION, &json!({}))).await.status
}

#[tokio::test]
async fn sessions_of_a_changed_server_go_on_with_the_old_one() {
    let served = Served::start(&json!({ "a": valued("old"), "b": valued("b") }), &[]);
    let (old, other) = (served.open("a").await, served.open("b").await);
    let line = served.reload(&json!({ "a": valued("new"), "b": valued("b") }));
    assert!(line.contains("unchanged=1 changed=1 added=0 removed=0"), "{line}");
    let new = served.open("a").await;
    assert_eq!(value(&old, 1).await, "old");
    assert_eq!(value(&new, 1).await, "new");
    assert_eq!(value(&other, 1).await, "b");
    assert_eq!(old.delete().await.status, StatusCode::NO_CONTENT);
    assert_eq!(old.get(None).await.status, StatusCode::NOT_FOUND);
    assert_eq!(value(&new, 2).await, "new");
}

#[tokio::test]
async fn sessions_of_a_removed_server_go_on_but_there_are_no_new_ones() {
    let served = Served::start(&json!({ "a": valued("a"), "b": valued("b") }), &[]);
    let client = served.open("a").await;
    let line = served.reload(&json!({ "b": valued("b"), "c": valued("c") }));
    assert!(line.contains("unchanged=1 changed=0 added=1 removed=1"), "{line}");
    assert_eq!(value(&client, 1).await, "a");
    assert_eq!(initialized(&served.client("/servers/a/mcp")).await, StatusCode::NOT_FOUND);
    assert_eq!(value(&served.open("c").await, 1).await, "c");
    assert_eq!(client.delete().await.status, StatusCode::NO_CONTENT);
    served.reload(&json!({ "a": valued("again"), "b": valued("b") }));
    assert_eq!(value(&served.open("a").await, 1).await, "again");
}

#[tokio::test]
async fn a_broken_file_changes_nothing() {
    let servers = json!({ "a": valued("a") });
    let served = Served::start(&servers, &[]);
    let client = served.open("a").await;
    for (text, part) in [
        ("{", "EOF while parsing"),
        (r#"{"mcpServers":{}}"#, "no server that is enabled"),
        (
            r#"{"mcpServers":{"a":{"command":"sh"},"b":{"comand":"sh"}}}"#,
            "server `b`: unknown field",
        ),
        (
            r#"{"mcpServers":{"a":{"command":"sh"},"b":{"command":"/no/such"}}}"#,
            "server `b`: cannot",
        ),
    ] {
        let line = served.reload_text(text);
        assert!(line.contains("nothing has changed") && line.contains(part), "{line}");
    }
    assert_eq!(value(&client, 1).await, "a");
    assert_eq!(value(&served.open("a").await, 1).await, "a");
    let line = served.reload(&servers);
    assert!(line.contains("unchanged=1 changed=0 added=0 removed=0"), "{line}");
}

#[tokio::test]
async fn options_of_a_server_count_as_a_change() {
    let served = Served::start(&json!({ "a": valued("a") }), &[]);
    let old = served.open("a").await;
    let mut limited = valued("a");
    limited["rejoin"] = json!({ "max-sessions": 1, "queue-timeout": "0s" });
    let line = served.reload(&json!({ "a": limited }));
    assert!(line.contains("changed=1"), "{line}");
    let new = served.open("a").await;
    assert_eq!(value(&new, 1).await, "a");
    let refused = initialized(&served.client("/servers/a/mcp")).await;
    assert_eq!(refused, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(value(&old, 1).await, "a");
}

#[tokio::test]
async fn sessions_that_began_at_the_path_of_the_program_go_on_there() {
    let served = Served::start(&json!({ "a": valued("a") }), &[]);
    let client = served.open_at("/mcp").await;
    served.reload(&json!({ "a": valued("a"), "b": valued("b") }));
    assert_eq!(initialized(&served.client("/mcp")).await, StatusCode::NOT_FOUND);
    assert_eq!(value(&client, 1).await, "a");
    served.reload(&json!({ "b": valued("b") }));
    assert_eq!(value(&client, 2).await, "a");
    assert_eq!(value(&served.open_at("/mcp").await, 1).await, "b");
    // A session that did not begin there is not found there.
    let named = served.open("b").await;
    served.reload(&json!({ "b": valued("b"), "c": valued("c") }));
    let elsewhere = served.open("c").await.with_path("/mcp");
    assert_eq!(elsewhere.get(None).await.status, StatusCode::NOT_FOUND);
    assert_eq!(value(&named, 1).await, "b");
}

#[tokio::test]
async fn a_request_that_had_reached_the_old_server_opens_its_session_there() {
    let served = Served::start(&json!({ "a": valued("old"), "b": valued("b") }), &[]);
    let body = initialize(LATEST_REVISION, &json!({})).to_string();
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: {}\r\nAccept: application/json, text/event-stream\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\nExpect: 100-continue\r\n\r\n",
        path("a"),
        served.program.address,
        body.len(),
    );
    let mut stream = TcpStream::connect(&served.program.address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 100", "the server reads the body");
    served.reload(&json!({ "a": valued("new"), "b": valued("b") }));
    let mut rest = [0; 13];
    stream.read_exact(&mut rest).await.unwrap();
    stream.write_all(body.as_bytes()).await.unwrap();
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200", "the session is opened");
}

#[tokio::test]
async fn sessions_end_at_the_retire_timeout() {
    let options = ["--retire-timeout", "100ms", "--drain-timeout", "100ms"];
    let never = json!({ "command": "/bin/sh", "args": ["-c", "sleep 600"] });
    let served = Served::start(&json!({ "a": valued("old"), "b": valued("b") }), &options);
    let client = served.open("a").await;
    let mut stream = client.get(None).await;
    served.reload(&json!({ "a": never, "b": valued("b") }));
    while stream.next().await.is_some() {}
    assert_eq!(client.get(None).await.status, StatusCode::NOT_FOUND);
    served.logged("retire timeout");
}

#[tokio::test]
async fn too_many_changes_end_the_earliest_sessions() {
    let served = Served::start(&json!({ "a": valued("0") }), &[]);
    let mut clients = vec![served.open("a").await];
    for change in 1..=5 {
        served.reload(&json!({ "a": valued(&change.to_string()) }));
        clients.push(served.open("a").await);
    }
    let mut first = clients[0].get(None).await;
    while first.next().await.is_some() {}
    for (number, client) in clients.iter().enumerate().skip(1) {
        assert_eq!(value(client, 1).await, number.to_string());
    }
}

#[tokio::test]
async fn a_shutdown_drains_retiring_servers_and_ignores_reloads() {
    let slow = json!({
        "command": "/bin/sh",
        "args": ["-c", rejoin_test_support::script::with_prelude(
            "receive; sleep 1; respond '{}'; while receive; do respond '{}'; done"
        ).replace("${", "$${")],
    });
    let served = Served::start(&json!({ "a": slow }), &[]);
    let client = served.open("a").await;
    let mut call = client.call(1, "any", json!({})).await;
    served.reload(&json!({ "b": valued("b") }));
    served.program.signal("TERM");
    served.logged("shutting down");
    served.program.signal("HUP");
    assert_eq!(call.response().await["result"], json!({}));
    let Served { mut program, .. } = served;
    assert!(program.exited(Duration::from_secs(20)).await.unwrap().success());
}
