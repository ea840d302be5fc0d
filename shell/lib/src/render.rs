//! JSON-RPC messages that the session layer itself sends.

use std::borrow::Cow;

use bytes::Bytes;
use rejoin_core::{
    EventId, FailureReason, IdValue, RequestId, SessionCloseReason, UnansweredReason,
};
use serde_json::{Value, json};

/// The JSON-RPC code of an internal error.
///
/// Specification: JSON-RPC 2.0, section 5.1, "Internal error".
pub(crate) const INTERNAL_ERROR: i32 = -32_603;

/// The logger of log messages of a session itself.
pub(crate) const LOGGER: &str = "rejoin";

/// Why a session cancels a request at the backend.
pub(crate) const CANCELLATION_REASON: &str = "the response is no longer needed";

/// Returns the message of the error that a client gets in place of a response. It includes why
/// the session was closed, or why the backend exited, where that is known.
pub(crate) fn failure(
    reason: FailureReason,
    close_reason: Option<SessionCloseReason>,
    exit_reason: Option<&str>,
) -> Cow<'static, str> {
    match reason {
        FailureReason::Evicted => "the response was too large to be retained".into(),
        FailureReason::Expired => "the response was retained, but has expired".into(),
        FailureReason::Orphaned => {
            "the request was cancelled: its client was disconnected for too long".into()
        }
        FailureReason::BackendGone => match exit_reason {
            Some(reason) => format!("the server is no longer available: {reason}").into(),
            None => "the server is no longer available".into(),
        },
        FailureReason::SessionClosed => match close_reason {
            Some(reason) => reason.to_string().into(),
            None => "the session was closed".into(),
        },
    }
}

/// Returns the message of the error that a backend gets for a request to the client that was not
/// answered.
pub(crate) fn unanswered(reason: UnansweredReason) -> &'static str {
    match reason {
        UnansweredReason::Undelivered => "no client was connected to receive the request",
        UnansweredReason::Evicted => "the request was evicted before a client received it",
        UnansweredReason::TimedOut => "the client did not answer the request in time",
        UnansweredReason::Cancelled => "the client request that it belongs to was cancelled",
    }
}

/// Returns the notification that cancels a request of the client at the backend.
pub(crate) fn cancellation(id: &RequestId) -> Bytes {
    let params = json!({ "requestId": id_value(id), "reason": CANCELLATION_REASON });
    bytes(&json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": params }))
}

/// Returns the log message that reports a gap to a client.
pub(crate) fn gap_notification(last: EventId, first: u64) -> Bytes {
    let data = gap_data(last, first);
    let params = json!({ "level": "warning", "logger": LOGGER, "data": data });
    bytes(&json!({ "jsonrpc": "2.0", "method": "notifications/message", "params": params }))
}

/// Returns the log message that tells a client that its server was started anew.
#[cfg(feature = "store")]
pub(crate) fn reopened_notification() -> Bytes {
    let data = json!({
        "message": "the server was started again: what it had in memory is lost",
    });
    let params = json!({ "level": "warning", "logger": LOGGER, "data": data });
    bytes(&json!({ "jsonrpc": "2.0", "method": "notifications/message", "params": params }))
}

/// Returns the data of the log message that reports a gap.
pub(crate) fn gap_data(EventId { stream, index: last }: EventId, first: u64) -> Value {
    json!({
        "message": "events are missing from this stream",
        "stream": stream.to_string(),
        "first": first,
        "last": last,
    })
}

/// Returns a JSON-RPC error, without an id where that could not be read.
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
    use rejoin_core::{Head, Notification, Parsed, StreamId};

    use super::*;

    #[test]
    fn a_failure_has_the_id_of_its_request_and_a_reason() {
        let id = RequestId::try_from("a\"b").unwrap();
        for (reason, close_reason, exit_reason, message) in [
            (FailureReason::BackendGone, None, None, "the server is no longer available"),
            (
                FailureReason::BackendGone,
                None,
                Some("x\"y"),
                "the server is no longer available: x\"y",
            ),
            (FailureReason::SessionClosed, None, None, "the session was closed"),
            (
                FailureReason::SessionClosed,
                Some(SessionCloseReason::InitializeTimeout),
                None,
                "the server did not answer `initialize` in time",
            ),
        ] {
            let text = failure(reason, close_reason, exit_reason);
            let failure = error(Some(&id), INTERNAL_ERROR, &text);
            let value: Value = serde_json::from_slice(&failure).unwrap();
            assert_eq!(value["id"], "a\"b");
            assert_eq!(value["error"]["code"], -32_603);
            assert_eq!(value["error"]["message"], message);
        }
    }

    #[test]
    fn a_session_can_parse_every_rendered_message() {
        let id = RequestId::from(7);
        for (text, head) in [
            (error(Some(&id), INTERNAL_ERROR, "a"), Head::Error { id: Some(id.clone()) }),
            (
                cancellation(&id),
                Head::Notification(Notification::Cancelled { request: id.clone() }),
            ),
            (
                gap_notification(EventId::new(StreamId::Request(1), 9), 3),
                Head::Notification(Notification::Log),
            ),
            (error(None, -32_700, "not JSON"), Head::Error { id: None }),
        ] {
            assert_eq!(rejoin_core::parse_head(&text, 1), Ok(Parsed::Single(head)), "{text:?}");
        }
    }

    #[test]
    fn a_gap_has_its_first_and_last_event() {
        let id = EventId::new(StreamId::Request(1), 9);
        let gap: Value = serde_json::from_slice(&gap_notification(id, 3)).unwrap();
        let data = &gap["params"]["data"];
        assert_eq!((&data["first"], &data["last"]), (&json!(3), &json!(9)));
    }
}
