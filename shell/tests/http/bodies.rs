//! Bodies that are too large, too slow, or break off.

use std::time::Duration;

use http::{Method, StatusCode};
use rejoin::{HttpConfig, ManagerConfig};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{host::Host, raw};

fn head(host: &str, session: &str, framing: &str) -> Vec<u8> {
    format!(
        "POST / HTTP/1.1\r\nhost: {host}\r\naccept: */*\r\ncontent-type: application/json\r\n\
         mcp-session-id: {session}\r\n{framing}\r\n\r\n"
    )
    .into_bytes()
}

#[tokio::test]
async fn a_body_that_says_that_it_is_too_large_is_not_received() {
    let host = Host::begin().await;
    let (session, _) = host.session().await;
    let head = head("localhost", &session.id().to_string(), "content-length: 4194305");
    let status = raw::status_of(&host.address, &head).await;
    assert_eq!(status, "HTTP/1.1 413 Payload Too Large");
}

#[tokio::test]
async fn a_body_in_chunks_is_received_as_far_as_the_limit() {
    let http = HttpConfig { body_bytes_max: 1_000, ..HttpConfig::default() };
    let host = Host::with(ManagerConfig::default(), http).await;
    let (session, _) = host.session().await;
    let mut request = head("localhost", &session.id().to_string(), "transfer-encoding: chunked");
    for _ in 0..11 {
        request.extend_from_slice(b"64\r\n");
        request.extend_from_slice(&[b' '; 100]);
        request.extend_from_slice(b"\r\n");
    }
    // The last chunk never comes: the answer does not wait for it.
    let status = raw::status_of(&host.address, &request).await;
    assert_eq!(status, "HTTP/1.1 413 Payload Too Large");
}

#[tokio::test]
async fn a_body_may_come_in_many_parts() {
    let host = Host::begin().await;
    let (session, _) = host.session().await;
    let mut request = head("localhost", &session.id().to_string(), "transfer-encoding: chunked");
    for byte in r#"{"jsonrpc":"2.0","method":"n"}"#.bytes() {
        request.extend_from_slice(&[b'1', b'\r', b'\n', byte, b'\r', b'\n']);
    }
    request.extend_from_slice(b"0\r\n\r\n");
    let status = raw::status_of(&host.address, &request).await;
    assert_eq!(status, "HTTP/1.1 202 Accepted");
    let mut backend = host.server.backend().await;
    assert_eq!(backend.receive().await, r#"{"jsonrpc":"2.0","method":"n"}"#);
}

#[tokio::test]
async fn a_body_of_the_largest_size_is_taken_and_answered() {
    let host = Host::begin().await;
    let (_, client) = host.session().await;
    let params = "x".repeat((4 << 20) - 100);
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "a", "params": { "p": params } });
    let mut answer = client.send(Method::POST, call.to_string(), &[]).await;
    assert_eq!(answer.status, StatusCode::OK);
    let mut backend = host.server.backend().await;
    assert_eq!(backend.receive().await.len(), call.to_string().len());
    backend.send(r#""id":1,"result":{}"#).await;
    assert_eq!(answer.response().await["id"], 1);
}

#[tokio::test]
async fn a_client_that_sends_too_slowly_is_sent_away_and_nobody_else_notices() {
    let body_timeout = Duration::from_millis(100);
    let http = HttpConfig { body_timeout, ..HttpConfig::default() };
    let host = Host::with(ManagerConfig::default(), http).await;
    let (session, client) = host.session().await;
    let head = head("localhost", &session.id().to_string(), "content-length: 30");
    let mut slow = TcpStream::connect(&host.address).await.unwrap();
    slow.write_all(&head).await.unwrap();
    slow.write_all(b"{").await.unwrap();
    let told = client.post(&json!({ "jsonrpc": "2.0", "method": "n" })).await;
    assert_eq!(told.status, StatusCode::ACCEPTED);
    assert_eq!(raw::status(&mut slow).await, "HTTP/1.1 408 Request Timeout");
}

#[tokio::test]
async fn a_client_that_breaks_off_in_a_body_takes_nothing_along() {
    let host = Host::begin().await;
    let (session, client) = host.session().await;
    let head = head("localhost", &session.id().to_string(), "content-length: 30");
    let mut broken = TcpStream::connect(&host.address).await.unwrap();
    broken.write_all(&head).await.unwrap();
    broken.write_all(b"{\"jsonrpc\"").await.unwrap();
    broken.shutdown().await.unwrap();
    let mut rest = Vec::new();
    let _ = broken.read_to_end(&mut rest).await;
    let told = client.post(&json!({ "jsonrpc": "2.0", "method": "n" })).await;
    assert_eq!(told.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn a_pretty_printed_body_reaches_the_backend_as_one_line() {
    let host = Host::begin().await;
    let (_, client) = host.session().await;
    let body = "{\n  \"jsonrpc\": \"2.0\",\n  \"method\": \"n\"\n}";
    let told = client.send(Method::POST, body.to_owned(), &[]).await;
    assert_eq!(told.status, StatusCode::ACCEPTED);
    assert!(!host.server.backend().await.receive().await.contains(&b'\n'));
}

#[tokio::test]
async fn many_bodies_together_take_no_more_than_is_allowed() {
    let http =
        HttpConfig { body_bytes_max: 1_000, request_memory_max: 1_500, ..HttpConfig::default() };
    let host = Host::with(ManagerConfig::default(), http).await;
    let (session, client) = host.session().await;
    let session = session.id().to_string();
    let mut slow = TcpStream::connect(&host.address).await.unwrap();
    slow.write_all(&head("localhost", &session, "content-length: 1000")).await.unwrap();
    slow.write_all(&[b' '; 900]).await.unwrap();
    let notification = json!({ "jsonrpc": "2.0", "method": "n", "params": ["x".repeat(800)] });
    // The first bytes may not have been received yet.
    let refused = loop {
        let answer = client.post(&notification).await;
        if answer.status != StatusCode::ACCEPTED {
            break answer;
        }
    };
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.headers["retry-after"], "1");
    drop(slow);
    while client.post(&notification).await.status != StatusCode::ACCEPTED {}
}

#[tokio::test]
async fn a_message_that_waits_for_its_backend_keeps_its_memory() {
    let http =
        HttpConfig { body_bytes_max: 1_000, request_memory_max: 1_000, ..HttpConfig::default() };
    let host = Host::with(ManagerConfig::default(), http).await;
    let (_, client) = host.session().await;
    let notification = json!({ "jsonrpc": "2.0", "method": "n", "params": ["x".repeat(800)] });
    assert_eq!(client.post(&notification).await.status, StatusCode::ACCEPTED);
    assert_eq!(client.post(&notification).await.status, StatusCode::SERVICE_UNAVAILABLE);
    let mut backend = host.server.backend().await;
    drop(backend.receive().await);
    assert_eq!(client.post(&notification).await.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn uploads_without_a_session_leave_memory_to_those_that_have_one() {
    let http =
        HttpConfig { body_bytes_max: 1_000, request_memory_max: 4_000, ..HttpConfig::default() };
    let host = Host::with(ManagerConfig::default(), http).await;
    let (_, client) = host.session().await;
    let mut backend = host.server.backend().await;
    let mut stalled = Vec::new();
    for _ in 0..64 {
        let mut new_client = TcpStream::connect(&host.address).await.unwrap();
        let head = head("localhost", "", "content-length: 1000");
        new_client.write_all(&head).await.unwrap();
        new_client.write_all(&[b' '; 900]).await.unwrap();
        stalled.push(new_client);
    }
    // All but one of them are sent away.
    for new_client in &mut stalled[1..] {
        raw::status(new_client).await;
    }
    for _ in 0..3 {
        let notification = json!({ "jsonrpc": "2.0", "method": "n", "params": ["x".repeat(800)] });
        assert_eq!(client.post(&notification).await.status, StatusCode::ACCEPTED);
        drop(backend.receive().await);
    }
}

#[tokio::test]
async fn a_large_body_without_a_session_is_not_received() {
    let host = Host::begin().await;
    let unknown = "mcp-session-id: 0123456789abcdef0123456789abcdef\r\n";
    for (session, expected) in [("", "400 Bad Request"), (unknown, "404 Not Found")] {
        let head = format!(
            "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             {session}content-length: 100000\r\n\r\n"
        );
        let status = raw::status_of(&host.address, head.as_bytes()).await;
        assert_eq!(status, format!("HTTP/1.1 {expected}"));
    }
}
