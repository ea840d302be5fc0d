//! What a child says to rejoin itself, if it knows rejoin.

use std::{borrow::Cow, time::Duration};

use memchr::memmem;
use rejoin_core::RequestId;
use serde::Deserialize;
use serde_json::value::RawValue;

/// What is in every message that is meant for rejoin.
const MARK: &[u8] = b"rejoin";

const CLOSE_STREAM: &str = "notifications/rejoin/close_stream";

/// What a line of a child is.
#[derive(Debug)]
pub(super) enum Said {
    /// A message to the client.
    Message {
        /// The client's request that it belongs to, where the child says so.
        related: Option<RequestId>,
    },
    /// The connection of a request is to be closed, so that its client polls.
    CloseStream(CloseStream),
    /// It is meant for rejoin, and cannot be read.
    Unreadable(serde_json::Error),
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CloseStream {
    #[serde(rename = "requestId")]
    pub(super) request: RequestId,
    /// When the client is to come back, in milliseconds.
    retry_ms: Option<u64>,
}

impl CloseStream {
    pub(super) fn retry(&self) -> Option<Duration> {
        self.retry_ms.map(Duration::from_millis)
    }
}

#[derive(Deserialize)]
struct Request<'a> {
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
pub(super) fn read(line: &[u8]) -> Said {
    let plain = Said::Message { related: None };
    if memmem::find(line, MARK).is_none() {
        return plain;
    }
    // Whatever is no request or notification is not meant for rejoin.
    let Ok(Request { method, params: Some(params) }) = serde_json::from_slice(line) else {
        return plain;
    };
    if method == CLOSE_STREAM {
        return match serde_json::from_str(params.get()) {
            Ok(close) => Said::CloseStream(close),
            Err(error) => Said::Unreadable(error),
        };
    }
    if memmem::find(params.get().as_bytes(), MARK).is_none() {
        return plain;
    }
    match serde_json::from_str(params.get()) {
        Ok(Params { meta }) => Said::Message { related: meta.and_then(|meta| meta.related) },
        Err(_) => plain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn related(line: &str) -> Option<RequestId> {
        let Said::Message { related } = read(line.as_bytes()) else { panic!("{line}") };
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
            format!(r#"{{"jsonrpc":"2.0","method":"{CLOSE_STREAM}","params":{params}}}"#)
        };
        let Said::CloseStream(close) = read(line(r#"{"requestId":3,"retryMs":500}"#).as_bytes())
        else {
            panic!()
        };
        assert_eq!(close.request, RequestId::from(3));
        assert_eq!(close.retry(), Some(Duration::from_millis(500)));
        assert!(matches!(read(line(r#"{"requestId":"x"}"#).as_bytes()), Said::CloseStream(_)));
        assert!(matches!(read(line("{}").as_bytes()), Said::Unreadable(_)));
    }
}
