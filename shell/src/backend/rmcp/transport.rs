//! What an rmcp service sends and receives: the messages of one session.

use std::future::Future;

use bytes::Bytes;
use rejoin_core::{Head, RequestId};
use rmcp::{
    ErrorData, RoleServer,
    model::{
        ClientJsonRpcMessage, Extensions, GetExtensions, JsonRpcMessage, ServerJsonRpcMessage,
    },
    service::OriginatingRequestId,
    transport::Transport,
};
use thiserror::Error;

use super::{
    head, id,
    parse::{self, MessageError},
};
use crate::{
    ClientMessages, ClientSender, SendError, backend::client_sender, render,
    session::ReleaseReceiver,
};

/// The session, as its service sees it.
pub(super) struct SessionTransport {
    client: ClientSender,
    messages: ClientMessages,
}

/// Why a message of the service was not taken.
#[derive(Debug, Error)]
pub(super) enum TransportError {
    #[error("the message cannot be written: {0}")]
    Json(#[from] serde_json::Error),
    #[error(transparent)]
    Send(#[from] SendError),
}

impl SessionTransport {
    pub(super) fn new(client: ClientSender, messages: ClientMessages) -> Self {
        Self { client, messages }
    }

    /// Says a message, or in place of an answer that the session does not take, an error.
    fn send_or_report(
        &self,
        message: &ServerJsonRpcMessage,
    ) -> Result<Option<ReleaseReceiver>, TransportError> {
        let error = match self.try_send(message) {
            Ok(held) => return Ok(held),
            // Nobody waits for the answer any more.
            Err(TransportError::Send(SendError::Ended)) if answered_request(message).is_some() => {
                return Ok(None);
            }
            Err(error) => error,
        };
        let session = self.client.session_id().short();
        tracing::warn!(%session, %error, "message of the service was not taken");
        if let Some(id) = answered_request(message) {
            self.send_error(&id, INTERNAL_ERROR, &format!("the answer is not sent: {error}"));
        }
        Err(error)
    }

    fn try_send(
        &self,
        message: &ServerJsonRpcMessage,
    ) -> Result<Option<ReleaseReceiver>, TransportError> {
        let bytes = serde_json::to_vec(message)?;
        let related = related_request(message);
        Ok(match head::from_typed(message) {
            Some(head) => self.client.start_send_with_head(head, bytes.into(), related)?,
            None => self.client.start_send(bytes, related)?,
        })
    }

    /// Tells the client, and does not wait for it.
    fn send_error(&self, id: &RequestId, code: i32, why: &str) {
        let _ = self.client.start_send(render::error(Some(id), code, why), None);
    }

    /// Sees to it that whoever waits for a message that cannot be read waits no longer.
    /// Returns what the service hears in its place.
    fn reject_unreadable(&self, bytes: &Bytes, why: &MessageError) -> Option<ClientJsonRpcMessage> {
        let session = self.client.session_id().short();
        tracing::warn!(%session, %why, "message of the client is not understood");
        match parse::head(bytes)? {
            Head::Request { id, .. } => {
                self.send_error(&id, why.code(), &why.to_string());
                None
            }
            Head::Response { id, .. } | Head::Error { id: Some(id) } => {
                let error =
                    ErrorData::internal_error(format!("of the client's answer: {why}"), None);
                Some(JsonRpcMessage::error(error, Some(id::to_rmcp(&id))))
            }
            Head::Notification(_) | Head::Error { id: None } => None,
        }
    }
}

impl Transport<RoleServer> for SessionTransport {
    type Error = TransportError;

    /// Says it at once, so that messages keep their order; the future only waits.
    fn send(
        &mut self,
        message: ServerJsonRpcMessage,
    ) -> impl Future<Output = Result<(), TransportError>> + Send + 'static {
        let said = self.send_or_report(&message);
        async move {
            client_sender::wait_for_release(said?).await;
            Ok(())
        }
    }

    async fn receive(&mut self) -> Option<ClientJsonRpcMessage> {
        loop {
            let bytes = self.messages.recv().await?;
            let message = match parse::parse(&bytes) {
                Ok(message) => Some(message),
                Err(why) => self.reject_unreadable(&bytes, &why),
            };
            if message.is_some() {
                return message;
            }
        }
    }

    async fn close(&mut self) -> Result<(), TransportError> {
        Ok(())
    }
}

/// Specification: JSON-RPC 2.0, section 5.1.
const INTERNAL_ERROR: i32 = -32_603;

/// Returns the request that a message answers.
fn answered_request(message: &ServerJsonRpcMessage) -> Option<RequestId> {
    match message {
        JsonRpcMessage::Response(response) => id::from_rmcp(&response.id),
        JsonRpcMessage::Error(error) => id::from_rmcp(error.id.as_ref()?),
        JsonRpcMessage::Request(_) | JsonRpcMessage::Notification(_) => None,
    }
}

/// Returns the request of the client that a message of the service belongs to.
fn related_request(message: &ServerJsonRpcMessage) -> Option<RequestId> {
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
