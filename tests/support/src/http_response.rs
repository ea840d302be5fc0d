//! HTTP requests over any byte stream, and their responses.

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    task::JoinHandle,
};

use crate::sse::{Item, Parser};

/// A response whose body is read on demand. Dropping it closes its connection, or its stream of a
/// shared one.
#[derive(Debug)]
pub struct HttpResponse {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The id of the last event that had one.
    pub last_event_id: Option<String>,
    body: Incoming,
    parser: Parser,
    /// `None` if others use the connection, too.
    _connection: Option<AbortOnDrop>,
}

#[derive(Debug)]
struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl HttpResponse {
    /// Sends a request as the only one of its connection, and waits for the head of the response.
    ///
    /// # Errors
    ///
    /// The connection failed, or the head is invalid.
    pub async fn receive(
        connection: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        request: Request<Full<Bytes>>,
    ) -> hyper::Result<Self> {
        let (mut sender, connection) = http1::handshake(TokioIo::new(connection)).await?;
        let connection = AbortOnDrop(tokio::spawn(async move { drop(connection.await) }));
        let response = sender.send_request(request).await?;
        Ok(Self { _connection: Some(connection), ..Self::of_shared(response) })
    }

    /// Returns a response on a connection that others use, too.
    #[must_use]
    pub fn of_shared(response: Response<Incoming>) -> Self {
        let (head, body) = response.into_parts();
        Self {
            status: head.status,
            headers: head.headers,
            last_event_id: None,
            body,
            parser: Parser::default(),
            _connection: None,
        }
    }

    /// Returns whether the body is an event stream.
    #[must_use]
    pub fn is_event_stream(&self) -> bool {
        let kind = self.headers.get(header::CONTENT_TYPE);
        kind.is_some_and(|kind| kind == "text/event-stream")
    }

    /// Waits for more of the body; `None` is its end.
    ///
    /// # Errors
    ///
    /// The connection failed before the end.
    pub async fn chunk(&mut self) -> hyper::Result<Option<Bytes>> {
        while let Some(frame) = self.body.frame().await {
            if let Ok(data) = frame?.into_data() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }

    /// Waits for the next item of an event stream. `None` is the end of the body or of the
    /// connection.
    pub async fn next(&mut self) -> Option<Item> {
        loop {
            if let Some(item) = self.parser.next_item().unwrap() {
                self.last_event_id = item.id().or(self.last_event_id.take());
                return Some(item);
            }
            let bytes = self.chunk().await.ok()??;
            self.parser.push(&bytes);
        }
    }

    /// Waits for the next message.
    pub async fn message(&mut self) -> Option<Item> {
        loop {
            let item = self.next().await?;
            if item.is_message() {
                return Some(item);
            }
        }
    }

    /// Waits for all messages.
    pub async fn messages(&mut self) -> Vec<Item> {
        let mut messages = Vec::new();
        while let Some(message) = self.message().await {
            messages.push(message);
        }
        messages
    }

    /// Waits for the JSON-RPC response, in SSE or JSON. Drops the messages before it.
    pub async fn response(&mut self) -> Value {
        if !self.is_event_stream() {
            return self.json().await;
        }
        loop {
            let item = self.next().await.unwrap();
            if item.is_response() {
                return item.json();
            }
        }
    }

    /// Waits for a body that is one JSON value.
    pub async fn json(&mut self) -> Value {
        serde_json::from_str(&self.text().await).unwrap()
    }

    /// Waits for a body that is text, as far as it comes.
    pub async fn text(&mut self) -> String {
        let mut text = Vec::new();
        while let Ok(Some(chunk)) = self.chunk().await {
            text.extend_from_slice(&chunk);
        }
        String::from_utf8(text).unwrap()
    }
}
