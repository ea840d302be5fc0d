//! rmcp services behind a session manager, in paused time.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "rmcp/service.rs"]
mod service;

use std::time::Duration;

use rejoin::{ManagerConfig, RmcpBackend, SessionManager, SseEvent};
use rejoin_core::{AnswerFormat, SessionCloseReason, StreamId};
use rejoin_local_client::{Client, next, outcome, post, response};
use serde_json::json;
use service::{Server, ServiceEvent};

#[tokio::test(start_paused = true)]
async fn each_session_has_its_own_service() {
    let (backend, mut events) = service::backend();
    let client = Client::connect(backend).await;
    assert_eq!(events.recv().await, Some(ServiceEvent::Created));
    let response = response(client.call(1, "greet", json!({})).await).await;
    assert_eq!(response["id"], 1);
    assert_eq!(response["result"]["content"][0]["text"], "hello");
    client.sessions.create_session().await.unwrap();
    assert_eq!(events.recv().await, Some(ServiceEvent::Created));
}

#[tokio::test(start_paused = true)]
async fn server_request_is_sent_on_the_stream_of_its_request() {
    let client = Client::connect(service::backend().0).await;
    let mut standalone = client.session.standalone().unwrap();
    let mut connection = client.call(1, "ask", json!({})).await;
    let request = next(&mut connection).await.unwrap();
    assert_eq!(request["method"], "ping");
    client.message(&json!({ "jsonrpc": "2.0", "id": request["id"], "result": {} })).await;
    let (before, response) = outcome(&mut connection).await;
    assert_eq!(before.len(), 0);
    assert_eq!(response["result"]["content"][0]["text"], "pong");
    client.session.delete().unwrap();
    assert_eq!(next(&mut standalone).await, None);
}

#[tokio::test(start_paused = true)]
async fn related_notifications_keep_their_order() {
    let client = Client::connect(service::backend().0).await;
    let mut standalone = client.session.standalone().unwrap();
    let mut connection = client.call(1, "notify", json!({})).await;
    let (before, _) = outcome(&mut connection).await;
    let methods: Vec<_> = before.iter().map(|message| message["params"]["n"].clone()).collect();
    assert_eq!(methods, [1, 2, 3]);
    let unrelated = next(&mut standalone).await.unwrap();
    assert_eq!(unrelated["method"], "notifications/unrelated");
}

#[tokio::test(start_paused = true)]
async fn handler_disconnects_and_the_client_resumes() {
    let client = Client::connect(service::backend().0).await;
    let mut connection = client.call(1, "poll", json!({})).await;
    let mut last = Vec::new();
    while poll(&mut connection, &mut last).await {}
    let retry = Some(Duration::from_secs(7));
    let Some(SseEvent::Priming { id, retry: sent }) = last.pop() else { panic!() };
    assert_eq!(sent, retry);
    assert_eq!(id.stream, StreamId::Request(0));
    let mut connection = client.session.resume(id).unwrap();
    let (_, response) = outcome(&mut connection).await;
    assert_eq!(response["result"]["content"][0]["text"], "later");
}

#[tokio::test(start_paused = true)]
async fn cancellation_reaches_the_handler() {
    let (backend, mut events) = service::backend();
    let client = Client::connect(backend).await;
    let mut connection = client.call(1, "hang", json!({})).await;
    assert_eq!(events.recv().await, Some(ServiceEvent::Created));
    assert_eq!(events.recv().await, Some(ServiceEvent::Called));
    client.notify("notifications/cancelled", json!({ "requestId": 1 })).await;
    assert_eq!(events.recv().await, Some(ServiceEvent::Cancelled));
    assert_eq!(next(&mut connection).await, None);
}

#[tokio::test(start_paused = true)]
async fn cancelled_requests_whose_handlers_have_ended_do_not_count() {
    let (backend, mut events) = service::backend();
    let client = Client::connect(backend).await;
    assert_eq!(events.recv().await, Some(ServiceEvent::Created));
    let limits = rejoin_core::Config::default();
    let max = limits.pending_requests_max + limits.cancelled_requests_max;
    for id in 1..=i64::try_from(max).unwrap() + 10 {
        let mut connection = client.call(id, "hang", json!({})).await;
        assert_eq!(events.recv().await, Some(ServiceEvent::Called));
        client.notify("notifications/cancelled", json!({ "requestId": id })).await;
        assert_eq!(events.recv().await, Some(ServiceEvent::Cancelled));
        assert_eq!(next(&mut connection).await, None);
    }
}

#[tokio::test(start_paused = true)]
async fn end_of_the_session_cancels_the_service() {
    let (backend, mut events) = service::backend();
    let client = Client::connect(backend).await;
    let _connection = client.call(1, "hang", json!({})).await;
    assert_eq!(events.recv().await, Some(ServiceEvent::Created));
    assert_eq!(events.recv().await, Some(ServiceEvent::Called));
    let ended = tokio::time::Instant::now();
    client.session.delete().unwrap();
    assert_eq!(events.recv().await, Some(ServiceEvent::Cancelled));
    assert_eq!(events.recv().await, Some(ServiceEvent::Dropped));
    assert_eq!(ended.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn request_whose_handler_panics_is_answered() {
    let client = Client::connect(service::backend().0).await;
    let response = response(client.call(1, "panic", json!({})).await).await;
    assert_eq!(response["error"]["code"], -32_603);
    assert_eq!(response["error"]["message"], "internal error: the request handler panicked");
}

#[tokio::test(start_paused = true)]
async fn response_that_is_too_large_becomes_an_error() {
    let client = Client::connect(service::backend().0).await;
    let response = response(client.call(1, "large", json!({})).await).await;
    assert_eq!(response["id"], 1);
    assert_eq!(response["error"]["code"], -32_603);
    assert_eq!(response["error"]["message"], "the response was too large to be retained");
}

#[tokio::test(start_paused = true)]
async fn unreadable_request_is_answered_with_an_error() {
    let client = Client::connect(service::backend().0).await;
    let response = response(client.request(1, "tools/call", json!({ "nom": "greet" })).await).await;
    assert_eq!(response["error"]["code"], -32_602);
    assert_eq!(response["error"]["message"], "invalid parameters for `tools/call`");

    let text = r#"{"jsonrpc":"2.0","id":2,"method":"a","params":{"n":1e999}}"#;
    let post = rejoin::parse_message(text.into(), 0).unwrap();
    let connection = client.session.request(post, AnswerFormat::Sse).await.unwrap();
    let response = self::response(connection).await;
    assert_eq!(response["id"], 2);
    assert_eq!(response["error"]["code"], -32_600);

    let unknown = self::response(client.request(3, "no/such", json!({})).await).await;
    assert_eq!(unknown["error"]["code"], -32_601);
}

#[tokio::test(start_paused = true)]
async fn unreadable_client_response_becomes_an_error_for_the_handler() {
    let client = Client::connect(service::backend().0).await;
    let mut connection = client.call(1, "ask", json!({})).await;
    let request = next(&mut connection).await.unwrap();
    client.message(&json!({ "jsonrpc": "2.0", "id": request["id"], "error": "no" })).await;
    let (_, response) = outcome(&mut connection).await;
    let text = response["result"]["content"][0]["text"].as_str().unwrap();
    assert!(text.contains("unreadable response from the client"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn invalid_initialize_parameters_leave_no_session() {
    let sessions = SessionManager::new(service::backend().0, ManagerConfig::default()).unwrap();
    let text = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{}}"#;
    let post = rejoin::parse_message(text.into(), 0).unwrap();
    let (_, mut connection) = sessions.initialize_session(post, AnswerFormat::Sse).await.unwrap();
    let response = next(&mut connection).await.unwrap();
    assert_eq!(response["error"]["code"], -32_602);
    assert_eq!(next(&mut connection).await, None);
    assert_eq!(sessions.sessions(), 0);
}

#[tokio::test(start_paused = true)]
async fn failing_factory_opens_no_session() {
    let backend = RmcpBackend::new(|| Err::<Server, _>("no more servers".into()));
    let sessions = SessionManager::new(backend, ManagerConfig::default()).unwrap();
    let error = sessions.create_session().await.unwrap_err();
    assert_eq!(error.to_string(), "the server could not be started: no more servers");
    assert_eq!(sessions.sessions(), 0);
}

#[tokio::test(start_paused = true)]
async fn flood_waits_for_its_reader_and_loses_nothing() {
    let client = Client::connect(service::backend().0).await;
    let mut connection = client.call(1, "flood", json!({})).await;
    let (before, _) = outcome(&mut connection).await;
    assert_eq!(before.len(), 5_000);
    for (n, message) in before.iter().enumerate() {
        assert_eq!(message["params"]["n"], n);
    }
    client.session.close(SessionCloseReason::ServerShutdown);
}

async fn poll(connection: &mut rejoin::Connection, events: &mut Vec<SseEvent>) -> bool {
    std::future::poll_fn(|cx| connection.poll_events(cx, events)).await
}

#[tokio::test(start_paused = true)]
async fn service_that_never_initializes_is_dropped_with_its_session() {
    let (sender, mut events) = tokio::sync::mpsc::unbounded_channel();
    let backend = RmcpBackend::new(move || Ok(service::NeverInitializes(sender.clone())));
    let sessions = SessionManager::new(backend, ManagerConfig::default()).unwrap();
    let initialize = post(&json!({
        "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
            "protocolVersion": "2025-11-25",
            "capabilities": {},
            "clientInfo": { "name": "test", "version": "0" },
        },
    }));
    let (_, _connection) =
        sessions.initialize_session(initialize, AnswerFormat::Sse).await.unwrap();
    assert_eq!(events.recv().await, Some(ServiceEvent::Dropped));
    assert_eq!(sessions.sessions(), 0);
}

#[tokio::test(start_paused = true)]
async fn response_that_is_nested_too_deeply_becomes_an_error() {
    let client = Client::connect(service::backend().0).await;
    let response = response(client.call(1, "deep", json!({})).await).await;
    assert_eq!(response["error"]["code"], -32_603, "{response}");
    let message = response["error"]["message"].as_str().unwrap();
    assert!(message.contains("128 levels"), "{message}");
}
