//! Heads of messages, derived from their types where these show them, without parsing JSON.

use rejoin_core::{
    Head, Initialized, Method, Notification, ParseError, Parsed, ProgressToken, ProtocolVersion,
    parse_head,
};
use rmcp::model::{
    self, ClientJsonRpcMessage, ClientNotification, ClientRequest, ClientResult, GetMeta as _,
    JsonRpcMessage, NumberOrString, ServerJsonRpcMessage, ServerNotification, ServerResult,
};
use serde::Serialize;
use thiserror::Error;

use super::id;

/// Why a message has no head.
#[derive(Debug, Error)]
pub(super) enum HeadError {
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    #[error(transparent)]
    Parse(#[from] ParseError),
}

/// Returns the head of a message of a client.
pub(super) fn of_client(message: &ClientJsonRpcMessage) -> Result<Head, HeadError> {
    client_from_type(message).map_or_else(|| serialized(message), Ok)
}

/// Returns the head of a message of a service.
pub(super) fn of_server(message: &ServerJsonRpcMessage) -> Result<Head, HeadError> {
    server_from_type(message).map_or_else(|| serialized(message), Ok)
}

/// Returns the head of a message of a service, or `None` if its JSON has to be parsed.
#[expect(clippy::wildcard_enum_match_arm, reason = "a session does not distinguish the others")]
pub(super) fn server_from_type(message: &ServerJsonRpcMessage) -> Option<Head> {
    match message {
        JsonRpcMessage::Response(message) => match &message.result {
            ServerResult::InitializeResult(result) => {
                let logging = result.capabilities.logging.is_some();
                let version = version(&result.protocol_version);
                response(&message.id, Initialized { version, logging })
            }
            // It may create a task.
            ServerResult::CreateTaskResult(_) | ServerResult::CustomResult(_) => None,
            _ => response(&message.id, Initialized::default()),
        },
        JsonRpcMessage::Error(message) => error(message.id.as_ref()),
        JsonRpcMessage::Notification(message) => match &message.notification {
            ServerNotification::ProgressNotification(progress) => progress_from(progress),
            ServerNotification::CancelledNotification(cancelled) => cancellation_from(cancelled),
            ServerNotification::LoggingMessageNotification(_) => {
                Some(Head::Notification(Notification::Log))
            }
            ServerNotification::CustomNotification(_) => None,
            _ => Some(Head::Notification(Notification::Other)),
        },
        JsonRpcMessage::Request(_) => None,
    }
}

/// Returns the head of a message of a client, or `None` if its JSON has to be parsed.
#[expect(clippy::wildcard_enum_match_arm, reason = "a session does not distinguish the others")]
fn client_from_type(message: &ClientJsonRpcMessage) -> Option<Head> {
    match message {
        JsonRpcMessage::Request(message) => {
            let method = match &message.request {
                ClientRequest::PingRequest(_) => Method::Ping,
                ClientRequest::InitializeRequest(initialize) => {
                    Method::Initialize { version: version(&initialize.params.protocol_version) }
                }
                // Of any method, even `initialize` with invalid parameters.
                ClientRequest::CustomRequest(_) => return None,
                _ => Method::Other,
            };
            let token = message.request.get_meta().get_progress_token();
            let progress_token = token.and_then(|token| progress_token(&token));
            Some(Head::Request { id: id::from_rmcp(&message.id)?, method, progress_token })
        }
        JsonRpcMessage::Notification(message) => match &message.notification {
            ClientNotification::ProgressNotification(progress) => progress_from(progress),
            ClientNotification::CancelledNotification(cancelled) => cancellation_from(cancelled),
            ClientNotification::CustomNotification(_) => None,
            _ => Some(Head::Notification(Notification::Other)),
        },
        JsonRpcMessage::Response(message) => match &message.result {
            ClientResult::CustomResult(_) => None,
            _ => response(&message.id, Initialized::default()),
        },
        JsonRpcMessage::Error(message) => error(message.id.as_ref()),
    }
}

/// Returns the head of a message by its JSON.
fn serialized(message: &impl Serialize) -> Result<Head, HeadError> {
    match parse_head(&serde_json::to_vec(message)?, 0)? {
        Parsed::Single(head) => Ok(head),
        Parsed::Batch(_) => Err(ParseError::BatchTooLong { max: 0 }.into()),
    }
}

fn response(request: &NumberOrString, initialized: Initialized) -> Option<Head> {
    Some(Head::Response { id: id::from_rmcp(request)?, initialized, creates_task: false })
}

fn error(request: Option<&NumberOrString>) -> Option<Head> {
    Some(Head::Error { id: Some(id::from_rmcp(request?)?) })
}

fn progress_from(progress: &model::ProgressNotification) -> Option<Head> {
    let token = progress_token(&progress.params.progress_token)?;
    Some(Head::Notification(Notification::Progress { token }))
}

fn cancellation_from(cancelled: &model::CancelledNotification) -> Option<Head> {
    let request = id::from_rmcp(cancelled.params.request_id.as_ref()?)?;
    Some(Head::Notification(Notification::Cancelled { request }))
}

fn version(version: &model::ProtocolVersion) -> Option<ProtocolVersion> {
    ProtocolVersion::new(version.as_str())
}

fn progress_token(model::ProgressToken(token): &model::ProgressToken) -> Option<ProgressToken> {
    match token {
        NumberOrString::Number(number) => Some(ProgressToken::from(*number)),
        NumberOrString::String(text) => ProgressToken::try_from(&**text).ok(),
    }
}

#[cfg(test)]
mod tests {
    use serde::de::DeserializeOwned;
    use serde_json::{Value, json};

    use super::*;

    /// Parses a message as rmcp does, and its head from the JSON of that.
    fn parsed<M: DeserializeOwned + Serialize>(message: &Value) -> (M, Head) {
        let message: M = serde_json::from_value(message.clone()).unwrap();
        let head = serialized(&message).unwrap();
        (message, head)
    }

    fn request(method: &str, params: &Value) -> Value {
        json!({ "jsonrpc": "2.0", "id": "é", "method": method, "params": params })
    }

    fn notification(method: &str, params: &Value) -> Value {
        json!({ "jsonrpc": "2.0", "method": method, "params": params })
    }

    fn response(result: &Value) -> Value {
        json!({ "jsonrpc": "2.0", "id": -7, "result": result })
    }

    fn error() -> Value {
        json!({ "jsonrpc": "2.0", "id": "a", "error": { "code": 1, "message": "b" } })
    }

    fn initialize() -> Value {
        json!({
            "protocolVersion": "2025-06-18",
            "capabilities": {},
            "clientInfo": { "name": "a", "version": "b" },
        })
    }

    fn progress() -> Value {
        notification("notifications/progress", &json!({ "progressToken": "a", "progress": 1.0 }))
    }

    fn cancelled() -> Value {
        notification("notifications/cancelled", &json!({ "requestId": 5, "reason": "a" }))
    }

    #[test]
    fn head_of_a_client_message_equals_the_parsed_head() {
        let meta = json!({ "name": "a", "_meta": { "progressToken": 5, "b": [1] } });
        for message in [
            request("tools/call", &json!({ "name": "a" })),
            request("tools/call", &meta),
            request("prompts/get", &json!({ "name": "a", "_meta": { "progressToken": "b" } })),
            request("ping", &json!({})),
            request("initialize", &initialize()),
            progress(),
            cancelled(),
            notification("notifications/initialized", &json!({})),
            response(&json!({ "roots": [] })),
            response(&json!({})),
            error(),
        ] {
            let (typed, head) = parsed::<ClientJsonRpcMessage>(&message);
            assert_eq!(client_from_type(&typed), Some(head), "{message}");
        }
    }

    #[test]
    fn head_of_a_service_message_equals_the_parsed_head() {
        let initialized = |capabilities| {
            let server = json!({ "name": "a", "version": "b" });
            response(&json!({
                "protocolVersion": "2025-06-18", "capabilities": capabilities, "serverInfo": server,
            }))
        };
        for message in [
            response(&json!({ "content": [{ "type": "text", "text": "a" }] })),
            response(&json!({})),
            initialized(json!({})),
            initialized(json!({ "logging": {} })),
            error(),
            progress(),
            cancelled(),
            notification("notifications/message", &json!({ "level": "info", "data": 1 })),
            notification("notifications/tools/list_changed", &json!({})),
        ] {
            let (typed, head) = parsed::<ServerJsonRpcMessage>(&message);
            assert_eq!(server_from_type(&typed), Some(head), "{message}");
        }
    }

    #[test]
    fn messages_whose_type_is_not_sufficient_are_parsed() {
        for message in [
            request("initialize", &json!({ "protocolVersion": "2025-06-18" })),
            request("ping/other", &json!({})),
            notification("notifications/message", &json!({ "level": "info", "data": 1 })),
            response(&json!({ "task": { "taskId": "a" } })),
        ] {
            let (typed, head) = parsed::<ClientJsonRpcMessage>(&message);
            assert_eq!(client_from_type(&typed), None, "{message}");
            assert_eq!(of_client(&typed).unwrap(), head);
        }
        for message in [
            request("roots/list", &json!({})),
            request("ping", &json!({ "_meta": { "progressToken": 1 } })),
            notification("notifications/a", &json!({})),
            response(&json!({ "task": { "taskId": "a" } })),
        ] {
            let (typed, head) = parsed::<ServerJsonRpcMessage>(&message);
            assert_eq!(server_from_type(&typed), None, "{message}");
            assert_eq!(of_server(&typed).unwrap(), head);
        }
    }

    #[test]
    fn an_id_that_is_too_long_is_an_error() {
        let mut message = request("tools/call", &json!({ "name": "a" }));
        message["id"] = "é".repeat(129).into();
        let message = serde_json::from_value(message).unwrap();
        assert!(matches!(of_client(&message), Err(HeadError::Parse(_))));
    }
}
