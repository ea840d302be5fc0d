//! JSON that the session layer itself has to say.

use std::{borrow::Cow, ops::RangeInclusive};

use bytes::Bytes;
use rejoin_core::{
    CloseReason, Failure, FailureReason, IdValue, RequestId, StreamId, UnansweredReason,
};
use serde_json::{Value, json};

/// The JSON-RPC code of an error on this side of the wire.
///
/// Specification: JSON-RPC 2.0, section 5.1, "Internal error".
pub(crate) const INTERNAL_ERROR: i32 = -32_603;

/// Returns what a client hears in the place of a response. Where that is because its
/// session is `closed`, or because the backend is `gone`, it is said why.
pub(crate) fn failure(failure: &Failure, closed: Option<CloseReason>, gone: Option<&str>) -> Bytes {
    let why: Cow<'_, str> = match failure.reason {
        FailureReason::Evicted => "the response was too large to be kept".into(),
        FailureReason::Expired => "the response was kept for a time, and has expired".into(),
        FailureReason::Orphaned => {
            "nobody was connected for too long, so the request was cancelled".into()
        }
        FailureReason::BackendGone => match gone {
            Some(why) => format!("the server process is gone: {why}").into(),
            None => "the server process is gone".into(),
        },
        FailureReason::SessionClosed => session_closed(closed).into(),
    };
    error(Some(&failure.id), INTERNAL_ERROR, &why)
}

fn session_closed(reason: Option<CloseReason>) -> &'static str {
    match reason {
        Some(CloseReason::InitializeTimeout) => "the server did not answer `initialize` in time",
        Some(CloseReason::Deleted) => "the session was closed: its client deleted it",
        Some(CloseReason::ServerShutdown) => "the session was closed: this server is shutting down",
        Some(CloseReason::InitializeRejected) => {
            "the session was closed: the server rejected `initialize`"
        }
        Some(CloseReason::InitializeUnacknowledged) => {
            "the session was closed: its client left without the answer to `initialize`"
        }
        Some(CloseReason::BackendGone) => "the session was closed: its server is gone",
        Some(CloseReason::Cancelled) => "the session was closed: an internal error",
        Some(CloseReason::ExpectedInitialize) => {
            "the session was closed: its first message was not `initialize`"
        }
        Some(CloseReason::Idle) => "the session was closed: it was idle for too long",
        Some(CloseReason::Exhausted) => "the session was closed: it has no event ids left",
        None => "the session was closed",
    }
}

/// Returns what a backend hears when its request to the client has no answer.
pub(crate) fn server_request_error(id: &RequestId, reason: UnansweredReason) -> Bytes {
    let why = match reason {
        UnansweredReason::Undelivered => "no client was connected to hear the request",
        UnansweredReason::Evicted => "the request was dropped before a client heard it",
        UnansweredReason::TimedOut => "the client did not answer the request in time",
        UnansweredReason::Cancelled => "the call that the request belongs to was cancelled",
    };
    error(Some(id), INTERNAL_ERROR, why)
}

/// Returns what a backend hears when a request of the client is no longer wanted.
pub(crate) fn cancellation(id: &RequestId) -> Bytes {
    let params = json!({ "requestId": id_value(id), "reason": "nobody waits for the response" });
    bytes(&json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": params }))
}

/// Returns the log message that tells a client of a gap.
pub(crate) fn gap_notification(stream: StreamId, missed: &RangeInclusive<u64>) -> Bytes {
    let data = json!({
        "message": "events are missing from this stream",
        "stream": stream.to_string(),
        "first": missed.start(),
        "last": missed.end(),
    });
    let params = json!({ "level": "warning", "logger": "rejoin", "data": data });
    bytes(&json!({ "jsonrpc": "2.0", "method": "notifications/message", "params": params }))
}

/// Returns a JSON-RPC error; without an id it answers what could not be read.
pub(crate) fn error(id: Option<&RequestId>, code: i32, message: &str) -> Bytes {
    let error = json!({ "code": code, "message": message });
    bytes(&json!({ "jsonrpc": "2.0", "id": id.map(id_value), "error": error }))
}

fn id_value(id: &RequestId) -> Value {
    match id.value() {
        IdValue::Integer(integer) => Value::from(*integer),
        IdValue::Text(text) => Value::from(&**text),
    }
}

fn bytes(value: &Value) -> Bytes {
    Bytes::from(value.to_string())
}

#[cfg(test)]
mod tests {
    use rejoin_core::{Head, Notification, Parsed};

    use super::*;

    #[test]
    fn a_failure_answers_the_request_that_it_names_and_says_why() {
        let id = RequestId::try_from("a\"b").unwrap();
        for (reason, closed, gone, message) in [
            (FailureReason::BackendGone, None, None, "the server process is gone"),
            (FailureReason::BackendGone, None, Some("x\"y"), "the server process is gone: x\"y"),
            (FailureReason::SessionClosed, None, None, "the session was closed"),
            (
                FailureReason::SessionClosed,
                Some(CloseReason::InitializeTimeout),
                None,
                "the server did not answer `initialize` in time",
            ),
        ] {
            let failure = super::failure(&Failure { id: id.clone(), reason }, closed, gone);
            let value: Value = serde_json::from_slice(&failure).unwrap();
            assert_eq!(value["id"], "a\"b");
            assert_eq!(value["error"]["code"], -32_603);
            assert_eq!(value["error"]["message"], message);
        }
    }

    #[test]
    fn what_the_shell_says_is_what_a_session_can_read() {
        let id = RequestId::from(7);
        for (text, head) in [
            (
                server_request_error(&id, UnansweredReason::Undelivered),
                Head::Error { id: Some(id.clone()) },
            ),
            (
                cancellation(&id),
                Head::Notification(Notification::Cancelled { request: id.clone() }),
            ),
            (
                gap_notification(StreamId::Request(1), &(3..=9)),
                Head::Notification(Notification::Log),
            ),
            (error(None, -32_700, "no JSON"), Head::Error { id: None }),
        ] {
            assert_eq!(rejoin_core::parse_head(&text, 1), Ok(Parsed::Single(head)), "{text:?}");
        }
    }

    #[test]
    fn a_gap_is_told_from_its_first_event_to_its_last() {
        let gap: Value =
            serde_json::from_slice(&gap_notification(StreamId::Request(1), &(3..=9))).unwrap();
        let data = &gap["params"]["data"];
        assert_eq!((&data["first"], &data["last"]), (&json!(3), &json!(9)));
    }
}
