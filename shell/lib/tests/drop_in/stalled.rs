//! Readers that stall: they delay nobody else.

use std::time::Duration;

use rejoin::{ManagerConfig, rmcp::LocalSessionManager};
use rejoin_test_support::LATEST_REVISION;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::{
    client::{Client, PATIENCE},
    server::Server,
    service::Report,
};

const STALLED: u64 = 4;
/// More than the system and the server buffer.
const EVENTS: u64 = 300;
const EVENT_BYTES: u64 = 64 << 10;

/// Calls `count` on a connection of its own, and reads nothing.
async fn call_without_reading(client: &Client, address: &str, id: u64) -> TcpStream {
    let arguments = json!({ "count": EVENTS, "bytes": EVENT_BYTES });
    let params = json!({ "name": "count", "arguments": arguments });
    let body = json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params });
    let body = body.to_string();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /mcp HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\n\
         accept: application/json, text/event-stream\r\nmcp-session-id: {}\r\n\
         mcp-protocol-version: {LATEST_REVISION}\r\ncontent-length: {}\r\n\r\n",
        client.id(),
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body.as_bytes()).await.unwrap();
    stream
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stalled_readers_delay_neither_their_session_nor_others() {
    let mut config = ManagerConfig::default();
    // So that a slow machine does not decide what becomes of the readers.
    config.session.stall_timeout_max = None;
    config.session.stall_disconnect_timeout = None;
    let mut server = Server::start_with(LocalSessionManager::with_config(config).unwrap()).await;
    let (client, other) = (server.connect().await, server.connect().await);
    let mut standalone = client.get(None).await;
    let mut stalled = Vec::new();
    for id in 1..=STALLED {
        stalled.push(call_without_reading(&client, &server.address, id).await);
        server.wait_for(&Report::Sent(1)).await;
    }

    let others = async {
        for id in 100..120 {
            client.echo(id).await;
            other.echo(id).await;
            let mut events = client.call(1_000 + id, "announce", json!({ "n": id })).await;
            assert_eq!(events.text(1_000 + id).await, "announced");
            assert_eq!(standalone.message().await.unwrap().number(), id);
        }
    };
    timeout(Duration::from_secs(60), others).await.unwrap();
    let mut sent = 0;
    while let Ok(report) = server.reports.try_recv() {
        assert_ne!(report, Report::Sent(EVENTS), "the call waits for its reader");
        sent += u64::from(matches!(report, Report::Sent(_)));
    }
    assert!(sent < STALLED * EVENTS / 2, "{sent}");

    // A reader that continues gets all of it.
    let mut reader = stalled.pop().unwrap();
    let mut received = Vec::new();
    let mut buffer = vec![0; 1 << 20];
    let ends = |received: &[u8]| {
        let tail = &received[received.len().saturating_sub(1_000)..];
        String::from_utf8_lossy(tail).contains("\"counted\"")
    };
    while !ends(&received) {
        let read = timeout(PATIENCE, reader.read(&mut buffer)).await.unwrap();
        let read = read.unwrap();
        assert!(read > 0, "ended after {} bytes", received.len());
        received.extend_from_slice(&buffer[..read]);
    }
    let text = String::from_utf8_lossy(&received);
    let ids = text.lines().filter_map(|line| line.strip_prefix("id: "));
    let indexes: Vec<u64> = ids.map(|id| id.split_once('/').unwrap().0.parse().unwrap()).collect();
    assert!(indexes.into_iter().eq(0..=EVENTS + 1), "every event once, and the response");
}
