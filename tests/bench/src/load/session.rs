//! HTTP requests of a client session.

use std::io::Write as _;

use anyhow::{Context as _, Result, ensure};
use memchr::memmem;

use super::{client::Client, endpoint::Endpoint};
use crate::message::{self, REVISION, Tool};

/// The first id of a request, and the number of ids of each client of a session.
const IDS: i64 = 1_000_000;

/// A session and where its server is.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) endpoint: Endpoint,
    pub(crate) path: &'static str,
    /// Prefix of tool names.
    prefix: &'static str,
    /// Session id, if the server has sessions.
    pub(crate) id: Option<String>,
    /// The id of the next request.
    next: i64,
    /// Reused buffers.
    request: Vec<u8>,
    body: String,
}

impl Session {
    /// Creates a session over a new connection.
    pub(crate) async fn create(endpoint: impl Into<Endpoint>, path: &'static str) -> Result<Self> {
        let endpoint = endpoint.into();
        let mut client = Client::connect(endpoint.clone()).await?;
        Self::create_on(&mut client, endpoint, path).await
    }

    /// Creates a session over a connection.
    pub(crate) async fn create_on(
        client: &mut Client,
        endpoint: impl Into<Endpoint>,
        path: &'static str,
    ) -> Result<Self> {
        let (request, body) = (Vec::new(), message::initialize());
        // All ids from here on have the same length.
        let mut session = Self {
            endpoint: endpoint.into(),
            path,
            prefix: "",
            id: None,
            next: IDS,
            request,
            body,
        };
        session.write_post();
        let (status, response) = client.exchange(&session.request).await?;
        ensure!(status == 200, "{}", String::from_utf8_lossy(response));
        session.id = header(response, "mcp-session-id");
        message::initialized().clone_into(&mut session.body);
        session.write_post();
        let (status, response) = client.exchange(&session.request).await?;
        ensure!(status / 100 == 2, "{}", String::from_utf8_lossy(response));
        Ok(session)
    }

    /// Sets a prefix of all tool names.
    pub(crate) fn with_prefix(self, prefix: &'static str) -> Self {
        Self { prefix, ..self }
    }

    /// Returns the session for several clients, whose requests have different ids: at most nine, so that
    /// all ids have the same length.
    pub(crate) fn shared_by(self, clients: i64) -> impl Iterator<Item = Self> {
        (0..clients).map(move |client| Self { next: self.next + client * IDS, ..self.clone() })
    }

    /// Returns a tool name with the prefix.
    pub(crate) fn tool(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Returns the next tool call.
    pub(crate) fn call(&mut self, tool: Tool, text: &str) -> &[u8] {
        self.body.clear();
        message::write_call(self.next, self.prefix, tool, text, &mut self.body);
        self.next += 1;
        self.write_post();
        &self.request
    }

    /// Returns a GET request that opens the standalone stream, or resumes it after an event.
    pub(crate) fn get(&self, last_event_id: Option<&str>) -> Vec<u8> {
        let mut request = Vec::new();
        self.write_head("GET", &mut request);
        if let Some(id) = last_event_id {
            // Writing to a `Vec` does not fail.
            let _ = write!(request, "last-event-id: {id}\r\n");
        }
        request.extend_from_slice(b"\r\n");
        request
    }

    fn write_post(&mut self) {
        let mut request = std::mem::take(&mut self.request);
        request.clear();
        self.write_head("POST", &mut request);
        let length = self.body.len();
        // Writing to a `Vec` does not fail.
        let _ = write!(request, "content-type: application/json\r\ncontent-length: {length}\r\n");
        request.extend_from_slice(b"\r\n");
        request.extend_from_slice(self.body.as_bytes());
        self.request = request;
    }

    fn write_head(&self, method: &str, request: &mut Vec<u8>) {
        let (path, port) = (self.path, self.endpoint.address.port());
        let accept = match method {
            "GET" => "text/event-stream",
            _ => "application/json, text/event-stream",
        };
        // Writing to a `Vec` does not fail.
        let _ = write!(
            request,
            "{method} {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\naccept: {accept}\r\n\
             mcp-protocol-version: {REVISION}\r\n"
        );
        if let Some(id) = &self.id {
            let _ = write!(request, "mcp-session-id: {id}\r\n");
        }
    }
}

/// Returns the id of the first event of a response that has one.
pub(crate) fn event_id(response: &[u8]) -> Result<String> {
    let start = memmem::find(response, b"\nid: ").context("no event id")? + 5;
    let rest = response.get(start..).unwrap_or_default();
    let id = rest.split(|byte| *byte == b'\n').next().unwrap_or_default();
    Ok(String::from_utf8(id.to_vec())?)
}

fn header(response: &[u8], name: &str) -> Option<String> {
    let head = response.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end);
    let lines = head.take_while(|line| !line.is_empty());
    lines.flat_map(std::str::from_utf8).find_map(|line| {
        let (known, value) = line.split_once(':')?;
        known.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
    })
}
