//! Messages of rmcp as the payload of sessions.
#![expect(deprecated, reason = "revisions with sessions have log messages")]

use std::sync::Arc;

use rejoin_core::{EventId, Head, Message, RequestDetails, RequestId};
use rmcp::model::{
    CancelledNotification, CancelledNotificationParam, ClientJsonRpcMessage, ClientRequest,
    ErrorCode, ErrorData, GetMeta as _, JsonRpcMessage, LoggingLevel, LoggingMessageNotification,
    LoggingMessageNotificationParam, ServerJsonRpcMessage, ServerResult,
};

use super::{LocalSessionManagerError, size};
use crate::{
    observer::{ObservedRequest, ResponseFault},
    payload::{Payload, ServerPayload, private::Sealed},
    render,
    rmcp::{head, id},
};

/// The types of rmcp as a payload.
#[derive(Clone, Debug)]
pub(crate) struct RmcpMessages;

/// A message of a service. A clone refers to the same message.
#[derive(Clone, Debug)]
pub(crate) struct ServerMessage {
    pub(super) message: Arc<ServerJsonRpcMessage>,
    /// See [`size::estimate`].
    bytes: usize,
}

impl Sealed for RmcpMessages {}

impl Sealed for ServerMessage {}

impl Payload for RmcpMessages {
    type Client = Box<ClientJsonRpcMessage>;
    type Server = ServerMessage;

    /// The handler ends its session, as with the session manager of rmcp.
    const OUTLIVES_BACKEND: bool = false;

    fn client_name(message: &Box<ClientJsonRpcMessage>) -> Option<String> {
        let JsonRpcMessage::Request(request) = &**message else { return None };
        let ClientRequest::InitializeRequest(initialize) = &request.request else { return None };
        let client = &initialize.params.client_info;
        Some(format!("{} {}", client.name, client.version))
    }

    fn observed(id: &RequestId, message: &Box<ClientJsonRpcMessage>) -> Arc<ObservedRequest> {
        Arc::new(ObservedRequest::new(id.clone(), details(message)))
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the others report no fault")]
    fn response_fault(message: &Message<ServerMessage>) -> Option<ResponseFault> {
        match &*message.body.message {
            JsonRpcMessage::Error(error) => Some(ResponseFault::Error(error.error.code.0.into())),
            JsonRpcMessage::Response(response) => match &response.result {
                ServerResult::CallToolResult(result) if result.is_error == Some(true) => {
                    Some(ResponseFault::ToolError)
                }
                _ => None,
            },
            JsonRpcMessage::Request(_) | JsonRpcMessage::Notification(_) => None,
        }
    }

    fn error_for_client(request: &RequestId, message: &str) -> ServerMessage {
        let error = ErrorData::internal_error(message.to_owned(), None);
        ServerMessage::new(JsonRpcMessage::error(error, Some(id::to_rmcp(request))))
    }

    fn gap_notification(last: EventId, first: u64) -> ServerMessage {
        let data = render::gap_data(last, first);
        let params = LoggingMessageNotificationParam::new(LoggingLevel::Warning, data);
        let params = params.with_logger(render::LOGGER);
        let notification = LoggingMessageNotification::new(params);
        ServerMessage::new(JsonRpcMessage::notification(notification.into()))
    }

    fn error_for_backend(
        request: &RequestId,
        code: i32,
        message: &str,
    ) -> Box<ClientJsonRpcMessage> {
        let error = ErrorData::new(ErrorCode(code), message.to_owned(), None);
        Box::new(JsonRpcMessage::error(error, Some(id::to_rmcp(request))))
    }

    fn cancellation(request: &RequestId) -> Box<ClientJsonRpcMessage> {
        let reason = Some(render::CANCELLATION_REASON.to_owned());
        let params = CancelledNotificationParam::new(Some(id::to_rmcp(request)), reason);
        Box::new(JsonRpcMessage::notification(CancelledNotification::new(params).into()))
    }
}

impl ServerMessage {
    fn new(message: ServerJsonRpcMessage) -> Self {
        Self { bytes: size::estimate(&message), message: Arc::new(message) }
    }
}

impl ServerPayload for ServerMessage {
    fn bytes(&self) -> usize {
        self.bytes
    }

    fn head(&self) -> Option<Head> {
        head::of_server(&self.message).ok()
    }
}

/// Returns the details of a request.
#[expect(clippy::wildcard_enum_match_arm, reason = "the others have no target")]
fn details(message: &ClientJsonRpcMessage) -> RequestDetails {
    let mut details = RequestDetails::default();
    let JsonRpcMessage::Request(message) = message else { return details };
    let request = &message.request;
    details.set_method(request.method());
    match request {
        ClientRequest::CallToolRequest(call) => details.set_target(&call.params.name),
        ClientRequest::GetPromptRequest(get) => details.set_target(&get.params.name),
        ClientRequest::ReadResourceRequest(read) => details.set_target(&read.params.uri),
        _ => {}
    }
    let meta = request.get_meta();
    let text = |name: &str| meta.get(name).and_then(serde_json::Value::as_str);
    if let Some(traceparent) = text("traceparent") {
        details.set_traceparent(traceparent);
    }
    if let Some(tracestate) = text("tracestate") {
        details.set_tracestate(tracestate);
    }
    details
}

/// Returns a message of a client with its head.
pub(super) fn client_message(
    message: ClientJsonRpcMessage,
) -> Result<Message<Box<ClientJsonRpcMessage>>, LocalSessionManagerError> {
    let head = head::of_client(&message)
        .map_err(|error| LocalSessionManagerError::Message(error.to_string()))?;
    // Its size is limited by the HTTP service, and a session does not keep it.
    Ok(Message { head, body: Box::new(message), bytes: 0 })
}

/// Returns a message of a service with its head.
pub(super) fn server_message(head: Head, message: ServerJsonRpcMessage) -> Message<ServerMessage> {
    let body = ServerMessage::new(message);
    Message { head, bytes: body.bytes, body }
}

/// Returns an error response with its head.
pub(super) fn error_response(request: RequestId, message: &str) -> Message<ServerMessage> {
    let body = RmcpMessages::error_for_client(&request, message);
    Message { head: Head::Error { id: Some(request) }, bytes: body.bytes, body }
}
