//! The requests of the client that a message of a service answers, or belongs to.

use rejoin_core::RequestId;
use rmcp::{
    model::{Extensions, GetExtensions, JsonRpcMessage, ServerJsonRpcMessage},
    service::OriginatingRequestId,
};

use super::id;

/// Returns the request that a message answers.
pub(super) fn answered_request(message: &ServerJsonRpcMessage) -> Option<RequestId> {
    match message {
        JsonRpcMessage::Response(response) => id::from_rmcp(&response.id),
        JsonRpcMessage::Error(error) => id::from_rmcp(error.id.as_ref()?),
        JsonRpcMessage::Request(_) | JsonRpcMessage::Notification(_) => None,
    }
}

/// Returns the request of the client that a message of the service belongs to.
pub(super) fn related_request(message: &ServerJsonRpcMessage) -> Option<RequestId> {
    match message {
        JsonRpcMessage::Request(request) => origin(request.request.extensions()),
        JsonRpcMessage::Notification(notification) => {
            origin(notification.notification.extensions())
        }
        JsonRpcMessage::Response(_) | JsonRpcMessage::Error(_) => None,
    }
}

fn origin(extensions: &Extensions) -> Option<RequestId> {
    let OriginatingRequestId(id) = extensions.get()?;
    id::from_rmcp(id)
}
