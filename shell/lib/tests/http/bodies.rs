//! Request bodies: limits, slow and aborted uploads, framing.

use std::time::Duration;

use http::{Method, StatusCode};
use rejoin::{HttpConfig, ManagerConfig};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{raw, server::HttpServer};

fn head(host: &str, session: &str, framing: &str) -> Vec<u8> {
    format!(
        "POST / HTTP/1.1\r\nhost: {host}\r\naccept: */*\r\ncontent-type: application/json\r\n\
         mcp-session-id: {session}\r\n{framing}\r\n\r\n"
    )
    .into_bytes()
}

#[tokio::test]
async fn content_length_over_the_limit_is_refused() {
    let server = HttpServer::start().await;
    let (session, _) = server.session().await;
    let head = head("localhost", &session.id().to_string(), "content-length: 4194305");
    let status = raw::send(&server.address, &head).await;
    assert_eq!(status, "HTTP/1.1 413 Payload Too Large");
}

#[tokio::test]
async fn chunked_body_over_the_limit_is_refused() {
    let mut http = HttpConfig::default();
    http.body_bytes_max = 1_000;
    let server = HttpServer::start_with(ManagerConfig::default(), http).await;
    let (session, _) = server.session().await;
    let mut request = head("localhost", &session.id().to_string(), "transfer-encoding: chunked");
    for _ in 0..11 {
        request.extend_from_slice(b"64\r\n");
        request.extend_from_slice(&[b' '; 100]);
        request.extend_from_slice(b"\r\n");
    }
    // The last chunk is never sent: the refusal does not wait for it.
    let status = raw::send(&server.address, &request).await;
    assert_eq!(status, "HTTP/1.1 413 Payload Too Large");
}

#[tokio::test]
async fn chunked_body_is_reassembled() {
    let server = HttpServer::start().await;
    let (session, _) = server.session().await;
    let mut request = head("localhost", &session.id().to_string(), "transfer-encoding: chunked");
    for byte in r#"{"jsonrpc":"2.0","method":"n"}"#.bytes() {
        request.extend_from_slice(&[b'1', b'\r', b'\n', byte, b'\r', b'\n']);
    }
    request.extend_from_slice(b"0\r\n\r\n");
    let status = raw::send(&server.address, &request).await;
    assert_eq!(status, "HTTP/1.1 202 Accepted");
    let mut backend = server.manager.backend().await;
    assert_eq!(backend.receive().await, r#"{"jsonrpc":"2.0","method":"n"}"#);
}

#[tokio::test]
async fn body_of_maximum_size_is_accepted() {
    let server = HttpServer::start().await;
    let (_, client) = server.session().await;
    let params = "x".repeat((4 << 20) - 100);
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "a", "params": { "p": params } });
    let mut response = client.send(Method::POST, call.to_string(), &[]).await;
    assert_eq!(response.status, StatusCode::OK);
    let mut backend = server.manager.backend().await;
    assert_eq!(backend.receive().await.len(), call.to_string().len());
    backend.send(r#""id":1,"result":{}"#).await;
    assert_eq!(response.response().await["id"], 1);
}

#[tokio::test]
async fn slow_upload_times_out_without_affecting_other_requests() {
    let mut http = HttpConfig::default();
    http.body_timeout = Duration::from_millis(100);
    let server = HttpServer::start_with(ManagerConfig::default(), http).await;
    let (session, client) = server.session().await;
    let head = head("localhost", &session.id().to_string(), "content-length: 30");
    let mut slow = TcpStream::connect(&server.address).await.unwrap();
    slow.write_all(&head).await.unwrap();
    slow.write_all(b"{").await.unwrap();
    let accepted = client.post(&json!({ "jsonrpc": "2.0", "method": "n" })).await;
    assert_eq!(accepted.status, StatusCode::ACCEPTED);
    assert_eq!(raw::read_status(&mut slow).await, "HTTP/1.1 408 Request Timeout");
}

#[tokio::test]
async fn aborted_upload_does_not_affect_other_requests() {
    let server = HttpServer::start().await;
    let (session, client) = server.session().await;
    let head = head("localhost", &session.id().to_string(), "content-length: 30");
    let mut broken = TcpStream::connect(&server.address).await.unwrap();
    broken.write_all(&head).await.unwrap();
    broken.write_all(b"{\"jsonrpc\"").await.unwrap();
    broken.shutdown().await.unwrap();
    let mut rest = Vec::new();
    let _ = broken.read_to_end(&mut rest).await;
    let accepted = client.post(&json!({ "jsonrpc": "2.0", "method": "n" })).await;
    assert_eq!(accepted.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn pretty_printed_body_reaches_the_backend_as_one_line() {
    let server = HttpServer::start().await;
    let (_, client) = server.session().await;
    let body = "{\n  \"jsonrpc\": \"2.0\",\n  \"method\": \"n\"\n}";
    let accepted = client.send(Method::POST, body.to_owned(), &[]).await;
    assert_eq!(accepted.status, StatusCode::ACCEPTED);
    assert!(!server.manager.backend().await.receive().await.contains(&b'\n'));
}

/// Starts a server with a limit of the memory for messages of clients, of at most 1,000 bytes each.
async fn start_with_request_memory(bytes_max: usize) -> HttpServer {
    let mut manager = ManagerConfig::default();
    manager.session.message_bytes_max = 1_000;
    manager.memory_bytes_max = 4 * bytes_max;
    let mut http = HttpConfig::default();
    http.body_bytes_max = 1_000;
    HttpServer::start_with(manager, http).await
}

#[tokio::test]
async fn concurrent_bodies_share_a_memory_limit() {
    let server = start_with_request_memory(1_500).await;
    let (session, client) = server.session().await;
    let session = session.id().to_string();
    let mut slow = TcpStream::connect(&server.address).await.unwrap();
    slow.write_all(&head("localhost", &session, "content-length: 1000")).await.unwrap();
    slow.write_all(&[b' '; 900]).await.unwrap();
    let notification = json!({ "jsonrpc": "2.0", "method": "n", "params": ["x".repeat(800)] });
    // The first bytes may not have been received yet.
    let refused = loop {
        let response = client.post(&notification).await;
        if response.status != StatusCode::ACCEPTED {
            break response;
        }
    };
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.headers["retry-after"], "1");
    drop(slow);
    while client.post(&notification).await.status != StatusCode::ACCEPTED {}
}

#[tokio::test]
async fn queued_message_counts_towards_the_memory_limit() {
    let server = start_with_request_memory(1_000).await;
    let (_, client) = server.session().await;
    let notification = json!({ "jsonrpc": "2.0", "method": "n", "params": ["x".repeat(800)] });
    assert_eq!(client.post(&notification).await.status, StatusCode::ACCEPTED);
    assert_eq!(client.post(&notification).await.status, StatusCode::SERVICE_UNAVAILABLE);
    let mut backend = server.manager.backend().await;
    drop(backend.receive().await);
    assert_eq!(client.post(&notification).await.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn head_of_a_queued_message_counts_towards_the_memory_limit() {
    let server = start_with_request_memory(1_000).await;
    let (_, client) = server.session().await;
    let mut backend = server.manager.backend().await;
    let notification = json!({ "jsonrpc": "2.0", "method": "n" }).to_string();
    let large = "x".repeat(3_000);
    let large = [("x-large", large.as_str())];
    let accepted = client.send(Method::POST, notification.clone(), &large).await;
    assert_eq!(accepted.status, StatusCode::ACCEPTED);
    let refused = client.send(Method::POST, notification.clone(), &[]).await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    drop(backend.receive().await);
    let accepted = client.send(Method::POST, notification, &[]).await;
    assert_eq!(accepted.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn uploads_without_a_session_cannot_exhaust_the_memory_limit() {
    let server = start_with_request_memory(4_000).await;
    let (_, client) = server.session().await;
    let mut backend = server.manager.backend().await;
    let mut stalled = Vec::new();
    for _ in 0..64 {
        let mut new_client = TcpStream::connect(&server.address).await.unwrap();
        let head = head("localhost", "", "content-length: 1000");
        new_client.write_all(&head).await.unwrap();
        new_client.write_all(&[b' '; 900]).await.unwrap();
        stalled.push(new_client);
    }
    // All but one of them are refused.
    for new_client in &mut stalled[1..] {
        raw::read_status(new_client).await;
    }
    for _ in 0..3 {
        let notification = json!({ "jsonrpc": "2.0", "method": "n", "params": ["x".repeat(800)] });
        assert_eq!(client.post(&notification).await.status, StatusCode::ACCEPTED);
        drop(backend.receive().await);
    }
}

#[tokio::test]
async fn large_body_without_a_session_is_refused_before_it_is_received() {
    let server = HttpServer::start().await;
    let unknown = "mcp-session-id: 0123456789abcdef0123456789abcdef\r\n";
    for (session, expected) in [("", "400 Bad Request"), (unknown, "404 Not Found")] {
        let head = format!(
            "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             {session}content-length: 100000\r\n\r\n"
        );
        let status = raw::send(&server.address, head.as_bytes()).await;
        assert_eq!(status, format!("HTTP/1.1 {expected}"));
    }
}
