//! A client of one session over raw HTTP, which comes back at any event.

use std::time::Duration;

use axum::http::{Method, StatusCode};
use rejoin_test_support::{HttpResponse, LATEST_REVISION, initialize};
use serde_json::{Value, json};
use tokio::time::timeout;

/// Time after which a test fails because something does not come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone)]
pub(crate) struct Client {
    http: rejoin_test_support::Client,
}

/// An event.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) id: Option<String>,
    pub(crate) retry: Option<Duration>,
    /// `Null` if the event has no data.
    pub(crate) message: Value,
}

/// The events of a response as the service of rmcp writes them. Dropping it closes the connection.
pub(crate) struct Events {
    pub(crate) status: StatusCode,
    response: HttpResponse,
    received: Vec<u8>,
}

impl Client {
    /// Creates a session.
    pub(crate) async fn initialize(address: &str) -> Self {
        let http = rejoin_test_support::Client::new(address);
        let response = http.post(&initialize(LATEST_REVISION, &json!({}))).await;
        assert_eq!(response.status, StatusCode::OK);
        let id = response.headers["mcp-session-id"].to_str().unwrap().to_owned();
        let mut events = Events::new(response);
        assert_eq!(events.response().await["result"]["protocolVersion"], LATEST_REVISION);
        let client = Self { http: http.with_session(&id) };
        let initialized = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
        assert_eq!(client.post(&initialized).await.status, StatusCode::ACCEPTED);
        client
    }

    /// Returns a client of a session that exists, or existed.
    pub(crate) fn of_session(address: &str, id: &str) -> Self {
        Self { http: rejoin_test_support::Client::new(address).with_session(id) }
    }

    pub(crate) fn id(&self) -> &str {
        self.http.session()
    }

    /// Calls a tool, with `id` as the id of the request.
    pub(crate) async fn call(&self, id: u64, tool: &str, arguments: Value) -> Events {
        self.call_with(id, tool, arguments, &[]).await
    }

    pub(crate) async fn call_with(
        &self,
        id: u64,
        tool: &str,
        arguments: Value,
        headers: &[(&'static str, &str)],
    ) -> Events {
        let params = json!({ "name": tool, "arguments": arguments });
        let call = json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params });
        Events::new(self.http.send(Method::POST, call.to_string(), headers).await)
    }

    /// Calls the tool `echo`, and checks its response.
    pub(crate) async fn echo(&self, id: u64) {
        let text = format!("echo {id}");
        let mut events = self.call(id, "echo", json!({ "text": text })).await;
        assert_eq!(events.text(id).await, text);
    }

    pub(crate) async fn notify(
        &self,
        method: &str,
        params: Value,
        headers: &[(&'static str, &str)],
    ) -> StatusCode {
        let message = json!({ "jsonrpc": "2.0", "method": method, "params": params });
        self.http.send(Method::POST, message.to_string(), headers).await.status
    }

    pub(crate) async fn post(&self, message: &Value) -> Events {
        Events::new(self.http.post(message).await)
    }

    /// Opens the standalone stream, or resumes a stream.
    pub(crate) async fn get(&self, last_event_id: Option<&str>) -> Events {
        Events::new(self.http.get(last_event_id).await)
    }

    pub(crate) async fn delete(&self) -> StatusCode {
        self.http.delete().await.status
    }
}

impl Events {
    fn new(response: HttpResponse) -> Self {
        Self { status: response.status, response, received: Vec::new() }
    }

    /// Waits for the next event. `None` is the end of the response.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        timeout(PATIENCE, self.next_event()).await.unwrap()
    }

    async fn next_event(&mut self) -> Option<Event> {
        loop {
            let Some(end) = self.received.windows(2).position(|pair| pair == b"\n\n") else {
                let chunk = self.response.chunk().await.ok()??;
                self.received.extend_from_slice(&chunk);
                continue;
            };
            let block: Vec<_> = self.received.drain(..end + 2).collect();
            let event = parse(str::from_utf8(&block).unwrap());
            // What has no field is a keep-alive comment.
            if event.is_some() {
                return event;
            }
        }
    }

    /// Waits for the next event that has a message.
    pub(crate) async fn message(&mut self) -> Option<Event> {
        loop {
            let event = self.next().await?;
            if !event.message.is_null() {
                return Some(event);
            }
        }
    }

    /// Waits for all messages.
    pub(crate) async fn messages(&mut self) -> Vec<Event> {
        let mut messages = Vec::new();
        while let Some(event) = self.message().await {
            messages.push(event);
        }
        messages
    }

    /// Waits for the response, and drops the messages before it.
    pub(crate) async fn response(&mut self) -> Value {
        loop {
            let event = self.message().await.unwrap();
            if event.message["method"].is_null() {
                return event.message;
            }
        }
    }

    /// Waits for the result of the call with this id, and returns its text.
    pub(crate) async fn text(&mut self, id: u64) -> String {
        let response = self.response().await;
        assert_eq!(response["id"], id, "{response}");
        response["result"]["content"][0]["text"].as_str().unwrap().to_owned()
    }
}

impl Event {
    pub(crate) fn id(&self) -> &str {
        self.id.as_deref().unwrap()
    }

    /// Returns the number of a message of the tools `count` and `announce`.
    pub(crate) fn number(&self) -> u64 {
        self.message["params"]["n"].as_u64().unwrap()
    }
}

/// Parses an event. `None` if it is only a comment.
fn parse(block: &str) -> Option<Event> {
    let mut event = Event { id: None, retry: None, message: Value::Null };
    let mut is_event = false;
    for line in block.lines().filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':').unwrap();
        let value = value.strip_prefix(' ').unwrap_or(value);
        is_event |= !name.is_empty();
        match name {
            "" => {}
            "event" => assert_eq!(value, "message"),
            "id" => event.id = Some(value.to_owned()),
            "retry" => event.retry = Some(Duration::from_millis(value.parse().unwrap())),
            "data" if value.is_empty() => {}
            "data" => event.message = serde_json::from_str(value).unwrap(),
            name => panic!("{name}"),
        }
    }
    is_event.then_some(event)
}
