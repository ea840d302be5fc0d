//! The sender of messages from a backend to its client.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use bytes::Bytes;
use rejoin_core::{
    ApiMisuse, BackendFault, Head, Input, Message, ParseError, Post, Rejection, RequestId,
};
use smallvec::SmallVec;
use thiserror::Error;

#[cfg(feature = "stdio")]
use crate::render;
use crate::{
    SessionId,
    message::{self, TooDeep},
    session::{ReleaseReceiver, SessionInner},
};

/// Sends messages of a backend to the client of one session.
///
/// It does not keep the session alive. A clone sends to the same client.
#[derive(Clone, Debug)]
pub struct ClientSender {
    id: SessionId,
    session: Weak<SessionInner>,
}

impl ClientSender {
    pub(crate) fn new(id: SessionId, session: Weak<SessionInner>) -> Self {
        Self { id, session }
    }

    /// Returns the id of the session.
    #[must_use]
    pub fn session_id(&self) -> SessionId {
        self.id
    }

    /// Sends a JSON-RPC message, or a batch of them, to the client.
    ///
    /// `related` is the client's request that a server request or notification belongs to, if
    /// the backend knows it: the message is then sent on the stream of that request.
    ///
    /// The message is recorded first. The future then waits only for backpressure: while a client
    /// that reads slowly lags so far behind that it would miss events. Cancel-safe: the message
    /// is sent even if the future is dropped.
    ///
    /// # Errors
    ///
    /// The backend is at fault, or the session has ended. The valid messages of a batch were
    /// sent.
    pub async fn send(
        &self,
        message: impl Into<Bytes>,
        related: Option<RequestId>,
    ) -> Result<(), SendError> {
        let (backpressure, result) = self.start_send_all(message.into(), related)?;
        for backpressure in backpressure {
            wait_for_release(Some(backpressure)).await;
        }
        result
    }

    /// Sends a JSON-RPC message, or a batch of them, without waiting for backpressure: for a
    /// handler that cannot wait, or that sends little. Slow readers can miss events of a backend
    /// that sends a lot this way.
    ///
    /// # Errors
    ///
    /// Same as [`send`](Self::send).
    pub fn send_now(
        &self,
        message: impl Into<Bytes>,
        related: Option<RequestId>,
    ) -> Result<(), SendError> {
        let (_, result) = self.start_send_all(message.into(), related)?;
        result
    }

    /// Sends a JSON-RPC message whose head is known, like [`send`](Self::send): for a backend
    /// with typed messages, which serializes them itself. The body is not parsed.
    ///
    /// # Errors
    ///
    /// Same as [`send`](Self::send). A head that does not match the body is the backend's fault,
    /// too, but not detected: the backend's own session then misbehaves.
    pub async fn send_with_head(
        &self,
        head: Head,
        body: impl Into<Bytes>,
        related: Option<RequestId>,
    ) -> Result<(), SendError> {
        let backpressure = self.start_send_with_head(head, body.into(), related)?;
        wait_for_release(backpressure).await;
        Ok(())
    }

    /// Sends a JSON-RPC message whose head is known, without waiting for backpressure, like
    /// [`send_now`](Self::send_now).
    ///
    /// # Errors
    ///
    /// Same as [`send_with_head`](Self::send_with_head).
    pub fn send_with_head_now(
        &self,
        head: Head,
        body: impl Into<Bytes>,
        related: Option<RequestId>,
    ) -> Result<(), SendError> {
        self.start_send_with_head(head, body.into(), related).map(drop)
    }

    /// Sends a message, and returns the backpressure for [`wait_for_release`].
    pub(super) fn start_send_with_head(
        &self,
        head: Head,
        body: Bytes,
        related: Option<RequestId>,
    ) -> Result<Option<ReleaseReceiver>, SendError> {
        let session = self.session()?;
        message::check_depth(&body, session.json_depth_max())?;
        record(&session, message::with_head(head, body), related)
    }

    /// Sends a message like [`start_send_with_head`](Self::start_send_with_head). If it is a
    /// request that is rejected, the backend gets an error response with this code.
    #[cfg(feature = "stdio")]
    pub(super) fn start_send_or_reject(
        &self,
        head: Head,
        body: Bytes,
        related: Option<RequestId>,
        code: i32,
    ) -> Result<Option<ReleaseReceiver>, SendError> {
        let session = self.session()?;
        let request = match &head {
            Head::Request { id, .. } => Some(id.clone()),
            Head::Notification(_) | Head::Response { .. } | Head::Error { .. } => None,
        };
        let message = message::with_head(head, body);
        let error_response = |rejection: &Rejection| {
            let error = SendError::from(rejection.clone());
            let request = request.filter(|_| error != SendError::Ended)?;
            Some(render::error(Some(&request), code, &error.to_string()))
        };
        Ok(session.backend_message(Input::BackendMessage { message, related }, error_response)?)
    }

    /// Sends the valid messages, and returns their backpressure.
    fn start_send_all(
        &self,
        message: Bytes,
        related: Option<RequestId>,
    ) -> Result<Recorded, SendError> {
        let session = self.session()?;
        message::check_depth(&message, session.json_depth_max())?;
        let mut backpressure = SmallVec::new();
        let messages = match message::parse_message(message, session.batch_max())? {
            Post::Single(message) => {
                backpressure.extend(record(&session, message, related)?);
                return Ok((backpressure, Ok(())));
            }
            Post::Batch(messages) => messages,
        };
        let mut result = Ok(());
        for message in messages {
            match record(&session, message, related.clone()) {
                Ok(hold) => backpressure.extend(hold),
                Err(error) => result = result.and(Err(error)),
            }
        }
        Ok((backpressure, result))
    }

    /// Parses and sends a JSON-RPC message, and returns the backpressure for
    /// [`wait_for_release`].
    #[cfg(feature = "rmcp")]
    pub(super) fn start_send(
        &self,
        message: impl Into<Bytes>,
        related: Option<RequestId>,
    ) -> Result<Option<ReleaseReceiver>, SendError> {
        let session = self.session()?;
        match message::parse_message(message.into(), 0)? {
            Post::Single(message) => record(&session, message, related),
            // With a maximum of 0, parsing a batch fails.
            Post::Batch(_) => Ok(None),
        }
    }

    /// Returns whether this request of the client is pending.
    #[cfg(feature = "stdio")]
    pub(super) fn is_pending(&self, request: &RequestId) -> bool {
        self.session
            .upgrade()
            .is_some_and(|session| session.inspect(|core| core.is_unanswered(request)))
    }

    /// Returns the pending request of the client, if there is exactly one.
    #[cfg(feature = "stdio")]
    pub(super) fn sole_pending_request(&self) -> Option<RequestId> {
        self.session.upgrade()?.inspect(|core| core.sole_unanswered().cloned())
    }

    /// Responds to a request of the client with an error, in place of the backend.
    #[cfg(feature = "stdio")]
    pub(super) fn fail_request(&self, request: RequestId, message: &str) {
        let error = render::error(Some(&request), render::INTERNAL_ERROR, message);
        let head = Head::Error { id: Some(request) };
        // An error means that the session has ended, and the request with it.
        let _ = self.start_send_with_head(head, error, None);
    }

    /// Responds to a server request with an error, through the backend's queue.
    #[cfg(feature = "stdio")]
    pub(super) fn reject_server_request(&self, request: &RequestId, code: i32, message: &str) {
        if let Some(session) = self.session.upgrade() {
            session.send_to_backend(render::error(Some(request), code, message));
        }
    }

    /// Returns the maximum length of a batch, and the maximum nesting depth of JSON.
    #[cfg(feature = "stdio")]
    pub(super) fn message_limits(&self) -> Option<(usize, usize)> {
        let session = self.session.upgrade()?;
        Some((session.batch_max(), session.json_depth_max()))
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

    /// Sets the process that serves the session, for the log.
    #[cfg(feature = "stdio")]
    pub(super) fn set_process(&self, process: i32) {
        if let Some(session) = self.session.upgrade() {
            session.set_process(process);
        }
    }

    fn session(&self) -> Result<Arc<SessionInner>, SendError> {
        self.session.upgrade().ok_or(SendError::Ended)
    }
}

/// The backpressure of the messages that were sent, and the error of those that were not.
type Recorded = (SmallVec<[ReleaseReceiver; 1]>, Result<(), SendError>);

fn record(
    session: &Arc<SessionInner>,
    message: Message<Bytes>,
    related: Option<RequestId>,
) -> Result<Option<ReleaseReceiver>, SendError> {
    Ok(session.backend_message(Input::BackendMessage { message, related }, |_| None)?)
}

/// Waits until the reader that causes the backpressure has caught up.
pub(super) async fn wait_for_release(backpressure: Option<ReleaseReceiver>) {
    if let Some(backpressure) = backpressure {
        // An error means that the session has ended, which releases every sender.
        let _ = backpressure.await;
    }
}

/// Why a message of a backend was not sent.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SendError {
    /// The bytes are not a valid JSON-RPC message: the backend is at fault.
    #[error(transparent)]
    Malformed(#[from] ParseError),
    /// The JSON is nested too deeply: the backend is at fault.
    #[error(transparent)]
    TooDeep(#[from] TooDeep),
    /// The session rejected the message: the backend is at fault.
    #[error(transparent)]
    Rejected(BackendFault),
    /// The stream cannot be disconnected: the backend is at fault, or too late.
    #[error(transparent)]
    CannotDisconnect(ApiMisuse),
    /// The client has no such pending request: the backend is at fault, or too late.
    #[error("the client has no such pending request")]
    NotPending,
    /// The session has ended.
    #[error("the session has ended")]
    Ended,
}

impl From<Rejection> for SendError {
    fn from(rejection: Rejection) -> Self {
        match rejection {
            Rejection::Backend(fault) => Self::Rejected(fault),
            Rejection::ApiMisuse(fault) => Self::CannotDisconnect(fault),
            Rejection::Client(_) | Rejection::Closed(_) => Self::Ended,
        }
    }
}
