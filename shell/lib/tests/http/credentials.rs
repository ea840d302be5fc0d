//! Streams whose credentials expire.

use http::{Method, StatusCode};
use rejoin_test_support::{Client, HttpResponse, initialize};
use serde_json::json;

use crate::{
    server::{EXPIRING, FRESH, HttpServer, SUBJECT},
    support::BackendSession,
};

const STALE: (&str, &str) = (SUBJECT, EXPIRING);
const RENEWED: (&str, &str) = (SUBJECT, FRESH);

async fn open(server: &HttpServer, version: &'static str) -> (Client, BackendSession) {
    let client = Client::new(&server.address);
    let request = client.send(Method::POST, initialize(version, &json!({})).to_string(), &[STALE]);
    let respond = async {
        let mut backend = server.manager.opened().await;
        backend.receive().await;
        backend.send(&format!(r#""id":0,"result":{{"protocolVersion":"{version}"}}"#)).await;
        backend
    };
    let (response, backend) = tokio::join!(request, respond);
    let session = response.headers["mcp-session-id"].to_str().unwrap();
    (client.with_session(session), backend)
}

async fn call(client: &Client, backend: &mut BackendSession) -> HttpResponse {
    let call = json!({
        "jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": { "name": "a", "_meta": { "progressToken": 1 } },
    });
    let version = ("mcp-protocol-version", "2025-03-26");
    let response = client.send(Method::POST, call.to_string(), &[STALE, version]).await;
    backend.receive().await;
    response
}

fn progress(number: u32) -> String {
    format!(
        r#""method":"notifications/progress","params":{{"progressToken":1,"progress":{number}}}"#
    )
}

/// Reads until the end, and returns whether the client was told when to reconnect.
async fn read_to_end(response: &mut HttpResponse) -> (usize, bool) {
    let (mut messages, mut retry) = (0, false);
    while let Some(item) = response.next().await {
        messages += usize::from(item.is_message());
        retry |= item.retry().is_some();
    }
    (messages, retry)
}

async fn resume(client: &Client, after: &str) -> HttpResponse {
    client.send(Method::GET, String::new(), &[RENEWED, ("last-event-id", after)]).await
}

#[tokio::test]
async fn a_request_stream_is_closed_with_retry_and_misses_nothing() {
    let mut server = HttpServer::start().await;
    let (client, mut backend) = open(&server, "2025-11-25").await;
    let mut response = call(&client, &mut backend).await;
    backend.send(&progress(1)).await;
    assert!(response.message().await.is_some());
    server.expire();
    assert_eq!(read_to_end(&mut response).await, (0, true));
    backend.send(&progress(2)).await;
    let mut resumed = resume(&client, response.last_event_id.as_deref().unwrap()).await;
    backend.send(r#""id":1,"result":{}"#).await;
    assert_eq!(read_to_end(&mut resumed).await, (2, false));
}

#[tokio::test]
async fn the_standalone_stream_is_closed_with_retry_and_a_shadow_ends() {
    let mut server = HttpServer::start().await;
    let (client, mut backend) = open(&server, "2025-11-25").await;
    let mut fresh = client.send(Method::GET, String::new(), &[RENEWED]).await;
    assert!(fresh.next().await.is_some());
    let mut shadow = client.send(Method::GET, String::new(), &[STALE]).await;
    assert!(shadow.next().await.is_some());
    server.expire();
    assert_eq!(read_to_end(&mut shadow).await, (0, false));
    backend.send(r#""method":"notifications/a""#).await;
    assert!(fresh.message().await.is_some(), "the stream with a fresh credential stays open");
    drop(fresh);

    let mut stale = client.send(Method::GET, String::new(), &[STALE]).await;
    assert_eq!(read_to_end(&mut stale).await, (0, true), "it has expired already");
    backend.send(r#""method":"notifications/b""#).await;
    let mut resumed = resume(&client, stale.last_event_id.as_deref().unwrap()).await;
    assert!(resumed.message().await.is_some());
}

#[tokio::test]
async fn a_stream_without_an_event_id_stays_open_until_it_has_one() {
    let mut server = HttpServer::start().await;
    let (client, mut backend) = open(&server, "2025-03-26").await;
    let mut response = call(&client, &mut backend).await;
    assert_eq!(response.status, StatusCode::OK);
    server.expire();
    assert!(response.next().await.is_some_and(|item| !item.is_message()), "a comment");
    backend.send(&progress(1)).await;
    assert_eq!(read_to_end(&mut response).await, (1, false));
    let mut resumed = resume(&client, response.last_event_id.as_deref().unwrap()).await;
    backend.send(r#""id":1,"result":{}"#).await;
    assert_eq!(read_to_end(&mut resumed).await, (1, false));
}
