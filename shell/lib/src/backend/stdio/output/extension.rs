//! Extensions of MCP with which a child talks to rejoin itself.

use std::{borrow::Cow, time::Duration};

use memchr::memmem;
use rejoin_core::RequestId;
use serde::Deserialize;
use serde_json::value::RawValue;

/// Text that every message for rejoin contains.
const KEYWORD: &[u8] = b"rejoin";

const DISCONNECT_METHOD: &str = "notifications/rejoin/close_stream";

/// A message of a child, as rejoin handles it.
#[derive(Debug)]
pub(super) enum ChildMessage {
    /// Forward the message to the client.
    Forward {
        /// The client's request that the message belongs to, if the child names one.
        related: Option<RequestId>,
    },
    /// Close the connection of a request, so that its client polls.
    Disconnect(Disconnect),
    /// A message for rejoin that cannot be parsed.
    Invalid(serde_json::Error),
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Disconnect {
    #[serde(rename = "requestId")]
    pub(super) request: RequestId,
    /// After how many milliseconds the client should reconnect.
    retry_ms: Option<u64>,
}

impl Disconnect {
    pub(super) fn retry(&self) -> Option<Duration> {
        self.retry_ms.map(Duration::from_millis)
    }
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    method: Cow<'a, str>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Params {
    #[serde(rename = "_meta")]
    meta: Option<Meta>,
}

#[derive(Deserialize)]
struct Meta {
    #[serde(rename = "rejoin/relatedRequestId")]
    related: Option<RequestId>,
}

/// Parses a message. One that does not contain the word `rejoin` is not parsed at all.
pub(super) fn parse(line: &[u8]) -> ChildMessage {
    let forward = ChildMessage::Forward { related: None };
    if memmem::find(line, KEYWORD).is_none() {
        return forward;
    }
    // Only requests and notifications can be meant for rejoin.
    let Ok(Envelope { method, params: Some(params) }) = serde_json::from_slice(line) else {
        return forward;
    };
    if method == DISCONNECT_METHOD {
        return match serde_json::from_str(params.get()) {
            Ok(close) => ChildMessage::Disconnect(close),
            Err(error) => ChildMessage::Invalid(error),
        };
    }
    if memmem::find(params.get().as_bytes(), KEYWORD).is_none() {
        return forward;
    }
    match serde_json::from_str(params.get()) {
        Ok(Params { meta }) => {
            ChildMessage::Forward { related: meta.and_then(|meta| meta.related) }
        }
        Err(_) => forward,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn related(line: &str) -> Option<RequestId> {
        let ChildMessage::Forward { related } = parse(line.as_bytes()) else { panic!("{line}") };
        related
    }

    #[test]
    fn meta_names_the_related_request() {
        let line = |id: &str| {
            format!(
                r#"{{"jsonrpc":"2.0","id":1,"method":"elicitation/create","params":{{"a":[],"_meta":{{"rejoin\/relatedRequestId":{id}}}}}}}"#
            )
        };
        let escaped = line("7");
        assert_eq!(related(&escaped), Some(7.into()));
        assert_eq!(related(&escaped.replace("\\/", "/")), Some(7.into()));
        assert_eq!(related(&line(r#""x""#)), Some("x".try_into().unwrap()));
        assert_eq!(related(&line("{}")), None);
    }

    #[test]
    fn other_mentions_of_rejoin_are_forwarded() {
        for line in [
            "rejoin",
            r#"{"jsonrpc":"2.0","id":1,"result":{"_meta":{"rejoin/relatedRequestId":1}}}"#,
            r#"{"jsonrpc":"2.0","method":"rejoin"}"#,
            r#"{"jsonrpc":"2.0","method":"m","params":["rejoin"]}"#,
            r#"{"jsonrpc":"2.0","method":"m","params":{"_meta":"rejoin"}}"#,
        ] {
            assert_eq!(related(line), None, "{line}");
        }
    }

    #[test]
    fn close_stream_notification_is_parsed() {
        let line = |params: &str| {
            format!(r#"{{"jsonrpc":"2.0","method":"{DISCONNECT_METHOD}","params":{params}}}"#)
        };
        let ChildMessage::Disconnect(close) =
            parse(line(r#"{"requestId":3,"retryMs":500}"#).as_bytes())
        else {
            panic!()
        };
        assert_eq!(close.request, RequestId::from(3));
        assert_eq!(close.retry(), Some(Duration::from_millis(500)));
        assert!(matches!(
            parse(line(r#"{"requestId":"x"}"#).as_bytes()),
            ChildMessage::Disconnect(_)
        ));
        assert!(matches!(parse(line("{}").as_bytes()), ChildMessage::Invalid(_)));
    }
}
