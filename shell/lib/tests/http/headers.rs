//! Request headers that are invalid, missing or duplicate.

use http::{Method, StatusCode};
use rejoin::{HttpConfig, ManagerConfig};
use rejoin_core::ConcurrentGet;
use rejoin_test_support::{Client, HttpResponse, initialize};
use serde_json::json;

use crate::{raw, server::HttpServer};

const PING: &str = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;

async fn refused(mut response: HttpResponse, status: StatusCode) -> serde_json::Value {
    assert_eq!(response.status, status);
    let body = response.json().await;
    assert_eq!(body["jsonrpc"], "2.0");
    assert!(body["error"]["message"].is_string(), "{body}");
    body
}

#[tokio::test]
async fn unknown_session_id_gets_404() {
    let server = HttpServer::start().await;
    let new_client = Client::new(&server.address);
    for session in ["0123456789abcdef0123456789abcdef", "x", "0123456789ABCDEF0123456789abcdef"] {
        let client = new_client.with_session(session);
        for method in [Method::POST, Method::GET, Method::DELETE] {
            let response = client.send(method.clone(), PING.to_owned(), &[]).await;
            let body = refused(response, StatusCode::NOT_FOUND).await;
            assert_eq!(body["error"]["code"], -32_001);
        }
    }
}

#[tokio::test]
async fn missing_session_id_gets_400() {
    let server = HttpServer::start().await;
    let new_client = Client::new(&server.address);
    for method in [Method::POST, Method::GET, Method::DELETE] {
        let response = new_client.send(method, PING.to_owned(), &[]).await;
        refused(response, StatusCode::BAD_REQUEST).await;
    }
    assert_eq!(server.manager.sessions.sessions(), 0);
}

#[tokio::test]
async fn unsupported_content_type_and_accept_are_refused() {
    let server = HttpServer::start().await;
    let (_, client) = server.session().await;
    for media in ["text/plain", "application/jsonx", "", " "] {
        let response = client.send(Method::POST, PING.to_owned(), &[("content-type", media)]).await;
        refused(response, StatusCode::UNSUPPORTED_MEDIA_TYPE).await;
    }
    let half = ["application/json", "text/event-stream", "text/html", "*/*;q=0"];
    for accept in half {
        let response = client.send(Method::POST, PING.to_owned(), &[("accept", accept)]).await;
        refused(response, StatusCode::NOT_ACCEPTABLE).await;
    }
    let response = client.send(Method::GET, String::new(), &[("accept", "application/json")]).await;
    refused(response, StatusCode::NOT_ACCEPTABLE).await;
}

#[tokio::test]
async fn unknown_protocol_version_is_refused() {
    let server = HttpServer::start().await;
    let (_, client) = server.session().await;
    let notification = r#"{"jsonrpc":"2.0","method":"n"}"#;
    for version in ["2025-3-26", "1.0", "1999-01-01", "latest"] {
        let header = [("mcp-protocol-version", version)];
        let response = client.send(Method::POST, notification.to_owned(), &header).await;
        refused(response, StatusCode::BAD_REQUEST).await;
    }
    for version in ["2025-03-26", "2025-06-18", "2025-11-25"] {
        let header = [("mcp-protocol-version", version)];
        let response = client.send(Method::POST, notification.to_owned(), &header).await;
        assert_eq!(response.status, StatusCode::ACCEPTED);
    }
}

#[tokio::test]
async fn only_loopback_hosts_and_origins_are_allowed_by_default() {
    let server = HttpServer::start().await;
    let (_, client) = server.session().await;
    let send = async |client: &Client, header| {
        client.send(Method::POST, r#"{"jsonrpc":"2.0","method":"n"}"#.to_owned(), &[header]).await
    };
    let foreign = [
        ("host", "evil.example"),
        ("host", "localhost.evil.example"),
        ("origin", "http://evil.example"),
        ("origin", "null"),
        ("origin", "https://localhost.evil.example"),
    ];
    for header in foreign {
        refused(send(&client, header).await, StatusCode::FORBIDDEN).await;
    }
    for header in [("host", "localhost:1"), ("host", "[::1]"), ("origin", "http://localhost:5173")]
    {
        assert_eq!(send(&client, header).await.status, StatusCode::ACCEPTED);
    }
    let mut config = HttpConfig::default();
    config.hosts = vec!["mcp.example".into()];
    config.origins = vec!["https://app.example".into()];
    let server = HttpServer::start_with(ManagerConfig::default(), config).await;
    let (_, client) = server.session().await;
    let allowed = [
        ("host", "localhost"),
        ("host", "mcp.example"),
        ("origin", "https://app.example"),
        ("origin", "http://localhost:5173"),
        ("origin", "https://mcp.example"),
    ];
    for header in allowed {
        assert_eq!(send(&client, header).await.status, StatusCode::ACCEPTED, "{header:?}");
    }
    refused(send(&client, ("host", "evil.example")).await, StatusCode::FORBIDDEN).await;
}

#[tokio::test]
async fn authority_of_the_request_target_overrides_the_host_header() {
    let server = HttpServer::start().await;
    let (session, _) = server.session().await;
    for (target, name, expected) in [
        ("http://evil.example/", "localhost", "403 Forbidden"),
        ("http://localhost:1/", "evil.example", "202 Accepted"),
        ("/", "localhost", "202 Accepted"),
        ("/", "", "400 Bad Request"),
    ] {
        let notification = r#"{"jsonrpc":"2.0","method":"n"}"#;
        let request = format!(
            "POST {target} HTTP/1.1\r\nhost: {name}\r\nmcp-session-id: {}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{notification}",
            session.id(),
            notification.len(),
        );
        let status = raw::send(&server.address, request.as_bytes()).await;
        assert_eq!(status, format!("HTTP/1.1 {expected}"), "{target} {name}");
    }
}

#[tokio::test]
async fn empty_header_is_treated_as_absent() {
    let server = HttpServer::start().await;
    let (_, client) = server.session().await;
    let empty = ["accept", "origin", "mcp-protocol-version", "content-encoding", "last-event-id"];
    for (id, name) in empty.into_iter().enumerate() {
        let ping = json!({ "jsonrpc": "2.0", "id": id, "method": "ping" }).to_string();
        let response = client.send(Method::POST, ping, &[(name, "")]).await;
        assert_eq!(response.status, StatusCode::OK, "{name}");
        let response = client.send(Method::GET, String::new(), &[(name, "")]).await;
        assert_eq!(response.status, StatusCode::OK, "{name}");
    }
    let response = client.send(Method::POST, PING.to_owned(), &[("mcp-session-id", "")]).await;
    let body = refused(response, StatusCode::BAD_REQUEST).await;
    assert!(body["error"]["message"].as_str().unwrap().contains("missing"), "{body}");
}

#[tokio::test]
async fn notification_needs_no_accept_header() {
    let server = HttpServer::start().await;
    let (_, client) = server.session().await;
    let notification = r#"{"jsonrpc":"2.0","method":"n"}"#;
    for accept in ["application/json", "text/event-stream", "text/html"] {
        let response =
            client.send(Method::POST, notification.to_owned(), &[("accept", accept)]).await;
        assert_eq!(response.status, StatusCode::ACCEPTED, "{accept}");
    }
}

#[tokio::test]
async fn compressed_body_is_refused() {
    let server = HttpServer::start().await;
    let (_, client) = server.session().await;
    for coding in ["gzip", "br", "zstd", "gzip, gzip"] {
        let header = [("content-encoding", coding)];
        let response = client.send(Method::POST, PING.to_owned(), &header).await;
        assert_eq!(response.headers["accept-encoding"], "identity");
        let body = refused(response, StatusCode::UNSUPPORTED_MEDIA_TYPE).await;
        assert!(body["error"]["message"].as_str().unwrap().contains("content-encoding"), "{body}");
    }
    let header = [("content-encoding", "identity")];
    let response = client.send(Method::POST, PING.to_owned(), &header).await;
    assert_eq!(response.status, StatusCode::OK);
}

#[tokio::test]
async fn long_unused_header_is_accepted() {
    let server = HttpServer::start().await;
    let (_, client) = server.session().await;
    let long = "x".repeat(40 << 10);
    let response = client.send(Method::POST, PING.to_owned(), &[("cookie", &long)]).await;
    assert_eq!(response.status, StatusCode::OK);
}

#[tokio::test]
async fn duplicate_headers_are_refused() {
    let server = HttpServer::start().await;
    let (session, _) = server.session().await;
    let usual = format!(
        "host: localhost\r\naccept: application/json, text/event-stream\r\n\
         content-type: application/json\r\nmcp-session-id: {}\r\ncontent-length: {}\r\n",
        session.id(),
        PING.len(),
    );
    let duplicates = [
        "host: localhost",
        "origin: http://localhost\r\norigin: http://localhost",
        "content-type: text/plain",
        "mcp-session-id: 0123456789abcdef0123456789abcdef",
        "mcp-protocol-version: 2025-11-25\r\nmcp-protocol-version: 2025-06-18",
    ];
    for extra in duplicates {
        let request = format!("POST / HTTP/1.1\r\n{usual}{extra}\r\n\r\n{PING}");
        let status = raw::send(&server.address, request.as_bytes()).await;
        assert_eq!(status, "HTTP/1.1 400 Bad Request", "{extra}");
    }
}

#[tokio::test]
async fn malformed_headers_are_refused() {
    let server = HttpServer::start().await;
    let (session, _) = server.session().await;
    let id = session.id();
    for line in ["no colon", "mcp-session-id: a\0b", "a b: c", ": x"] {
        let request =
            format!("GET / HTTP/1.1\r\nhost: localhost\r\nmcp-session-id: {id}\r\n{line}\r\n\r\n");
        let status = raw::send(&server.address, request.as_bytes()).await;
        assert!(status.starts_with("HTTP/1.1 4"), "{line:?}: {status}");
    }
}

#[tokio::test]
async fn unsupported_method_gets_405() {
    let server = HttpServer::start().await;
    let (_, client) = server.session().await;
    for method in [Method::PUT, Method::PATCH, Method::HEAD] {
        let response = client.send(method, String::new(), &[]).await;
        assert_eq!(response.status, StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(response.headers["allow"], "GET, POST, DELETE, OPTIONS");
    }
}

#[tokio::test]
async fn second_get_gets_409_if_so_configured() {
    let mut config = ManagerConfig::default();
    config.session.concurrent_get = ConcurrentGet::Reject;
    let server = HttpServer::start_with(config, HttpConfig::default()).await;
    let (_, client) = server.session().await;
    let _first = client.get(None).await;
    refused(client.get(None).await, StatusCode::CONFLICT).await;
}

#[tokio::test]
async fn initialize_with_a_stale_session_id_creates_a_new_session() {
    let server = HttpServer::start().await;
    let new_client = Client::new(&server.address);
    let client = new_client.with_session("0123456789abcdef0123456789abcdef");
    let initialize = initialize("2025-11-25", &json!({}));
    let (mut response, mut backend) = tokio::join!(client.post(&initialize), async {
        let mut backend = server.manager.opened().await;
        backend.receive().await;
        backend.send(r#""id":0,"result":{"protocolVersion":"2025-11-25"}"#).await;
        backend
    });
    assert_eq!(response.status, StatusCode::OK);
    let session = response.headers["mcp-session-id"].to_str().unwrap().to_owned();
    response.response().await;
    let client = client.with_session(&session);
    let accepted = client.post(&json!({ "jsonrpc": "2.0", "method": "n" })).await;
    assert_eq!(accepted.status, StatusCode::ACCEPTED);
    assert_eq!(backend.receive().await, r#"{"jsonrpc":"2.0","method":"n"}"#);
}
