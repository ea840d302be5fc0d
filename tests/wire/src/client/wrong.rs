//! Wrong requests: what the server must refuse, whatever else goes on.

use http::{HeaderMap, HeaderValue, Method};
use rejoin_tests::world::Chance;
use serde_json::{Value, json};

use super::Guest;
use crate::link::Fate;

/// What is wrong with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrong {
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
    Again,
}

const WRONGS: [Wrong; 12] = [
    Wrong::Json,
    Wrong::EmptyBatch,
    Wrong::Media,
    Wrong::Accept,
    Wrong::Host,
    Wrong::Origin,
    Wrong::NoSession,
    Wrong::Session,
    Wrong::Version,
    Wrong::EventId,
    Wrong::Method,
    Wrong::Again,
];

fn note() -> Value {
    json!({ "jsonrpc": "2.0", "method": "notifications/wrong" })
}

impl Wrong {
    /// Returns how it is refused.
    const fn status(self) -> u16 {
        match self {
            Self::Json
            | Self::EmptyBatch
            | Self::NoSession
            | Self::Version
            | Self::EventId
            | Self::Again => 400,
            Self::Media => 415,
            Self::Accept => 406,
            Self::Host | Self::Origin => 403,
            Self::Session => 404,
            Self::Method => 405,
        }
    }
}

impl Wrong {
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
            | Self::Again => Method::POST,
        }
    }

    fn spoil(self, headers: &mut HeaderMap) {
        let (name, value) = match self {
            Self::Media => ("content-type", Some("text/plain")),
            Self::Accept => ("accept", Some("text/html")),
            Self::Host => ("host", Some("example.com")),
            Self::Origin => ("origin", Some("http://example.com")),
            Self::Version => ("mcp-protocol-version", Some("1999-01-01")),
            Self::EventId => ("last-event-id", Some("yesterday")),
            Self::Session => ("mcp-session-id", Some("nobody")),
            Self::NoSession => ("mcp-session-id", None),
            Self::Json | Self::EmptyBatch | Self::Method | Self::Again => return,
        };
        match value {
            Some(value) => headers.insert(name, HeaderValue::from_static(value)),
            None => headers.remove(name),
        };
    }
}

impl Guest {
    /// Sends something that must be refused.
    pub(super) async fn send_wrong(self, mut luck: Chance) {
        let Some(wrong) = luck.pick(&WRONGS) else { return };
        let mut request = self.request(wrong.method());
        if let Some(headers) = request.headers_mut() {
            wrong.spoil(headers);
        }
        let body = match wrong {
            Wrong::Json => "{".to_owned(),
            Wrong::EmptyBatch => "[]".to_owned(),
            Wrong::Again => {
                json!({ "jsonrpc": "2.0", "id": -1, "method": "initialize", "params": {} })
                    .to_string()
            }
            // Nothing must be acceptable where nothing is answered.
            Wrong::Accept => json!({ "jsonrpc": "2.0", "id": -1, "method": "ping" }).to_string(),
            Wrong::Media
            | Wrong::Host
            | Wrong::Origin
            | Wrong::NoSession
            | Wrong::Session
            | Wrong::Version
            | Wrong::EventId
            | Wrong::Method => note().to_string(),
        };
        self.visit.note(format!("> something wrong: {wrong:?}"));
        let Ok(exchange) = self.send(Fate::SOUND, request, body.into()).await else {
            return;
        };
        let status = exchange.status().as_u16();
        // In a session that is over by now, `initialize` begins another one.
        if status == 404 || wrong == Wrong::Again && status == 200 {
            self.tell(&mut luck, note()).await;
        }
        if status == wrong.status() || self.visit.is_over() {
            self.world.count("requests: wrong");
        } else {
            self.blame(format!("a request with a wrong {wrong:?} was answered by {status}"));
        }
    }
}
