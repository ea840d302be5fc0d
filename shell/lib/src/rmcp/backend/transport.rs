//! Transport between an rmcp service and its session.

use std::future::Future;

use rejoin_core::{Head, RequestId};
#[cfg(feature = "http")]
use rmcp::model::GetExtensions as _;
use rmcp::{
    ErrorData, RoleServer,
    model::{ClientJsonRpcMessage, JsonRpcMessage, ServerJsonRpcMessage},
    transport::Transport,
};
use thiserror::Error;

use super::parse::{self, MessageError};
#[cfg(feature = "http")]
use crate::ClientMessage;
use crate::rmcp::{
    head, id,
    related::{answered_request, related_request},
};
use crate::{ClientMessages, ClientSender, SendError, Sent, ServerMessage, render};

/// One session as a [`Transport`] of rmcp.
pub(super) struct SessionTransport {
    client: ClientSender,
    messages: ClientMessages,
}

/// Why a message of the service was rejected.
#[derive(Debug, Error)]
pub(super) enum TransportError {
    #[error("cannot serialize the message: {0}")]
    Json(#[from] serde_json::Error),
    #[error(transparent)]
    Send(#[from] SendError),
}

impl SessionTransport {
    pub(super) fn new(client: ClientSender, messages: ClientMessages) -> Self {
        Self { client, messages }
    }

    /// Sends a message. If the session rejects a response, an error is sent in its place.
    fn send_or_report(
        &self,
        message: &ServerJsonRpcMessage,
    ) -> Result<Option<Sent>, TransportError> {
        let error = match self.try_send(message) {
            Ok(sent) => return Ok(Some(sent)),
            // The session has ended, so nothing waits for the response.
            Err(TransportError::Send(SendError::Ended)) if answered_request(message).is_some() => {
                return Ok(None);
            }
            Err(error) => error,
        };
        let session = self.client.session_id().short();
        tracing::warn!(%session, %error, "message of the service was rejected");
        if let Some(id) = answered_request(message) {
            self.send_error(
                &id,
                render::INTERNAL_ERROR,
                &format!("the response was not sent: {error}"),
            );
        }
        Err(error)
    }

    fn try_send(&self, message: &ServerJsonRpcMessage) -> Result<Sent, TransportError> {
        // Without spare capacity, which a session would keep, too.
        let bytes = serde_json::to_vec(message)?.into_boxed_slice();
        let related = related_request(message);
        let sent = match head::server_from_type(message) {
            Some(head) => self.client.send(ServerMessage::with_head(head, bytes), related),
            None => self.client.send(bytes, related),
        };
        match sent.result() {
            Ok(()) => Ok(sent),
            Err(error) => Err(error.clone().into()),
        }
    }

    /// Sends an error to the client, without waiting.
    fn send_error(&self, id: &RequestId, code: i32, message: &str) {
        self.client.send_now(render::error(Some(id), code, message));
    }

    /// Handles a client message that rmcp cannot parse: responds to a request with an error, and
    /// returns an error for the service in place of a response.
    fn reject_unreadable(
        &self,
        bytes: &[u8],
        error: &MessageError,
    ) -> Option<ClientJsonRpcMessage> {
        let session = self.client.session_id().short();
        tracing::warn!(%session, %error, "unreadable message from the client");
        match parse::head(bytes)? {
            Head::Request { id, .. } => {
                self.send_error(&id, error.code(), &error.to_string());
                None
            }
            Head::Response { id, .. } | Head::Error { id: Some(id) } => {
                let text = format!("unreadable response from the client: {error}");
                let error = ErrorData::internal_error(text, None);
                Some(JsonRpcMessage::error(error, Some(id::to_rmcp(&id))))
            }
            Head::Notification(_) | Head::Error { id: None } => None,
        }
    }
}

impl Transport<RoleServer> for SessionTransport {
    type Error = TransportError;

    /// Sends the message immediately, so that messages keep their order: the future only waits
    /// while the client is slow. Only if the session has no room for a message does it wait in
    /// the future, for which its sender waits in turn.
    fn send(
        &mut self,
        message: ServerJsonRpcMessage,
    ) -> impl Future<Output = Result<(), TransportError>> + Send + 'static {
        let sent = self.send_or_report(&message);
        async move {
            match sent? {
                Some(sent) => Ok(sent.await?),
                None => Ok(()),
            }
        }
    }

    async fn receive(&mut self) -> Option<ClientJsonRpcMessage> {
        loop {
            let received = self.messages.recv().await?;
            let message = match parse::parse(&received) {
                Ok(message) => {
                    #[cfg(feature = "http")]
                    let message = with_parts(message, &received);
                    Some(message)
                }
                Err(error) => self.reject_unreadable(&received, &error),
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

/// Adds the HTTP request to the extensions of a request or notification, as the HTTP service of
/// rmcp does.
#[cfg(feature = "http")]
fn with_parts(mut message: ClientJsonRpcMessage, received: &ClientMessage) -> ClientJsonRpcMessage {
    let Some(parts) = received.parts() else { return message };
    match &mut message {
        JsonRpcMessage::Request(request) => {
            request.request.extensions_mut().insert(parts.clone());
        }
        JsonRpcMessage::Notification(notification) => {
            notification.notification.extensions_mut().insert(parts.clone());
        }
        JsonRpcMessage::Response(_) | JsonRpcMessage::Error(_) => {}
    }
    message
}
