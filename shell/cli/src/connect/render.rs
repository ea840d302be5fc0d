//! Messages of `rejoin connect` itself, as JSON.

use bytes::Bytes;
use rejoin::rejoin_core::{
    IdValue, ParseError, RequestId,
    client::{CallFailure, Content, Notice},
};
use serde_json::{Value, json};

/// The JSON-RPC code of an internal error.
const INTERNAL_ERROR: i32 = -32_603;

/// The JSON-RPC code of an invalid request.
const INVALID_REQUEST: i32 = -32_600;

/// Returns the error that the application gets in place of a response.
///
/// Its data says whether the server can have executed the request.
pub(super) fn failure(request: &RequestId, failure: &CallFailure) -> Bytes {
    let executed = if failure.may_be_executed() { "unknown" } else { "no" };
    let error = json!({
        "code": INTERNAL_ERROR,
        "message": failure.to_string(),
        "data": { "executed": executed },
    });
    bytes(&json!({ "jsonrpc": "2.0", "id": id_value(request), "error": error }))
}

/// Returns the error for a line that is not a message.
pub(super) fn parse_error(error: &ParseError) -> Bytes {
    let id = error.id().map_or(Value::Null, id_value);
    let error = json!({ "code": error.code(), "message": error.to_string() });
    bytes(&json!({ "jsonrpc": "2.0", "id": id, "error": error }))
}

/// Returns the error for a line that is too long.
pub(super) fn too_long(bytes_max: usize) -> Bytes {
    let message = format!("the message is larger than {bytes_max} bytes");
    let error = json!({ "code": INVALID_REQUEST, "message": message });
    bytes(&json!({ "jsonrpc": "2.0", "id": null, "error": error }))
}

/// Returns the notifications of a notice.
pub(super) fn notice(notice: &Notice) -> Vec<Bytes> {
    match notice {
        Notice::SessionLost => {
            let data = "the session was lost, and a new one begins; requests that were pending \
                        have failed, and what the server knew of the session is gone";
            let params = json!({ "level": "warning", "logger": "rejoin", "data": data });
            vec![notification("notifications/message", Some(params))]
        }
        Notice::ListsChanged(lists) => {
            let lists = [
                (lists.tools, "notifications/tools/list_changed"),
                (lists.resources, "notifications/resources/list_changed"),
                (lists.prompts, "notifications/prompts/list_changed"),
            ];
            let changed = lists.into_iter().filter(|(changed, _)| *changed);
            changed.map(|(_, method)| notification(method, None)).collect()
        }
        Notice::Cancelled { request } => {
            let reason = "the session was lost";
            let params = json!({ "requestId": id_value(request), "reason": reason });
            vec![notification("notifications/cancelled", Some(params))]
        }
    }
}

/// Returns the body of a POST.
pub(super) fn content(content: Content<Bytes>) -> Bytes {
    match content {
        Content::Message(body) => body,
        Content::Initialized => notification("notifications/initialized", None),
        Content::Busy { request } => {
            internal_error(&request, "too many requests to the client have no response")
        }
        Content::Dropped { request } => {
            internal_error(&request, "the response of the client is too large, or too many wait")
        }
    }
}

fn internal_error(request: &RequestId, message: &str) -> Bytes {
    let error = json!({ "code": INTERNAL_ERROR, "message": message });
    bytes(&json!({ "jsonrpc": "2.0", "id": id_value(request), "error": error }))
}

fn notification(method: &str, params: Option<Value>) -> Bytes {
    let mut message = json!({ "jsonrpc": "2.0", "method": method });
    if let (Some(params), Value::Object(message)) = (params, &mut message) {
        message.insert("params".to_owned(), params);
    }
    bytes(&message)
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
    use rejoin::rejoin_core::{Head, Notification, Parsed, client::Lists, parse_head};

    use super::*;

    #[test]
    fn every_message_has_the_head_that_it_should_have() {
        let id = RequestId::try_from("a\"b").unwrap();
        let mut lists = Lists::default();
        (lists.tools, lists.prompts) = (true, true);
        let error = || Head::Error { id: Some(id.clone()) };
        let cancelled = Notification::Cancelled { request: id.clone() };
        let initialized = content(Content::Initialized);
        for (text, head) in [
            (failure(&id, &CallFailure::SessionLost), error()),
            (content(Content::Busy { request: id.clone() }), error()),
            (content(Content::Dropped { request: id.clone() }), error()),
            (notice(&Notice::SessionLost).remove(0), Head::Notification(Notification::Log)),
            (
                notice(&Notice::Cancelled { request: id.clone() }).remove(0),
                Head::Notification(cancelled),
            ),
            (
                notice(&Notice::ListsChanged(lists)).remove(1),
                Head::Notification(Notification::Other),
            ),
            (initialized, Head::Notification(Notification::Other)),
            (too_long(7), Head::Error { id: None }),
        ] {
            assert_eq!(parse_head(&text, 1), Ok(Parsed::Single(head)), "{text:?}");
        }
        assert_eq!(notice(&Notice::ListsChanged(lists)).len(), 2);
    }

    #[test]
    fn a_failure_says_whether_the_request_may_have_been_executed() {
        for (reason, executed) in [
            (CallFailure::SessionLost, "unknown"),
            (CallFailure::Unreachable, "no"),
            (CallFailure::Refused { status: 401 }, "no"),
            (CallFailure::Refused { status: 502 }, "unknown"),
        ] {
            let value: Value = serde_json::from_slice(&failure(&7.into(), &reason)).unwrap();
            assert_eq!(value["error"]["data"]["executed"], executed);
            assert_eq!(value["error"]["message"], reason.to_string());
            assert_eq!(value["id"], 7);
        }
    }
}
