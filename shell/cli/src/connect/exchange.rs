//! Exchanges: HTTP requests and what they are answered with, each in a task.

use std::{error::Error as _, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use rejoin::{
    parse_message,
    rejoin_core::{
        Head, Message,
        client::{
            Event, ExchangeFailure, ExchangeId, Input, Response, SessionHeaders, announced_lists,
        },
    },
};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::mpsc::Sender;

use super::{
    BATCH_MAX, MESSAGE_BYTES_MAX, connection,
    credentials::Credentials,
    http_client::HttpClient,
    sse::{Parser, SseEvent},
};

/// Maximum size in bytes of the body of a response that is an error.
const ERROR_BYTES_MAX: usize = 64 << 10;

/// How long the body of a response that is an error is awaited.
const ERROR_TIMEOUT: Duration = Duration::from_secs(5);

/// What all exchanges need.
#[derive(Clone)]
pub(super) struct Exchanges {
    pub(super) client: HttpClient,
    pub(super) url: Uri,
    pub(super) credentials: Credentials,
    /// Takes what has happened; full while the application does not read.
    pub(super) inputs: Sender<Input<Bytes>>,
}

/// An HTTP request of the client machine.
#[derive(Debug)]
pub(super) enum HttpRequest {
    Post(Bytes),
    Get { last_event_id: Option<Box<str>> },
    Delete,
}

impl Exchanges {
    /// Runs an exchange to its end.
    pub(super) async fn run(
        self,
        exchange: ExchangeId,
        session: SessionHeaders,
        request: HttpRequest,
    ) {
        let mut request = self.request(&session, request);
        let token = self.credentials.add_to(request.headers_mut());
        match self.client.request(request).await {
            Ok(response) if response.status().is_success() => {
                self.receive(exchange, response).await;
            }
            Ok(response) => self.refuse(exchange, response, token, session.id.is_some()).await,
            Err(error) => {
                let failure = connection::failure(&error);
                let was_sent = failure == ExchangeFailure::ConnectionLost;
                let cause = error.source().map(ToString::to_string).unwrap_or_default();
                tracing::warn!(was_sent, "an HTTP request failed: {error}: {cause}");
                self.report(Input::Failed { exchange, failure }).await;
            }
        }
    }

    fn request(&self, session: &SessionHeaders, request: HttpRequest) -> Request<Full<Bytes>> {
        let mut headers = HeaderMap::new();
        let mut insert = |name: &'static str, value: &str| {
            // The machine has checked ids of the server, and versions are dates.
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        };
        if let Some(id) = &session.id {
            insert("mcp-session-id", id);
        }
        if let Some(version) = session.version {
            insert("mcp-protocol-version", version.as_str());
        }
        insert("user-agent", concat!("rejoin/", env!("CARGO_PKG_VERSION")));
        let (method, body) = match request {
            HttpRequest::Post(body) => {
                insert("accept", "application/json, text/event-stream");
                insert("content-type", "application/json");
                (Method::POST, body)
            }
            HttpRequest::Get { last_event_id } => {
                insert("accept", "text/event-stream");
                if let Some(id) = last_event_id {
                    insert("last-event-id", &id);
                }
                (Method::GET, Bytes::new())
            }
            HttpRequest::Delete => (Method::DELETE, Bytes::new()),
        };
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = self.url.clone();
        *request.headers_mut() = headers;
        request
    }

    /// Reports a response, and then its body.
    async fn receive(&self, exchange: ExchangeId, response: hyper::Response<Incoming>) {
        let content_type = media_type(response.headers());
        let mut head = Response::new(response.status().as_u16());
        let session_id = response.headers().get("mcp-session-id");
        head.session_id = session_id.map(|id| String::from_utf8_lossy(id.as_bytes()).into());
        self.report(Input::Response { exchange, response: head }).await;
        let body = response.into_body();
        match content_type.as_str() {
            "text/event-stream" => self.read_events(exchange, body).await,
            "application/json" => self.read_json(exchange, body).await,
            // The connection can be used again after the end of a short body.
            other => {
                if matches!(read(body, ERROR_BYTES_MAX).await, Ok(Some(text)) if !text.is_empty()) {
                    tracing::warn!("a response has the type `{other}` instead of JSON or events");
                }
            }
        }
        self.report(Input::Ended { exchange }).await;
    }

    async fn read_events(&self, exchange: ExchangeId, mut body: Incoming) {
        let mut parser = Parser::new(MESSAGE_BYTES_MAX);
        while let Some(Ok(frame)) = body.frame().await {
            let Ok(data) = frame.into_data() else { continue };
            let mut rest = &data[..];
            while let Some(event) = parser.next(&mut rest) {
                self.report(Input::Event { exchange, event: parse_event(event) }).await;
            }
        }
    }

    async fn read_json(&self, exchange: ExchangeId, body: Incoming) {
        let event = match read(body, MESSAGE_BYTES_MAX).await {
            Ok(Some(data)) => parse_event(SseEvent { data, ..SseEvent::default() }),
            Ok(None) => {
                let mut event = Event::default();
                event.is_too_large = true;
                event
            }
            Err(error) => {
                tracing::warn!("a response was cut: {error}");
                return;
            }
        };
        self.report(Input::Event { exchange, event }).await;
    }

    /// Reports a response that is an error.
    async fn refuse(
        &self,
        exchange: ExchangeId,
        response: hyper::Response<Incoming>,
        token: Option<HeaderValue>,
        has_session: bool,
    ) {
        let status = response.status();
        let mut head = Response::new(status.as_u16());
        head.retry_after = retry_after(response.headers());
        if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            head.credentials_changed = self.credentials.reload(token.as_ref()).await;
        }
        let body = read(response.into_body(), ERROR_BYTES_MAX);
        if let Ok(Ok(Some(body))) = tokio::time::timeout(ERROR_TIMEOUT, body).await {
            if status == StatusCode::BAD_REQUEST && has_session && says_unknown_session(&body) {
                head.status = StatusCode::NOT_FOUND.as_u16();
            }
            head.error = parse_error(body);
        }
        self.report(Input::Response { exchange, response: head }).await;
    }

    async fn report(&self, input: Input<Bytes>) {
        // Nobody receives it if the program exits.
        let _ = self.inputs.send(input).await;
    }
}

/// Reads a body; `None` if it is larger than `bytes_max`.
async fn read(mut body: Incoming, bytes_max: usize) -> hyper::Result<Option<Bytes>> {
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            if bytes.len() + data.len() > bytes_max {
                return Ok(None);
            }
            bytes.extend_from_slice(&data);
        }
    }
    Ok(Some(bytes.freeze()))
}

/// Parses the messages of an event. Data that is not a message is dropped.
fn parse_event(event: SseEvent) -> Event<Bytes> {
    let mut parsed = Event::default();
    parsed.id = event.id.map(Into::into);
    parsed.retry = event.retry;
    parsed.is_too_large = event.is_too_large;
    if event.data.iter().all(u8::is_ascii_whitespace) {
        return parsed;
    }
    match parse_message(event.data, BATCH_MAX) {
        Ok(post) => {
            for Message { head, body, bytes } in post.messages() {
                let body = body.clone().into_bytes();
                if let Head::Response { initialized, .. } = head
                    && initialized.version.is_some()
                {
                    parsed.lists = announced_lists(&body);
                }
                parsed.messages.push(Message { head: head.clone(), body, bytes: *bytes });
            }
        }
        Err(error) => tracing::warn!("the server sent something that is not a message: {error}"),
    }
    parsed
}

/// Parses the JSON-RPC error in a body, and writes it to the log.
fn parse_error(body: Bytes) -> Option<Message<Bytes>> {
    let post = parse_message(body, 0).ok()?;
    let Message { head, body, bytes } = post.messages().first()?;
    if !matches!(head, Head::Error { .. }) {
        return None;
    }
    let body = body.clone().into_bytes();
    tracing::warn!("the server says: {}", String::from_utf8_lossy(&body));
    Some(Message { head: head.clone(), body, bytes: *bytes })
}

/// Returns whether the body of a 400 says that the server does not know the session, for which it
/// should send 404. Servers that follow the examples of the TypeScript SDK do this.
fn says_unknown_session(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Body {
        error: Error,
        id: Option<Value>,
    }
    #[derive(Deserialize)]
    struct Error {
        message: String,
    }
    let Ok(Body { error, id }) = serde_json::from_slice(body) else { return false };
    let message = error.message.to_ascii_lowercase();
    let phrases = ["session id", "session not found", "invalid session", "unknown session"];
    id.is_none() && phrases.iter().any(|phrase| message.contains(phrase))
}

/// Returns the media type, without parameters and in lower case.
fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = value.and_then(|value| value.split(';').next()).unwrap_or_default();
    kind.trim().to_ascii_lowercase()
}

/// Returns the delay of `Retry-After`, if it is a number of seconds.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(header::RETRY_AFTER)?.to_str().ok()?;
    value.trim().parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_parsed_to_messages() {
        let event = |data: &'static str| {
            parse_event(SseEvent {
                data: Bytes::from_static(data.as_bytes()),
                ..SseEvent::default()
            })
        };
        let one = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;
        let batch: &str = r#"[{"jsonrpc":"2.0","method":"a"},{"jsonrpc":"2.0","method":"b"}]"#;
        assert_eq!(event(one).messages.len(), 1);
        assert_eq!(event(batch).messages.len(), 2);
        assert_eq!(event(" \n").messages.len(), 0);
        assert_eq!(event("not a message").messages.len(), 0);
        let body = &event("{\"jsonrpc\":\"2.0\",\n\"id\":1,\"result\":{}}").messages[0].body;
        assert!(!body.contains(&b'\n'), "a message is one line");
    }

    #[test]
    fn error_about_the_session_is_recognized() {
        let says = |text: &str| says_unknown_session(text.as_bytes());
        let message = "Bad Request: No valid session ID provided";
        let error = format!(r#"{{"code":-32000,"message":"{message}"}}"#);
        assert!(says(&format!(r#"{{"jsonrpc":"2.0","error":{error},"id":null}}"#)));
        assert!(says(&format!(r#"{{"jsonrpc":"2.0","error":{error}}}"#)));
        assert!(!says(&format!(r#"{{"jsonrpc":"2.0","error":{error},"id":7}}"#)));
        assert!(!says(r#"{"error":{"code":-32000,"message":"this session has no stream 7"}}"#));
        assert!(!says("No valid session ID provided"));
    }

    #[test]
    fn headers_are_parsed() {
        let mut headers = HeaderMap::new();
        assert_eq!((media_type(&headers), retry_after(&headers)), (String::new(), None));
        headers.insert(header::CONTENT_TYPE, "Text/Event-Stream; charset=utf-8".parse().unwrap());
        headers.insert(header::RETRY_AFTER, "7".parse().unwrap());
        assert_eq!(media_type(&headers), "text/event-stream");
        assert_eq!(retry_after(&headers), Some(Duration::from_secs(7)));
        headers.insert(header::RETRY_AFTER, "Wed, 21 Oct 2026 07:28:00 GMT".parse().unwrap());
        assert_eq!(retry_after(&headers), None);
    }
}
