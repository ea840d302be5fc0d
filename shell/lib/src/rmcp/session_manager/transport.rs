//! Transport between an rmcp service and its session, without serialization.

use std::{fmt, future::Future};

use rejoin_core::{Overflow, RequestId};
use rmcp::{
    RoleServer,
    model::{
        ClientJsonRpcMessage, ClientNotification, GetExtensions, JsonRpcMessage,
        ServerJsonRpcMessage,
    },
    transport::Transport,
};
use thiserror::Error;

use super::{
    late_closes::ExpectLateClose,
    payload::{self, RmcpMessages},
};
use crate::{
    ClientMessages, ClientSender, SendError,
    rmcp::{
        head::{self, HeadError},
        id,
        related::{answered_request, related_request},
    },
};

/// The transport of one session of a [`LocalSessionManager`](super::LocalSessionManager).
///
/// Dropping it ends the session.
pub struct SessionTransport {
    client: ClientSender<RmcpMessages>,
    messages: ClientMessages<RmcpMessages>,
    _end: ExpectLateClose,
}

/// Why a message of a service was not sent.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SessionTransportError {
    /// The message is invalid: the service is at fault.
    #[error("invalid message: {0}")]
    Message(String),
    /// The session did not accept it.
    #[error(transparent)]
    Send(#[from] SendError),
}

impl SessionTransport {
    pub(super) fn new(
        client: ClientSender<RmcpMessages>,
        messages: ClientMessages<RmcpMessages>,
        end: ExpectLateClose,
    ) -> Self {
        Self { client, messages, _end: end }
    }

    /// Rejects a message that has no head. If it is a response, its client gets an error.
    fn reject(&self, message: &ServerJsonRpcMessage, error: &HeadError) -> SessionTransportError {
        let text = error.to_string();
        if let Some(request) = answered_request(message) {
            let response =
                payload::error_response(request, &format!("the response was not sent: {text}"));
            // An error means that the session has ended, and the request with it.
            drop(self.client.send_parsed(response, None, None, Overflow::Evict));
        }
        SessionTransportError::Message(text)
    }

    fn insert_client(&self, message: &mut ClientJsonRpcMessage) {
        if let JsonRpcMessage::Request(request) = message {
            request.request.extensions_mut().insert(self.client.clone());
        }
    }
}

/// Does not show the messages of the client.
impl fmt::Debug for SessionTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionTransport").field("client", &self.client).finish_non_exhaustive()
    }
}

impl Transport<RoleServer> for SessionTransport {
    type Error = SessionTransportError;

    /// Sends the message immediately, so that messages keep their order. The future waits while
    /// the session has no room for it, or its client is slow.
    fn send(
        &mut self,
        message: ServerJsonRpcMessage,
    ) -> impl Future<Output = Result<(), SessionTransportError>> + Send + 'static {
        let is_response = matches!(message, JsonRpcMessage::Response(_) | JsonRpcMessage::Error(_));
        let related = related_request(&message);
        let sent = match head::of_server(&message) {
            Ok(head) => {
                let message = payload::server_message(head, message);
                Ok(self.client.send_parsed(message, related, None, Overflow::Hold))
            }
            Err(error) => Err(self.reject(&message, &error)),
        };
        async move {
            match sent?.await {
                // Nothing waits for the response.
                Err(SendError::Ended) if is_response => Ok(()),
                sent => Ok(sent?),
            }
        }
    }

    async fn receive(&mut self) -> Option<ClientJsonRpcMessage> {
        let mut message = *self.messages.recv().await?;
        self.insert_client(&mut message);
        // The service drops the response to a request that was cancelled, unless its client has used
        // the id again.
        if let Some(request) = cancelled_request(&message) {
            self.client.release_cancelled(&request);
        }
        Some(message)
    }

    async fn close(&mut self) -> Result<(), SessionTransportError> {
        Ok(())
    }
}

/// Returns the request that a message cancels.
fn cancelled_request(message: &ClientJsonRpcMessage) -> Option<RequestId> {
    let JsonRpcMessage::Notification(message) = message else { return None };
    let ClientNotification::CancelledNotification(cancelled) = &message.notification else {
        return None;
    };
    id::from_rmcp(cancelled.params.request_id.as_ref()?)
}
