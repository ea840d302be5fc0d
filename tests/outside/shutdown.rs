//! Graceful shutdown: pending requests finish, and new ones are refused.

use std::{io::Write as _, net::TcpStream, time::Duration};

use rejoin_test_support::{Client, Program, script};
use serde_json::json;
use tokio::time::{Instant, sleep, timeout};

use crate::long_response::{self, LongResponse};

/// Timeout of every operation.
const PROMPT: Duration = Duration::from_secs(10);

/// A server that answers the first call after the next notification, and other calls at once.
const FINISHES_LATER: &str = r#"receive; first=$id
while receive; do
    case "$line" in
        *notifications/any*) id=$first; respond '{"done":true}' ;;
        *) respond '{}' ;;
    esac
done"#;

async fn ended(mut program: Program) -> bool {
    program.exited(PROMPT).await.unwrap().success()
}

/// Sends SIGTERM, and waits until new requests are refused.
async fn terminate(program: &Program, client: &Client) {
    program.signal("TERM");
    let refused = async {
        while client.call(99, "any", json!({})).await.status != 503 {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PROMPT, refused).await.unwrap();
}

#[tokio::test]
async fn pending_requests_finish_and_new_ones_are_refused() {
    let program = script::serve(&["--drain-timeout", "600s"], FINISHES_LATER);
    let client = Client::initialize(&program.address).await;
    let mut call = client.call(1, "any", json!({})).await;
    terminate(&program, &client).await;

    let mut refused = client.call(2, "any", json!({})).await;
    assert_eq!(refused.status, 503);
    assert_eq!(refused.headers["retry-after"], "10");
    assert_eq!(refused.response().await["error"]["message"], "the server is shutting down");
    let new_client = Client::new(&program.address);
    let initialize = rejoin_test_support::initialize("2025-11-25", &json!({}));
    assert_eq!(new_client.post(&initialize).await.status, 503);

    // Messages that a pending request may wait for are forwarded.
    let notification = json!({ "jsonrpc": "2.0", "method": "notifications/any" });
    assert_eq!(client.post(&notification).await.status, 202);
    assert_eq!(call.response().await["result"], json!({ "done": true }));
    assert!(ended(program).await);
}

#[tokio::test]
async fn partial_requests_do_not_delay_the_shutdown() {
    let program = Program::serve(&["--drain-timeout", "600s", "--body-timeout", "600s"]);
    let client = Client::initialize(&program.address).await;
    let head = "POST /mcp HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
                accept: application/json, text/event-stream\r\ncontent-length: 100\r\n";
    let session = format!("mcp-session-id: {}\r\n\r\n{{", client.session());
    let parts = ["", "POST /mcp HT", head, &format!("{head}{session}")];
    let _connections = parts.map(|part| {
        let mut stream = TcpStream::connect(&program.address).unwrap();
        stream.write_all(part.as_bytes()).unwrap();
        stream
    });
    program.signal("TERM");
    let started = Instant::now();
    assert!(ended(program).await);
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

#[tokio::test]
async fn sse_response_that_is_being_read_is_completed() {
    let program = Program::serve(&["--drain-timeout", "600s"]);
    let client = Client::initialize(&program.address).await;
    let mut flood = client.call(1, "count", json!({ "total": 20_000, "interval_ms": 0 })).await;
    // It has started, and is far from its end.
    flood.next().await.unwrap();
    program.signal("TERM");
    let mut responses = 0;
    while let Some(event) = flood.message().await {
        if event.is_response() {
            assert!(event.json()["result"].is_object(), "{:?}", event.json());
            responses += 1;
        }
    }
    assert_eq!(responses, 1);
    assert!(ended(program).await);
}

/// The whole response is in the program's buffer as soon as it starts.
#[tokio::test]
async fn json_response_that_is_being_read_is_completed() {
    let program = long_response::serve(&["--drain-timeout", "600s"]);
    let client = Client::initialize(&program.address).await;
    let response = LongResponse::start(&client, &program.address).await;
    program.signal("TERM");
    let refused = async {
        while TcpStream::connect(&program.address).is_ok() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PROMPT, refused).await.unwrap();
    // Longer than a shutdown without pending responses takes.
    sleep(Duration::from_secs(1)).await;
    assert!(timeout(PROMPT, response.read_to_end()).await.unwrap());
    assert!(ended(program).await);
}
