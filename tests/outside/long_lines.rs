//! Lines that exceed the message limit, and large responses within it.

use std::time::Duration;

use rejoin_test_support::{Client, Program};
use serde_json::{Value, json};
use tokio::time::timeout;

/// A server with one tool per behavior, each call on its own thread.
const SERVER: &str = r#"
import json, sys, threading
lock, released = threading.Lock(), threading.Event()
def write(line):
    with lock: sys.stdout.buffer.write(line + b"\n"); sys.stdout.buffer.flush()
def send(message): write(json.dumps(message).encode())
def do(id, name, arguments):
    x = "x" * arguments.get("bytes", 0)
    if name == "wait": released.wait()
    if name == "release": released.set()
    if name == "garbage": write(x.encode())
    if name == "log": send({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": x}})
    if name in ("batch", "row"):
        x = arguments.get("value", x)
        responses = [json.dumps({"jsonrpc": "2.0", "id": id, "result": {"x": x}}) for id in arguments["ids"]]
        responses = [response.replace('"NaN"', "NaN") for response in responses]
        write(("[" + ",".join(responses) + "]" if name == "batch" else "".join(responses)).encode())
    elif name == "first": send({"jsonrpc": "2.0", "id": id, "result": {"x": x}})
    elif name == "last": send({"jsonrpc": "2.0", "result": {"x": x}, "id": id})
    elif name == "read":
        with open(arguments["path"]) as file: text = file.read()
        send({"jsonrpc": "2.0", "id": id, "result": {"content": [{"type": "text", "text": text}], "structuredContent": {"content": text}}})
    else: send({"jsonrpc": "2.0", "id": id, "result": {"ok": True}})
for line in sys.stdin:
    message = json.loads(line)
    method, id = message.get("method"), message.get("id")
    if method == "initialize":
        send({"jsonrpc": "2.0", "id": id, "result": {"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {"name": "s", "version": "0"}}})
    elif method == "tools/call":
        params = message["params"]
        threading.Thread(target=do, args=(id, params["name"], params["arguments"]), daemon=True).start()
"#;

fn serve(options: &[&str]) -> Program {
    Program::serve(&[options, &["--", "python3", "-u", "-c", SERVER]].concat())
}

async fn end_of(client: &Client, id: i64, name: &str, arguments: Value) -> Value {
    let end = async { client.call(id, name, arguments).await.response().await };
    timeout(Duration::from_secs(20), end).await.unwrap()
}

#[tokio::test]
async fn line_that_is_too_long_fails_only_its_own_request() {
    let program = serve(&["--max-message", "64KiB"]);
    let client = Client::initialize(&program.address).await;
    let mut other = client.call(1, "wait", json!({})).await;
    let long = json!({ "bytes": 1_000_000 });
    for (id, name) in [(2, "first"), (3, "last")] {
        let response = end_of(&client, id, name, long.clone()).await;
        assert_eq!(response["error"]["code"], -32_603, "{name}: {response}");
        let message = response["error"]["message"].as_str().unwrap();
        assert!(message.contains("65536 bytes"), "{message}");
    }
    for (id, name) in [(4, "garbage"), (5, "log")] {
        let response = end_of(&client, id, name, long.clone()).await;
        assert_eq!(response["result"], json!({ "ok": true }), "{name}");
    }
    end_of(&client, 6, "release", json!({})).await;
    assert_eq!(other.response().await["result"], json!({ "ok": true }));
}

#[tokio::test]
async fn line_that_is_too_long_fails_every_request_that_it_answers() {
    let program = serve(&["--max-message", "64KiB"]);
    let client = Client::initialize(&program.address).await;
    for (base, name) in [(10, "batch"), (20, "row")] {
        let mut others = Vec::new();
        for id in base..base + 3 {
            others.push(client.call(id, "wait", json!({})).await);
        }
        let ids = [base + 1, base + 3, base, base + 2];
        let response =
            end_of(&client, base + 3, name, json!({ "ids": ids, "bytes": 50_000 })).await;
        assert_eq!(response["error"]["code"], -32_603, "{response}");
        for mut other in others {
            let response = timeout(Duration::from_secs(20), other.response()).await.unwrap();
            assert_eq!(response["error"]["code"], -32_603, "{response}");
        }
    }
}

/// Number of requests that one line answers: more than a batch may have messages.
const CALLS: i64 = 150;

#[tokio::test]
async fn unreadable_line_fails_every_request_that_it_answers() {
    let program = serve(&["--max-message", "64KiB"]);
    let client = Client::initialize(&program.address).await;
    // The last line is too long.
    for (base, name, bytes, value) in
        [(1_000, "batch", 0, "NaN"), (2_000, "row", 0, "NaN"), (3_000, "batch", 1_000, "")]
    {
        let mut others = Vec::new();
        for id in base..base + CALLS {
            others.push(client.call(id, "wait", json!({})).await);
        }
        let value = Some(value).filter(|value| !value.is_empty());
        let ids: Vec<_> = (base..=base + CALLS).collect();
        let mut arguments = json!({ "ids": ids, "bytes": bytes });
        if let Some(value) = value {
            arguments["value"] = json!(value);
        }
        let response = end_of(&client, base + CALLS, name, arguments).await;
        assert_eq!(response["error"]["code"], -32_603, "{response}");
        for mut other in others {
            let response = timeout(Duration::from_secs(20), other.response()).await.unwrap();
            assert_eq!(response["error"]["code"], -32_603, "{response}");
        }
    }
}

#[tokio::test]
async fn file_of_5_mb_fits_the_default_limits() {
    let program = serve(&[]);
    let client = Client::initialize(&program.address).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    let line = "A line of text with a \"quotation\", as there are many.\n";
    let text = line.repeat(5_000_000 / line.len());
    std::fs::write(file.path(), &text).unwrap();
    // The official filesystem server returns the text twice, escaped.
    let response = end_of(&client, 1, "read", json!({ "path": file.path() })).await;
    assert_eq!(response["result"]["content"][0]["text"], text, "{}", response["error"]);
    assert_eq!(response["result"]["structuredContent"]["content"], text);
}
