//! Requests and links that are refused.

use http::{Method, StatusCode};
use rejoin::{HttpConfig, Principal, store::MemoryStore};
use rejoin_core::AnswerFormat;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    node::{Node, nodes},
    server::SUBJECT,
    support::{next, post},
};

#[tokio::test]
async fn the_owner_refuses_what_it_would_refuse_its_own_clients() {
    let [first, second] = nodes().await;
    let session = first.http.manager.initialized().await;
    let client = second.client(&session);
    let mut unknown = client.get(Some("7/3")).await;
    assert_eq!(unknown.status, StatusCode::BAD_REQUEST);
    let error = unknown.json().await["error"]["message"].clone();
    assert_eq!(error, "this session has no stream 3");
    let version = [("mcp-protocol-version", "1999-01-01")];
    let unsupported = client.send(Method::GET, String::new(), &version).await;
    assert_eq!(unsupported.status, StatusCode::BAD_REQUEST);

    let mut backend = first.http.manager.backend().await;
    let (pending, _) = tokio::join!(client.call(1, "a", json!({})), backend.receive());
    let mut again = client.call(1, "a", json!({})).await;
    assert_eq!(again.status, StatusCode::BAD_REQUEST);
    assert_eq!(again.json().await["id"], 1);
    drop(pending);
}

#[tokio::test]
async fn a_session_of_another_process_belongs_to_its_principal() {
    let [first, second] = nodes().await;
    let initialize = post(r#""id":0,"method":"initialize""#);
    let ann = Principal::new("issuer", "ann");
    let sessions = &first.http.manager.sessions;
    let opened =
        sessions.initialize_session_of(Some(ann), None, initialize, AnswerFormat::Sse).await;
    let (session, mut connection) = opened.unwrap();
    let mut backend = first.http.manager.opened().await;
    backend.receive().await;
    backend.send(r#""id":0,"result":{"protocolVersion":"2025-11-25"}"#).await;
    while next(&mut connection).await.is_some() {}

    let client = second.client(&session);
    for (subject, status) in [
        ("bob", StatusCode::NOT_FOUND),
        ("ann", StatusCode::ACCEPTED),
        ("bob", StatusCode::NOT_FOUND),
    ] {
        let notification = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#.to_owned();
        let sent = client.send(Method::POST, notification, &[(SUBJECT, subject)]).await;
        assert_eq!(sent.status, status, "{subject}");
    }
}

#[tokio::test]
async fn a_process_with_another_secret_is_no_part_of_the_cluster() {
    let store = MemoryStore::default();
    let first = Node::start(&store).await;
    let stranger =
        Node::start_with(&store, b"another secret of 29 bytes...", HttpConfig::default());
    let stranger = stranger.await;
    let session = first.http.manager.initialized().await;
    let mut refused = stranger.client(&session).get(None).await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.headers["retry-after"], "1");
    assert_eq!(refused.json().await["error"]["code"], -32_603);
    assert!(*first.proxy.accepted.borrow() > 0);
}

#[tokio::test]
async fn connections_without_a_hello_do_not_keep_others_out() {
    let [first, second] = nodes().await;
    let session = first.http.manager.initialized().await;
    let mut silent = Vec::new();
    for _ in 0..8 {
        silent.push(TcpStream::connect(first.proxy.address).await.unwrap());
    }
    // Each of these is closed at once, and those before it after some time.
    let mut surplus = TcpStream::connect(first.proxy.address).await.unwrap();
    assert_eq!(surplus.read(&mut [0]).await.unwrap_or(0), 0);
    let open = silent[0].try_read(&mut [0]).map_err(|error| error.kind());
    assert_eq!(open, Err(std::io::ErrorKind::WouldBlock), "it still has time");
    for stream in &mut silent {
        assert_eq!(stream.read(&mut [0]).await.unwrap_or(0), 0);
    }
    let mut garbage = TcpStream::connect(first.proxy.address).await.unwrap();
    garbage.write_all(&[b'x'; 100]).await.unwrap();
    assert_eq!(garbage.read(&mut [0]).await.unwrap_or(0), 0);
    let stream = second.client(&session).get(None).await;
    assert_eq!(stream.status, StatusCode::OK);
}
