//! No call is executed twice, and no message delivered twice.

use std::net::{Ipv4Addr, SocketAddr};

use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};
use tokio::time::Instant;

use crate::{
    application::Application,
    scripted_server::{Received, Reply, ScriptedServer, event, events, json_body, result, status},
};

#[test]
fn call_is_not_sent_again_if_the_server_may_have_received_it() {
    let server = ScriptedServer::start(|request| request.is_call().then_some(Reply::Close));
    let mut application = Application::initialize(&server.url, &[]);
    for id in 1..=10 {
        application.call(id, "tool", &json!({}));
        let (response, _) = application.response(id);
        let message = response["error"]["message"].as_str().unwrap();
        assert!(message.contains("not known whether the server executed"), "{message}");
        assert_eq!(response["error"]["data"]["executed"], "unknown");
    }
    application.leave();
    assert_eq!(server.count(Received::is_call), 10);
}

#[test]
fn call_is_sent_once_the_server_can_be_reached() {
    // It has a port, but does not listen yet.
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let mut application = Application::start(&format!("http://{address}/mcp"), &[]);
    application.send(&rejoin_test_support::initialize("2025-11-25", &json!({})));
    application.send(&json!({ "jsonrpc": "2.0", "method": "ping", "id": 7 }));
    // Rejected at once, so the attempt before it has begun.
    assert!(application.next()["error"].is_object());
    socket.listen(16).unwrap();
    let server = ScriptedServer::start_on(socket.into(), |_| None);
    assert!(application.next()["result"].is_object());
    assert_eq!(server.count(Received::is_initialize), 1);
}

#[test]
fn refused_call_is_sent_again_as_told() {
    let mut calls = 0;
    let server = ScriptedServer::start(move |request| {
        calls += usize::from(request.is_call());
        match calls {
            1 if request.is_call() => Some(status(429, "Retry-After: 1\r\n")),
            2 if request.is_call() => Some(status(503, "Retry-After: 1\r\n")),
            _ => None,
        }
    });
    let mut application = Application::initialize(&server.url, &[]);
    let begin = Instant::now();
    application.call(1, "tool", &json!({}));
    assert!(application.response(1).0["result"].is_object());
    assert!(begin.elapsed().as_secs_f64() >= 2.0);
    assert_eq!(server.count(Received::is_call), 3);
    let server = ScriptedServer::start(|request| {
        request.is_call().then(|| status(429, "Retry-After: 3600\r\n"))
    });
    let mut application = Application::initialize(&server.url, &[]);
    application.call(1, "tool", &json!({}));
    let (response, _) = application.response(1);
    let message = "the server refused the request with HTTP status 429";
    assert_eq!(response["error"]["message"], message);
    assert_eq!(server.count(Received::is_call), 1);
}

#[test]
fn what_a_server_replays_again_is_delivered_once() {
    let progress = |step: u64| {
        let params = json!({ "progressToken": 1, "progress": step });
        json!({ "jsonrpc": "2.0", "method": "notifications/progress", "params": params })
    };
    let mut call = Value::Null;
    let server = ScriptedServer::start(move |request| {
        if request.is_call() {
            call = request.message.clone();
        }
        // Whatever the last event was, all events are sent from the first one.
        let from_first = |count: u64| -> String {
            let sent = (1..=count).map(|step| event(&format!("opaque/{step}"), &progress(step)));
            format!("retry: 10\n\n{}", sent.collect::<String>())
        };
        match (request.header("last-event-id"), request.is_call()) {
            (None, true) => Some(events(&from_first(3))),
            (Some("opaque/3"), _) => Some(events(&from_first(5))),
            (Some("opaque/5"), _) => {
                let response = event("opaque/6", &result(&call));
                Some(events(&format!("{}{response}{response}", from_first(5))))
            }
            _ => None,
        }
    });
    let mut application = Application::initialize(&server.url, &[]);
    application.call(1, "tool", &json!({}));
    let (_, before) = application.response(1);
    assert_eq!(before, (1..=5).map(progress).collect::<Vec<_>>());
    let (status, rest) = application.leave();
    assert!(status.success());
    assert_eq!(rest, [] as [Value; 0]);
    assert_eq!(server.count(Received::is_call), 1);
    let resumes = server.received();
    let resumes = resumes.iter().filter_map(|request| request.header("last-event-id"));
    assert_eq!(resumes.collect::<Vec<_>>(), ["opaque/3", "opaque/5"]);
}

#[test]
fn every_request_has_the_headers_of_its_session() {
    let server = ScriptedServer::start(|_| None);
    let mut application = Application::initialize(&server.url, &["--header", "X-Key=k"]);
    application.call(1, "tool", &json!({}));
    application.response(1);
    application.leave();
    let received = server.received();
    let names = received.iter().map(|request| request.method.as_str()).collect::<Vec<_>>();
    assert_eq!(names, ["POST", "POST", "GET", "POST", "DELETE"]);
    for request in &received {
        let is_first = request.is_initialize();
        assert_eq!(request.header("mcp-session-id"), (!is_first).then_some("s1"));
        assert_eq!(request.header("mcp-protocol-version"), (!is_first).then_some("2025-11-25"));
        assert_eq!(request.header("x-key"), Some("k"));
    }
}

#[test]
fn error_in_the_body_of_a_refusal_is_delivered() {
    let server = ScriptedServer::start(|request| {
        let error = json!({ "code": -32_602, "message": "no such tool" });
        let body = json!({ "jsonrpc": "2.0", "id": request.message["id"], "error": error });
        request.is_call().then(|| json_body(400, "", &body))
    });
    let mut application = Application::initialize(&server.url, &[]);
    application.call(1, "tool", &json!({}));
    assert_eq!(application.response(1).0["error"]["message"], "no such tool");
}
