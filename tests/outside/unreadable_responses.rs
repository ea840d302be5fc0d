//! Invalid lines of a server: every request ends.

use std::{process::Stdio, time::Duration};

use rejoin_test_support::{Client, Program};
use serde_json::{Value, json};
use tokio::time::timeout;

/// A server that answers a call with the lines in its arguments, encoded in Latin-1. If asked to, it
/// returns the error that its server request was answered with.
const SERVER: &str = r#"
import json, sys
def write(line): sys.stdout.buffer.write(line); sys.stdout.buffer.flush()
def respond(id, result): write(json.dumps({"jsonrpc": "2.0", "id": id, "result": result}).encode() + b"\n")
call, received = None, []
for line in sys.stdin:
    message = json.loads(line)
    method, id = message.get("method"), message.get("id")
    if method == "initialize":
        respond(id, {"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {"name": "s", "version": "0"}})
    elif method == "tools/call":
        arguments = message["params"]["arguments"]
        if "refused" in arguments: call = id
        for text in arguments["lines"]: write(text.encode("latin-1") + b"\n")
    elif method is None:
        received.append(message)
        if call is not None and "error" in message: respond(call, {"received": message}); call = None
"#;

fn serve(options: &[&str]) -> Program {
    Program::serve(&[options, &["--", "python3", "-u", "-c", SERVER]].concat())
}

/// Calls a tool, and waits for the response.
async fn end_of(client: &Client, id: i64, arguments: Value) -> Value {
    let end = async { client.call(id, "any", arguments).await.response().await };
    timeout(Duration::from_secs(10), end).await.unwrap()
}

#[tokio::test]
async fn repairable_response_is_delivered() {
    let program = serve(&[]);
    let client = Client::initialize(&program.address).await;
    let lines = [
        r#"{"jsonrpc":"2.0","id":@,"result":{"a":1},"error":null}"#,
        r#"{"id":@,"result":{"a":1}}"#,
        r#"{"jsonrpc":"1.0","id":@,"result":{"a":1}}"#,
        r#"{"jsonrpc":"2.0","id":"@","result":{"a":1}}"#,
        "\u{ef}\u{bb}\u{bf}{\"jsonrpc\":\"2.0\",\"id\":@,\"result\":{\"a\":1}}",
        r#"[{"jsonrpc":"2.0","id":@,"result":{"a":1}}]"#,
        r#"{"jsonrpc":"2.0","id":@,"result":{"a":1}}{"jsonrpc":"2.0","id":77,"result":{}}"#,
    ];
    for (id, line) in (1..).zip(lines) {
        let line = line.replace('@', &id.to_string());
        let response = end_of(&client, id, json!({ "lines": [line] })).await;
        assert_eq!(response, json!({ "jsonrpc": "2.0", "id": id, "result": { "a": 1 } }), "{line}");
    }
}

#[tokio::test]
async fn unreadable_response_fails_its_request_with_the_reason() {
    let program = serve(&[]);
    let client = Client::initialize(&program.address).await;
    let deep =
        format!(r#"{{"jsonrpc":"2.0","id":@,"result":{}1{}}}"#, "[".repeat(128), "]".repeat(128));
    let lines = [
        (r#"{"jsonrpc":"2.0","id":@,"result":{"a":NaN}}"#, "NaN"),
        (r#"{"jsonrpc":"2.0","id":@,"result":{"\ud83d":1}}"#, "surrogate"),
        (r#"{"jsonrpc":"2.0","id":@,"result":{},"result":{}}"#, "`result`"),
        (r#"{"jsonrpc":"2.0","id":@,"result":{"a":"#, "unterminated"),
        (r#"{"jsonrpc":"2.0","result":{}}"#, "`id`"),
        (&deep, "128 levels"),
    ];
    for (id, (line, why)) in (1..).zip(lines) {
        let line = line.replace('@', &id.to_string());
        let response = end_of(&client, id, json!({ "lines": [line] })).await;
        assert_eq!(response["error"]["code"], -32_603, "{response}");
        let message = response["error"]["message"].as_str().unwrap();
        assert!(message.contains(why), "{message}");
    }
}

#[tokio::test]
async fn error_without_an_id_answers_the_only_request() {
    let program = serve(&[]);
    let client = Client::initialize(&program.address).await;
    let line = r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"what?"}}"#;
    let response = end_of(&client, 1, json!({ "lines": [line] })).await;
    assert_eq!((&response["id"], &response["error"]["message"]), (&json!(1), &json!("what?")));
}

#[tokio::test]
async fn response_without_an_id_is_logged_if_several_requests_are_pending() {
    let command = ["--", "python3", "-u", "-c", SERVER];
    let program = Program::logging_to(Stdio::piped(), &command);
    let client = Client::initialize(&program.address).await;
    let mut first = client.call(1, "any", json!({ "lines": [] })).await;
    let nameless = r#"{"jsonrpc":"2.0","result":{}}"#;
    let responses = [1, 2].map(|id| json!({ "jsonrpc": "2.0", "id": id, "result": { "a": id } }));
    let lines = [nameless.to_owned(), responses[0].to_string(), responses[1].to_string()];
    assert_eq!(end_of(&client, 2, json!({ "lines": lines })).await, responses[1]);
    assert_eq!(timeout(Duration::from_secs(10), first.response()).await.unwrap(), responses[0]);
    let log = program.stop();
    let is_line =
        |line: &str| line.contains("invalid line on stdout ignored") && line.contains("`id`");
    assert!(log.lines().any(is_line), "{log}");
}

#[tokio::test]
async fn log_lines_answer_no_request() {
    let program = serve(&[]);
    let client = Client::initialize(&program.address).await;
    let response = json!({ "jsonrpc": "2.0", "id": 1, "result": { "a": 1 } }).to_string();
    let lines = [
        "listening",
        r#"{"level":"error","id":1,"error":"refused"}"#,
        r#"{"level":"info","id":1,"result":{}}"#,
        r#"sending {"jsonrpc":"2.0","id":1,"result":{"a":"a..."#,
        &response,
    ];
    assert_eq!(end_of(&client, 1, json!({ "lines": lines })).await["result"]["a"], 1);
}

#[tokio::test]
async fn json_after_other_text_is_not_a_response() {
    let program = serve(&[]);
    let client = Client::initialize(&program.address).await;
    let other = json!({ "jsonrpc": "2.0", "id": 1, "result": { "a": 2 } });
    let response = json!({ "jsonrpc": "2.0", "id": 1, "result": { "a": 1 } });
    let prefixes = ["upstream: ", "[INFO] ", "[1234] ", "12 ", "\"upstream\" ", "{}} ", "- "];
    let mut lines: Vec<_> = prefixes.iter().map(|text| format!("{text}{other}")).collect();
    lines.push(format!("{response} done {other}"));
    assert_eq!(end_of(&client, 1, json!({ "lines": lines })).await["result"]["a"], 1);
}

#[tokio::test]
async fn response_after_other_text_fails_its_request_if_no_other_follows() {
    let program = serve(&[]);
    let client = Client::initialize(&program.address).await;
    let line = r#"Loading... {"jsonrpc":"2.0","id":1,"result":{"a":2}}"#;
    let response = end_of(&client, 1, json!({ "lines": [line] })).await;
    assert_eq!(response["error"]["code"], -32_603, "{response}");
    let message = response["error"]["message"].as_str().unwrap();
    assert!(message.contains("other text"), "{message}");
    // The line does not affect the next call.
    let line = r#"{"jsonrpc":"2.0","id":2,"result":{"a":1}}"#;
    assert_eq!(end_of(&client, 2, json!({ "lines": [line] })).await["result"]["a"], 1);
}

#[tokio::test]
async fn rejected_server_request_is_answered_with_an_error() {
    let program = serve(&["--max-server-requests", "1"]);
    let client = Client::initialize(&program.address).await;
    let _get = client.get(None).await;
    let ping = |id: i64| format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#);
    for (id, lines, refused) in [
        (
            1,
            vec![r#"{"jsonrpc":"2.0","id":"m","method":"ping","params":5}"#.to_owned()],
            json!("m"),
        ),
        (
            2,
            vec![r#"{"jsonrpc":"2.0","id":"n","method":"ping","params":{"a":NaN}}"#.to_owned()],
            json!("n"),
        ),
        (3, vec![ping(1), ping(2)], json!(2)),
        (4, vec![ping(1)], json!(1)),
    ] {
        let response = end_of(&client, id, json!({ "refused": true, "lines": lines })).await;
        let received = &response["result"]["received"];
        assert_eq!(received["id"], refused, "{response}");
        assert!(received["error"]["message"].is_string(), "{response}");
    }
}
