//! The sender of messages from a backend to its client.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use bytes::Bytes;
#[cfg(any(feature = "rmcp", feature = "stdio"))]
use rejoin_core::Message;
use rejoin_core::{Head, Input, Overflow, Post, RequestId};
use smallvec::smallvec;

use super::{
    SessionInner,
    backend_message::BackendMessage,
    sent::{SendError, Sent},
};
use crate::{SessionId, message, payload::Payload};
#[cfg(feature = "stdio")]
use crate::{observer::Observers, render};

/// Sends messages of a backend to the client of one session.
///
/// It does not keep the session alive. A clone sends to the same client.
#[derive(Clone, Debug)]
pub struct ClientSender<P: Payload = Bytes> {
    id: SessionId,
    session: Weak<SessionInner<P>>,
}

impl<P: Payload> ClientSender<P> {
    pub(crate) fn new(id: SessionId, session: Weak<SessionInner<P>>) -> Self {
        Self { id, session }
    }

    /// Returns the id of the session.
    #[must_use]
    pub fn session_id(&self) -> SessionId {
        self.id
    }

    /// Returns whether it sends messages in that session.
    #[cfg(feature = "rmcp")]
    pub(crate) fn is_of(&self, session: &Arc<SessionInner<P>>) -> bool {
        std::ptr::eq(self.session.as_ptr(), Arc::as_ptr(session))
    }

    /// Closes the connection of a client's request, so that the client polls: it reconnects after
    /// `retry`, and then gets what has been sent meanwhile.
    ///
    /// Does nothing if the request has no connection.
    ///
    /// Specification: MCP 2025-11-25, Transports, "Sending Messages to the Server".
    ///
    /// # Errors
    ///
    /// The backend is at fault: the request is not pending, or its client has no event id to
    /// resume after. Or the session has ended.
    pub fn disconnect(
        &self,
        request: &RequestId,
        retry: Option<Duration>,
    ) -> Result<(), SendError> {
        let session = self.session()?;
        let stream = session.inspect(|core| core.stream_of(request));
        let stream = stream.ok_or(SendError::NotPending)?;
        Ok(session.input(Input::Disconnect { stream, retry })?)
    }

    /// Sends a message whose head is known. If it is a request that is rejected, the backend gets
    /// an error response with the code.
    #[cfg(any(feature = "rmcp", feature = "stdio"))]
    pub(crate) fn send_parsed(
        &self,
        message: Message<P::Server>,
        related: Option<RequestId>,
        error_code: Option<i32>,
        overflow: Overflow,
    ) -> Sent<P> {
        let message = BackendMessage { message, related, error_code };
        self.session().map_or_else(Sent::rejected, |session| {
            Sent::record(&session, smallvec![message], overflow)
        })
    }

    /// Notes that the backend will not respond to a request that was cancelled.
    #[cfg(feature = "rmcp")]
    pub(crate) fn release_cancelled(&self, request: &RequestId) {
        if let Some(session) = self.session.upgrade() {
            session.release_cancelled(request);
        }
    }

    fn session(&self) -> Result<Arc<SessionInner<P>>, SendError> {
        self.session.upgrade().ok_or(SendError::Ended)
    }
}

impl ClientSender {
    /// Sends a message, or a batch of them, to the client: at once, whether or not the result is
    /// awaited, if the session has room for it. See [`Sent`] for errors, and for what awaiting it
    /// means.
    ///
    /// `related` is the client's request that a server request or notification belongs to, if
    /// the backend knows it: the message is then sent on the stream of that request.
    pub fn send(&self, message: impl Into<ServerMessage>, related: Option<RequestId>) -> Sent {
        self.record(message.into(), related, Overflow::Hold).unwrap_or_else(Sent::rejected)
    }

    /// Sends a message without waiting for room: in place of another one, or of a response that
    /// would never come.
    #[cfg(any(feature = "rmcp", feature = "stdio", feature = "store"))]
    pub(crate) fn send_now(&self, message: impl Into<ServerMessage>) {
        // An error means that the session has ended, and the request with it.
        drop(self.record(message.into(), None, Overflow::Evict));
    }

    /// Sends a message whose head is known. If it is a request that is rejected, the backend gets
    /// an error response with this code.
    #[cfg(feature = "stdio")]
    pub(crate) fn send_or_reject(
        &self,
        head: Head,
        body: Bytes,
        related: Option<RequestId>,
        code: i32,
    ) -> Sent {
        self.send_parsed(message::with_head(head, body), related, Some(code), Overflow::Hold)
    }

    /// Records the valid messages.
    fn record(
        &self,
        message: ServerMessage,
        related: Option<RequestId>,
        overflow: Overflow,
    ) -> Result<Sent, SendError> {
        let session = self.session()?;
        let depth_max = session.json_depth_max();
        let post = match message.0 {
            Form::WithHead(head, body) => {
                message::check_depth(&body, depth_max)?;
                Post::Single(message::with_head(head, body))
            }
            Form::Json(bytes) => {
                message::check_depth(&bytes, depth_max)?;
                message::parse_with(bytes, session.batch_max(), |body| body)?
            }
        };
        let messages = match post {
            Post::Single(message) => {
                smallvec![BackendMessage { message, related, error_code: None }]
            }
            Post::Batch(messages) => messages
                .into_iter()
                .map(|message| BackendMessage {
                    message,
                    related: related.clone(),
                    error_code: None,
                })
                .collect(),
        };
        Ok(Sent::record(&session, messages, overflow))
    }

    /// Returns whether this request of the client is pending.
    #[cfg(feature = "stdio")]
    pub(crate) fn is_pending(&self, request: &RequestId) -> bool {
        self.session
            .upgrade()
            .is_some_and(|session| session.inspect(|core| core.is_unanswered(request)))
    }

    /// Returns the pending request of the client, if there is exactly one.
    #[cfg(feature = "stdio")]
    pub(crate) fn sole_pending_request(&self) -> Option<RequestId> {
        self.session.upgrade()?.inspect(|core| core.sole_unanswered().cloned())
    }

    /// Responds to a request of the client with an error, in place of the backend.
    #[cfg(feature = "stdio")]
    pub(crate) fn fail_request(&self, request: RequestId, message: &str) {
        let error = render::error(Some(&request), render::INTERNAL_ERROR, message);
        let head = Head::Error { id: Some(request) };
        self.send_now(ServerMessage::with_head(head, error));
    }

    /// Responds to a server request with an error, through the backend's queue.
    #[cfg(feature = "stdio")]
    pub(crate) fn reject_server_request(&self, request: &RequestId, code: i32, message: &str) {
        if let Some(session) = self.session.upgrade() {
            session.send_to_backend(Bytes::error_for_backend(request, code, message));
        }
    }

    /// Returns the maximum length of a batch, and the maximum nesting depth of JSON.
    #[cfg(feature = "stdio")]
    pub(crate) fn message_limits(&self) -> Option<(usize, usize)> {
        let session = self.session.upgrade()?;
        Some((session.batch_max(), session.json_depth_max()))
    }

    /// Returns the log and the observer of the manager.
    #[cfg(feature = "stdio")]
    pub(crate) fn observers(&self) -> Observers {
        self.session.upgrade().map(|session| session.shared.observers.clone()).unwrap_or_default()
    }

    /// Sets the process that serves the session, for the log.
    #[cfg(feature = "stdio")]
    pub(crate) fn set_process(&self, process: i32) {
        if let Some(session) = self.session.upgrade() {
            session.set_process(process);
        }
    }
}

/// A message of a backend to its client, or a batch of them: the bytes of its JSON.
///
/// A session keeps them as they are, and counts only their length: spare capacity, or a larger
/// buffer that they are a part of, comes on top.
#[derive(Debug)]
pub struct ServerMessage(Form);

#[derive(Debug)]
enum Form {
    Json(Bytes),
    WithHead(Head, Bytes),
}

impl ServerMessage {
    /// Creates a message whose head is known, so that its body is not parsed: for a backend with
    /// typed messages, which serializes them itself.
    ///
    /// A head that does not match the body is the backend's fault, but not detected: the backend's
    /// own session then misbehaves.
    pub fn with_head(head: Head, body: impl Into<Bytes>) -> Self {
        Self(Form::WithHead(head, body.into()))
    }
}

impl<T: Into<Bytes>> From<T> for ServerMessage {
    fn from(json: T) -> Self {
        Self(Form::Json(json.into()))
    }
}
