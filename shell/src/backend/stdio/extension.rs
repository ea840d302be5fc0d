//! What a child says to rejoin itself, if it knows rejoin.

use std::{borrow::Cow, time::Duration};

use memchr::memmem;
use rejoin_core::RequestId;
use serde::Deserialize;
use serde_json::value::RawValue;

/// What is in every message that is meant for rejoin.
const KEYWORD: &[u8] = b"rejoin";

const DISCONNECT_METHOD: &str = "notifications/rejoin/close_stream";

/// What a line of a child is.
#[derive(Debug)]
pub(super) enum ChildMessage {
    /// A message to the client.
    Forward {
        /// The client's request that it belongs to, where the child says so.
        related: Option<RequestId>,
    },
    /// The connection of a request is to be closed, so that its client polls.
    Disconnect(Disconnect),
    /// It is meant for rejoin, and cannot be read.
    Invalid(serde_json::Error),
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Disconnect {
    #[serde(rename = "requestId")]
    pub(super) request: RequestId,
    /// When the client is to come back, in milliseconds.
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

/// Reads a line. Nothing is parsed that does not have the word `rejoin` in it.
pub(super) fn parse(line: &[u8]) -> ChildMessage {
    let plain = ChildMessage::Forward { related: None };
    if memmem::find(line, KEYWORD).is_none() {
        return plain;
    }
    // Whatever is no request or notification is not meant for rejoin.
    let Ok(Envelope { method, params: Some(params) }) = serde_json::from_slice(line) else {
        return plain;
    };
    if method == DISCONNECT_METHOD {
        return match serde_json::from_str(params.get()) {
            Ok(close) => ChildMessage::Disconnect(close),
            Err(error) => ChildMessage::Invalid(error),
        };
    }
    if memmem::find(params.get().as_bytes(), KEYWORD).is_none() {
        return plain;
    }
    match serde_json::from_str(params.get()) {
        Ok(Params { meta }) => {
            ChildMessage::Forward { related: meta.and_then(|meta| meta.related) }
        }
        Err(_) => plain,
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
    fn a_message_may_name_the_request_that_it_belongs_to() {
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
    fn what_only_speaks_of_rejoin_is_forwarded() {
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
    fn a_child_may_have_its_client_poll() {
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
