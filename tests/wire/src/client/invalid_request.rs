//! Invalid HTTP requests, which the server must refuse in any state.

use http::{HeaderMap, HeaderValue, Method};
use rejoin_tests::kit::Rng;
use serde_json::{Value, json};

use super::Client;
use crate::link::LinkPlan;

/// What makes a request invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum InvalidRequest {
    Json,
    EmptyBatch,
    Media,
    Accept,
    Host,
    Origin,
    NoSession,
    Session,
    Version,
    EventId,
    Method,
    SecondInitialize,
}

const INVALID_REQUESTS: [InvalidRequest; 12] = [
    InvalidRequest::Json,
    InvalidRequest::EmptyBatch,
    InvalidRequest::Media,
    InvalidRequest::Accept,
    InvalidRequest::Host,
    InvalidRequest::Origin,
    InvalidRequest::NoSession,
    InvalidRequest::Session,
    InvalidRequest::Version,
    InvalidRequest::EventId,
    InvalidRequest::Method,
    InvalidRequest::SecondInitialize,
];

fn notification() -> Value {
    json!({ "jsonrpc": "2.0", "method": "notifications/wrong" })
}

impl InvalidRequest {
    /// Returns the status with which it is refused.
    const fn status(self) -> u16 {
        match self {
            Self::Json
            | Self::EmptyBatch
            | Self::NoSession
            | Self::Version
            | Self::EventId
            | Self::SecondInitialize => 400,
            Self::Media => 415,
            Self::Accept => 406,
            Self::Host | Self::Origin => 403,
            Self::Session => 404,
            Self::Method => 405,
        }
    }
}

impl InvalidRequest {
    const fn method(self) -> Method {
        match self {
            Self::EventId => Method::GET,
            Self::Method => Method::PUT,
            Self::Json
            | Self::EmptyBatch
            | Self::Media
            | Self::Accept
            | Self::Host
            | Self::Origin
            | Self::NoSession
            | Self::Session
            | Self::Version
            | Self::SecondInitialize => Method::POST,
        }
    }

    fn invalidate(self, headers: &mut HeaderMap) {
        let (name, value) = match self {
            Self::Media => ("content-type", Some("text/plain")),
            Self::Accept => ("accept", Some("text/html")),
            Self::Host => ("host", Some("example.com")),
            Self::Origin => ("origin", Some("http://example.com")),
            Self::Version => ("mcp-protocol-version", Some("1999-01-01")),
            Self::EventId => ("last-event-id", Some("yesterday")),
            Self::Session => ("mcp-session-id", Some("nobody")),
            Self::NoSession => ("mcp-session-id", None),
            Self::Json | Self::EmptyBatch | Self::Method | Self::SecondInitialize => return,
        };
        match value {
            Some(value) => headers.insert(name, HeaderValue::from_static(value)),
            None => headers.remove(name),
        };
    }
}

impl Client {
    /// Sends an invalid request, and checks the response.
    pub(super) async fn send_invalid(self, mut rng: Rng) {
        let Some(invalid) = rng.choose(&INVALID_REQUESTS) else { return };
        let mut request = self.request(invalid.method());
        if let Some(headers) = request.headers_mut() {
            invalid.invalidate(headers);
        }
        let body = match invalid {
            InvalidRequest::Json => "{".to_owned(),
            InvalidRequest::EmptyBatch => "[]".to_owned(),
            InvalidRequest::SecondInitialize => {
                json!({ "jsonrpc": "2.0", "id": -1, "method": "initialize", "params": {} })
                    .to_string()
            }
            // Without a request in the body, `Accept` is not checked.
            InvalidRequest::Accept => {
                json!({ "jsonrpc": "2.0", "id": -1, "method": "ping" }).to_string()
            }
            InvalidRequest::Media
            | InvalidRequest::Host
            | InvalidRequest::Origin
            | InvalidRequest::NoSession
            | InvalidRequest::Session
            | InvalidRequest::Version
            | InvalidRequest::EventId
            | InvalidRequest::Method => notification().to_string(),
        };
        self.session.trace(format!("> invalid request: {invalid:?}"));
        let Ok(exchange) = self.send(LinkPlan::FAULT_FREE, request, body.into()).await else {
            return;
        };
        let status = exchange.status().as_u16();
        // If the session has just ended, `initialize` opens another one.
        if status == 404 || invalid == InvalidRequest::SecondInitialize && status == 200 {
            self.notify(&mut rng, notification()).await;
        }
        // A session that drains checks nothing else of a POST with a request.
        let is_refused = status == 503 && invalid == InvalidRequest::SecondInitialize;
        if status == invalid.status() || is_refused || self.session.is_over() {
            self.simulation.hit("requests: invalid");
        } else {
            self.report_failure(format!(
                "an invalid request ({invalid:?}) was answered by {status}"
            ));
        }
    }
}
