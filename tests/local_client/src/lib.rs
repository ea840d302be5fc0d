//! Test client in the process of its session, without HTTP, for tests of backends.
#![expect(clippy::missing_panics_doc, reason = "a test fails by panicking")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::panic, reason = "a test fails by panicking")]
#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::{future::poll_fn, pin::Pin};

use futures_core::Stream;
use rejoin::{
    Backend, ClientMessage, Connection, ManagerConfig, SessionHandle, SessionManager, SseEvent,
};
use rejoin_core::{AnswerFormat, Post};
use serde_json::{Value, json};

/// A client of one session.
#[derive(Debug)]
pub struct Client {
    /// The manager of its session, and of no other one.
    pub sessions: SessionManager,
    /// The session.
    pub session: SessionHandle,
}

impl Client {
    /// Starts a session as a client with the capabilities for server requests.
    pub async fn connect(backend: impl Backend) -> Self {
        let capabilities = json!({ "elicitation": {}, "sampling": {} });
        Self::connect_as(backend, "2025-11-25", capabilities).await
    }

    /// Starts a session of a revision, as a client with these capabilities.
    pub async fn connect_as(backend: impl Backend, version: &str, capabilities: Value) -> Self {
        let sessions = SessionManager::new(backend, ManagerConfig::default()).unwrap();
        let initialize = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
            "protocolVersion": version,
            "capabilities": capabilities,
            "clientInfo": { "name": "test", "version": "0" },
        }});
        let opened = sessions.initialize_session(post(&initialize), AnswerFormat::Sse).await;
        let (session, mut connection) = opened.unwrap();
        let response = next(&mut connection).await.unwrap();
        assert_eq!(response["result"]["protocolVersion"], version, "{response}");
        let client = Self { sessions, session };
        client.notify("notifications/initialized", json!({})).await;
        client
    }

    /// Sends a request.
    pub async fn request(&self, id: i64, method: &str, params: Value) -> Connection {
        let request = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        self.session.request(post(&request), AnswerFormat::Sse).await.unwrap()
    }

    /// Calls a tool, with its id as the progress token.
    pub async fn call(&self, id: i64, tool: &str, arguments: Value) -> Connection {
        let meta = json!({ "progressToken": id });
        let params = json!({ "name": tool, "arguments": arguments, "_meta": meta });
        self.request(id, "tools/call", params).await
    }

    /// Sends a notification.
    pub async fn notify(&self, method: &str, params: Value) {
        self.message(&json!({ "jsonrpc": "2.0", "method": method, "params": params })).await;
    }

    /// Sends a notification or a response.
    pub async fn message(&self, message: &Value) {
        self.session.notify(post(message)).await.unwrap();
    }
}

/// Returns the next message of a connection.
pub async fn next(connection: &mut Connection) -> Option<Value> {
    loop {
        match poll_fn(|cx| Pin::new(&mut *connection).poll_next(cx)).await? {
            SseEvent::Message { data, .. } => return Some(serde_json::from_slice(&data).unwrap()),
            SseEvent::Priming { .. } => {}
            SseEvent::Gap { id, first, .. } => panic!("events {first} to {id} are missing"),
        }
    }
}

/// Returns the messages before the response, and the response.
pub async fn outcome(connection: &mut Connection) -> (Vec<Value>, Value) {
    let mut before = Vec::new();
    loop {
        let message = next(connection).await.unwrap();
        if message.get("method").is_none() {
            assert_eq!(next(connection).await, None);
            return (before, message);
        }
        before.push(message);
    }
}

/// Returns the response, and checks that no message precedes it.
pub async fn response(mut connection: Connection) -> Value {
    let (before, response) = outcome(&mut connection).await;
    assert_eq!(before, [] as [Value; 0]);
    response
}

/// Returns a message as the body of a POST.
#[must_use]
pub fn post(message: &Value) -> Post<ClientMessage> {
    rejoin::parse_message(message.to_string().into(), 0).unwrap()
}
