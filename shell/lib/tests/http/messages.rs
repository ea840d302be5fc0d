//! Invalid messages, exceeded limits, and `initialize` that fails.

use http::{Method, StatusCode};
use rejoin::{HttpConfig, ManagerConfig};
use rejoin_test_support::{Client, initialize};
use serde_json::{Value, json};

use crate::server::HttpServer;

async fn refused(client: &Client, body: impl Into<String>) -> (StatusCode, Value) {
    let mut response = client.send(Method::POST, body.into(), &[]).await;
    (response.status, response.json().await)
}

#[tokio::test]
async fn invalid_messages_get_json_rpc_errors() {
    let server = HttpServer::start().await;
    let (_, client) = server.session().await;
    let deep = "[".repeat(100_000);
    let deeper =
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"a","params":{}"#, "[".repeat(100_000));
    for (body, code) in [
        ("", -32_700),
        ("{", -32_700),
        ("hello", -32_700),
        ("{} {}", -32_700),
        (r#"{"jsonrpc":"2.0","id":1,"method":"a"#, -32_700),
        (deep.as_str(), -32_700),
        (deeper.as_str(), -32_700),
        ("{\"jsonrpc\":\"2.0\",\"method\":\"a\0\"}", -32_700),
        ("1", -32_600),
        ("[]", -32_600),
        ("{}", -32_600),
        (r#"{"jsonrpc":"1.0","id":1,"method":"a"}"#, -32_600),
        (r#"{"jsonrpc":"2.0","id":null,"method":"a"}"#, -32_600),
        (r#"{"jsonrpc":"2.0","id":1.5,"method":"a"}"#, -32_600),
        (r#"{"jsonrpc":"2.0","id":1,"method":7}"#, -32_600),
        (r#"[{"jsonrpc":"2.0","id":1,"method":"a"}]"#, -32_600),
    ] {
        let (status, response) = refused(&client, body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{}", &body[..body.len().min(60)]);
        assert_eq!(response["error"]["code"], code, "{}", &body[..body.len().min(60)]);
    }
}

#[tokio::test]
async fn invalid_utf8_gets_400() {
    let server = HttpServer::start().await;
    let (session, _) = server.session().await;
    let body = b"{\"jsonrpc\":\"2.0\",\"method\":\"\xff\"}";
    let mut request = format!(
        "POST / HTTP/1.1\r\nhost: localhost\r\naccept: */*\r\ncontent-type: application/json\r\n\
         mcp-session-id: {}\r\ncontent-length: {}\r\n\r\n",
        session.id(),
        body.len(),
    )
    .into_bytes();
    request.extend_from_slice(body);
    let status = crate::raw::send(&server.address, &request).await;
    assert_eq!(status, "HTTP/1.1 400 Bad Request");
}

#[tokio::test]
async fn second_initialize_is_refused_and_keeps_the_session() {
    let server = HttpServer::start().await;
    let (_, client) = server.session().await;
    let (status, response) =
        refused(&client, initialize("2025-11-25", &json!({})).to_string()).await;
    assert_eq!((status, &response["id"]), (StatusCode::BAD_REQUEST, &json!(0)));
    let accepted = client.post(&json!({ "jsonrpc": "2.0", "method": "n" })).await;
    assert_eq!(accepted.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn duplicate_request_id_or_progress_token_is_refused() {
    let server = HttpServer::start().await;
    let (_, client) = server.session().await;
    let call = |id: Value, token: i64| {
        let params = json!({ "_meta": { "progressToken": token } });
        json!({ "jsonrpc": "2.0", "id": id, "method": "a", "params": params }).to_string()
    };
    let mut first = client.send(Method::POST, call(json!(1), 1), &[]).await;
    for (body, id) in [(call(json!(1), 2), json!(1)), (call(json!("1"), 1), json!("1"))] {
        let (status, response) = refused(&client, body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert_eq!(response["error"]["code"], -32_600);
        assert_eq!(response["id"], id);
    }
    let mut backend = server.manager.backend().await;
    backend.send(r#""id":1,"result":{}"#).await;
    assert_eq!(first.response().await["id"], 1);
}

#[tokio::test]
async fn exceeded_limits_get_retry_after() {
    let mut config = ManagerConfig::default();
    config.session.batch_max = 1;
    config.session.pending_requests_max = 1;
    config.sessions_max = 1;
    config.queue_max = 1;
    config.queue_timeout = std::time::Duration::from_millis(20);
    let server = HttpServer::start_with(config, HttpConfig::default()).await;
    let (_, client) = server.session().await;
    let expect_retry = async |client: &Client, message: Value, status: StatusCode| {
        let response = client.post(&message).await;
        assert_eq!(response.status, status);
        assert!(response.headers.contains_key("retry-after"));
    };
    let initialize = initialize("2025-11-25", &json!({}));
    let new_client = Client::new(&server.address);
    let call = |id| json!({ "jsonrpc": "2.0", "id": id, "method": "a" });
    let _first = client.post(&call(1)).await;
    expect_retry(&new_client, initialize, StatusCode::SERVICE_UNAVAILABLE).await;
    // The queue of the backend is full, and the backend does not receive.
    expect_retry(&client, call(2), StatusCode::SERVICE_UNAVAILABLE).await;
    let mut backend = server.manager.backend().await;
    backend.receive().await;
    expect_retry(&client, call(3), StatusCode::TOO_MANY_REQUESTS).await;
}

#[tokio::test]
async fn failed_initialize_leaves_no_session() {
    let server = HttpServer::start().await;
    let new_client = Client::new(&server.address);
    let initialize = initialize("2025-11-25", &json!({}));
    let (mut response, ()) = tokio::join!(new_client.post(&initialize), async {
        let mut backend = server.manager.opened().await;
        backend.receive().await;
        backend.send(r#""id":0,"error":{"code":-32602,"message":"no"}"#).await;
        assert_eq!(backend.receive_or_end().await, None);
    });
    assert!(!response.headers.contains_key("mcp-session-id"));
    assert_eq!(response.response().await["error"]["message"], "no");
    assert_eq!(server.manager.sessions.sessions(), 0);
}

#[tokio::test]
async fn client_disconnect_during_initialize_leaves_no_session() {
    let server = HttpServer::start().await;
    let new_client = Client::new(&server.address);
    let initialize = initialize("2025-11-25", &json!({}));
    let post = tokio::spawn(async move { drop(new_client.post(&initialize).await) });
    let mut backend = server.manager.opened().await;
    backend.receive().await;
    post.abort();
    assert_eq!(backend.receive_or_end().await, None);
    assert_eq!(server.manager.sessions.sessions(), 0);
}

#[tokio::test]
async fn requests_of_a_session_that_drains_get_503() {
    let server = HttpServer::start().await;
    let (session, client) = server.session().await;
    let call = |id: i64| json!({ "jsonrpc": "2.0", "id": id, "method": "a" });
    let mut pending = client.post(&call(1)).await;
    session.drain(std::time::Duration::ZERO);
    let mut refused = client.post(&call(2)).await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.headers["retry-after"], "10");
    let error = refused.json().await;
    assert_eq!(error["error"]["message"], "the server is shutting down");
    assert_eq!(error["id"], 2);
    let notification = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
    assert_eq!(client.post(&notification).await.status, StatusCode::ACCEPTED);
    server.manager.backend().await.send(r#""id":1,"result":{}"#).await;
    assert_eq!(pending.messages().await.len(), 1);
    assert_eq!(client.post(&call(3)).await.status, StatusCode::NOT_FOUND);
}
