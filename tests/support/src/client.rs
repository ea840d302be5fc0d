//! Test client over HTTP, which can also violate the protocol.

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::Full;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::HttpResponse;

/// The revision of MCP that a client uses by default.
pub const LATEST_REVISION: &str = "2025-11-25";

/// A client of one session. Every request has its own TCP connection.
#[derive(Clone, Debug)]
pub struct Client {
    address: String,
    path: String,
    session: Option<String>,
    version: &'static str,
}

impl Client {
    /// Creates a client without a session.
    #[must_use]
    pub fn new(address: &str) -> Self {
        Self {
            address: address.to_owned(),
            path: "/mcp".to_owned(),
            session: None,
            version: LATEST_REVISION,
        }
    }

    /// Returns the same client of another path, which is `/mcp` by default.
    #[must_use]
    pub fn with_path(self, path: &str) -> Self {
        Self { path: path.to_owned(), ..self }
    }

    /// Creates a session of the latest revision.
    pub async fn initialize(address: &str) -> Self {
        Self::initialize_with(address, LATEST_REVISION, &json!({})).await
    }

    /// Creates a session of a revision, as a client with these capabilities.
    pub async fn initialize_with(
        address: &str,
        version: &'static str,
        capabilities: &Value,
    ) -> Self {
        Self { version, ..Self::new(address) }.opened(capabilities).await
    }

    /// Creates a session as a client with these capabilities.
    pub async fn opened(self, capabilities: &Value) -> Self {
        let version = self.version;
        let mut client = self;
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

    /// Returns the session id.
    #[must_use]
    pub fn session(&self) -> &str {
        self.session.as_deref().unwrap()
    }

    /// Returns the same client with another session id.
    #[must_use]
    pub fn with_session(&self, session: &str) -> Self {
        Self { session: Some(session.to_owned()), ..self.clone() }
    }

    /// Calls a tool, with `id` as the progress token.
    pub async fn call(&self, id: i64, tool: &str, arguments: Value) -> HttpResponse {
        let params = json!({
            "name": tool, "arguments": arguments, "_meta": { "progressToken": id },
        });
        self.post(&json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params }))
            .await
    }

    /// Posts a message.
    pub async fn post(&self, message: &Value) -> HttpResponse {
        self.send(Method::POST, message.to_string(), &[]).await
    }

    /// Opens the standalone stream, or resumes a stream.
    pub async fn get(&self, last_event_id: Option<&str>) -> HttpResponse {
        let extra = last_event_id.map(|id| ("last-event-id", id));
        self.send(Method::GET, String::new(), extra.as_slice()).await
    }

    /// Deletes the session.
    pub async fn delete(&self) -> HttpResponse {
        self.send(Method::DELETE, String::new(), &[]).await
    }

    /// Sends a request. `extra` headers replace or extend the usual ones.
    pub async fn send(
        &self,
        method: Method,
        body: String,
        extra: &[(&'static str, &str)],
    ) -> HttpResponse {
        let stream = TcpStream::connect(&self.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        HttpResponse::receive(stream, self.request(&method, body, extra)).await.unwrap()
    }

    /// Returns a request that [`send`](Self::send) would send.
    #[must_use]
    pub fn request(
        &self,
        method: &Method,
        body: String,
        extra: &[(&'static str, &str)],
    ) -> Request<Full<Bytes>> {
        let mut request = Request::builder().method(method).uri(&self.path);
        let headers = request.headers_mut().unwrap();
        headers.insert(header::HOST, self.address.parse().unwrap());
        let accept = match *method {
            Method::GET => "text/event-stream",
            _ => "application/json, text/event-stream",
        };
        headers.insert(header::ACCEPT, accept.parse().unwrap());
        if *method == Method::POST {
            headers.insert(header::CONTENT_TYPE, "application/json".parse().unwrap());
        }
        if let Some(session) = &self.session {
            headers.insert("mcp-session-id", session.parse().unwrap());
            headers.insert("mcp-protocol-version", self.version.parse().unwrap());
        }
        for (name, value) in extra {
            headers.insert(*name, value.parse().unwrap());
        }
        request.body(Full::from(body)).unwrap()
    }
}

/// Returns the `initialize` request of a client with these capabilities.
#[must_use]
pub fn initialize(version: &str, capabilities: &Value) -> Value {
    let params = json!({
        "protocolVersion": version,
        "capabilities": capabilities,
        "clientInfo": { "name": "test", "version": "0" },
    });
    json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params })
}
