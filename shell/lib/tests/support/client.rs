//! Test client over HTTP, which can also violate the protocol.

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{net::TcpStream, task::JoinHandle};

pub(crate) const LATEST_REVISION: &str = "2025-11-25";

/// A client of one session. Every request has its own TCP connection.
#[derive(Clone)]
pub(crate) struct Client {
    address: String,
    session: Option<String>,
    version: &'static str,
}

impl Client {
    /// Creates a client without a session.
    pub(crate) fn new(address: &str) -> Self {
        Self { address: address.to_owned(), session: None, version: LATEST_REVISION }
    }

    pub(crate) async fn initialize(address: &str) -> Self {
        Self::initialize_with(address, LATEST_REVISION, &json!({})).await
    }

    pub(crate) async fn initialize_with(
        address: &str,
        version: &'static str,
        capabilities: &Value,
    ) -> Self {
        let mut client = Self { version, ..Self::new(address) };
        let mut response = client.post(&initialize(version, capabilities)).await;
        assert_eq!(response.status, StatusCode::OK);
        let session = response.headers["mcp-session-id"].to_str().unwrap().to_owned();
        assert_eq!(response.response().await["result"]["protocolVersion"], version);
        client.session = Some(session);
        let initialized =
            client.post(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" })).await;
        assert_eq!(initialized.status, StatusCode::ACCEPTED);
        client
    }

    pub(crate) fn session(&self) -> &str {
        self.session.as_deref().unwrap()
    }

    /// Returns the same client with another session id.
    pub(crate) fn with_session(&self, session: &str) -> Self {
        Self { session: Some(session.to_owned()), ..self.clone() }
    }

    /// Calls a tool, with `id` as the progress token.
    pub(crate) async fn call(&self, id: i64, tool: &str, arguments: Value) -> HttpResponse {
        let params = json!({
            "name": tool, "arguments": arguments, "_meta": { "progressToken": id },
        });
        self.post(&json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params }))
            .await
    }

    pub(crate) async fn post(&self, message: &Value) -> HttpResponse {
        self.send(Method::POST, message.to_string(), &[]).await
    }

    pub(crate) async fn get(&self, last_event_id: Option<&str>) -> HttpResponse {
        let extra = last_event_id.map(|id| ("last-event-id", id));
        self.send(Method::GET, String::new(), extra.as_slice()).await
    }

    pub(crate) async fn delete(&self) -> HttpResponse {
        self.send(Method::DELETE, String::new(), &[]).await
    }

    /// Sends a request. `extra` headers replace or extend the usual ones.
    pub(crate) async fn send(
        &self,
        method: Method,
        body: String,
        extra: &[(&'static str, &str)],
    ) -> HttpResponse {
        let mut request = Request::builder().method(method.clone()).uri("/mcp");
        let headers = request.headers_mut().unwrap();
        headers.insert(header::HOST, self.address.parse().unwrap());
        let accept = match method {
            Method::GET => "text/event-stream",
            _ => "application/json, text/event-stream",
        };
        headers.insert(header::ACCEPT, accept.parse().unwrap());
        if method == Method::POST {
            headers.insert(header::CONTENT_TYPE, "application/json".parse().unwrap());
        }
        if let Some(session) = &self.session {
            headers.insert("mcp-session-id", session.parse().unwrap());
            headers.insert("mcp-protocol-version", self.version.parse().unwrap());
        }
        for (name, value) in extra {
            headers.insert(*name, value.parse().unwrap());
        }
        let stream = TcpStream::connect(&self.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        let connection = tokio::spawn(async move { drop(connection.await) });
        let response =
            sender.send_request(request.body(Full::<Bytes>::from(body)).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        HttpResponse {
            status: parts.status,
            headers: parts.headers,
            body,
            connection,
            text: Vec::new(),
            last_event_id: None,
        }
    }
}

pub(crate) fn initialize(version: &str, capabilities: &Value) -> Value {
    let params = json!({
        "protocolVersion": version,
        "capabilities": capabilities,
        "clientInfo": { "name": "test", "version": "0" },
    });
    json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params })
}

/// An HTTP response whose body is read on demand. Dropping it cuts the connection.
pub(crate) struct HttpResponse {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    body: Incoming,
    connection: JoinHandle<()>,
    text: Vec<u8>,
    /// The id of the last event that had one.
    pub(crate) last_event_id: Option<String>,
}

/// An SSE event, or a comment.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Event {
    pub(crate) id: Option<String>,
    pub(crate) retry: Option<u64>,
    pub(crate) comment: Option<String>,
    /// `Null` where the data is empty.
    pub(crate) data: Value,
}

impl Event {
    /// Returns the value of a progress notification.
    pub(crate) fn progress(&self) -> Option<u64> {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is a count"
        )]
        self.data["params"]["progress"].as_f64().map(|progress| progress as u64)
    }

    pub(crate) fn is_response(&self) -> bool {
        self.data["result"].is_object() || self.data["error"].is_object()
    }
}

impl HttpResponse {
    /// Waits for the next event. `None` is the end of the body.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        // Where to search for the end of the event: earlier bytes were searched already.
        let mut from = 0;
        loop {
            let end = self.text[from..].windows(2).position(|pair| pair == b"\n\n");
            if let Some(end) = end {
                let text: Vec<u8> = self.text.drain(..from + end + 2).collect();
                let event = parse(&String::from_utf8(text).unwrap());
                self.last_event_id = event.id.clone().or(self.last_event_id.take());
                return Some(event);
            }
            from = self.text.len().saturating_sub(1);
            let chunk = self.chunk().await?;
            self.text.extend(chunk);
        }
    }

    /// Waits for the next event that is neither a comment nor priming.
    pub(crate) async fn message(&mut self) -> Option<Event> {
        loop {
            let event = self.next().await?;
            if !event.data.is_null() {
                return Some(event);
            }
        }
    }

    /// Waits for the JSON-RPC response, in SSE or JSON. Drops the events before it.
    pub(crate) async fn response(&mut self) -> Value {
        if self.headers[header::CONTENT_TYPE] == "application/json" {
            return self.json().await;
        }
        loop {
            let event = self.next().await.unwrap();
            if event.is_response() {
                return event.data;
            }
        }
    }

    /// Waits for all messages.
    pub(crate) async fn messages(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(event) = self.message().await {
            events.push(event);
        }
        events
    }

    /// Waits for a body that is one JSON value.
    pub(crate) async fn json(&mut self) -> Value {
        while let Some(chunk) = self.chunk().await {
            self.text.extend(chunk);
        }
        serde_json::from_slice(&self.text).unwrap()
    }

    async fn chunk(&mut self) -> Option<Bytes> {
        loop {
            match self.body.frame().await?.ok()?.into_data() {
                Ok(data) => return Some(data),
                Err(_trailers) => {}
            }
        }
    }
}

impl Drop for HttpResponse {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

fn parse(text: &str) -> Event {
    let mut event = Event::default();
    for line in text.lines() {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => event.id = Some(value.to_owned()),
            "retry" => event.retry = Some(value.parse().unwrap()),
            "data" if !value.is_empty() => event.data = serde_json::from_str(value).unwrap(),
            "" if !line.is_empty() => event.comment = Some(value.to_owned()),
            _ => {}
        }
    }
    event
}
