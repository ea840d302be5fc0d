//! Resuming by `Last-Event-ID`.

use http::StatusCode;
use serde_json::json;

use crate::server::HttpServer;

#[tokio::test]
async fn invalid_last_event_id_is_refused_with_the_reason() {
    let server = HttpServer::start().await;
    let (_, client) = server.session().await;
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "a" });
    let mut open = client.post(&call).await;
    for (id, why) in [
        ("x", "last-event-id"),
        ("-1", "last-event-id"),
        ("01/0", "last-event-id"),
        ("0/0/0", "last-event-id"),
        ("18446744073709551616", "last-event-id"),
        ("0/7", "no stream 7"),
        ("5/0", "stream 0 has index 0"),
        ("5", "stream standalone has index 0"),
    ] {
        let mut refused = client.get(Some(id)).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{id}");
        let message = refused.json().await["error"]["message"].to_string();
        assert!(message.contains(why), "{id}: {message}");
    }
    let mut backend = server.manager.backend().await;
    backend.send(r#""id":1,"result":{}"#).await;
    assert_eq!(open.response().await["id"], 1);
}

#[tokio::test]
async fn resuming_a_cancelled_stream_gets_204() {
    let server = HttpServer::start().await;
    let (_, client) = server.session().await;
    let mut call = client.post(&json!({ "jsonrpc": "2.0", "id": 1, "method": "a" })).await;
    let params = json!({ "requestId": 1 });
    let method = "notifications/cancelled";
    client.post(&json!({ "jsonrpc": "2.0", "method": method, "params": params })).await;
    assert!(call.messages().await.is_empty());
    assert_eq!(client.get(Some("0/0")).await.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn resume_takes_over_from_a_stale_connection() {
    let server = HttpServer::start().await;
    let (_, client) = server.session().await;
    let mut lost = client.post(&json!({ "jsonrpc": "2.0", "id": 1, "method": "a" })).await;
    assert_eq!(lost.next().await.unwrap().id().as_deref(), Some("0/0"));
    let mut resumed = client.get(Some("0/0")).await;
    let mut backend = server.manager.backend().await;
    backend.send(r#""id":1,"result":{}"#).await;
    assert_eq!(resumed.messages().await.len(), 1);
    assert_eq!(lost.next().await, None);
}

#[tokio::test]
async fn resuming_after_the_last_event_gets_204() {
    let server = HttpServer::start().await;
    let (_, client) = server.session().await;
    let mut call = client.post(&json!({ "jsonrpc": "2.0", "id": 1, "method": "a" })).await;
    let mut backend = server.manager.backend().await;
    backend.send(r#""id":1,"error":{"code":-1,"message":"m"}"#).await;
    assert_eq!(call.messages().await.len(), 1);
    assert_eq!(client.get(Some("1/0")).await.status, StatusCode::NO_CONTENT);
    let mut again = client.get(Some("0/0")).await;
    assert_eq!(again.status, StatusCode::OK);
    assert_eq!(again.response().await["id"], 1);
}
