//! The sender of messages from a backend to its client.

use std::{
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use rejoin_core::{
    ApiMisuse, BackendFault, Head, Input, Overflow, ParseError, Post, Rejection, RequestId,
};
use smallvec::SmallVec;
use thiserror::Error;

use super::{ReleaseReceiver, SessionInner};
#[cfg(feature = "stdio")]
use crate::render;
use crate::{
    SessionId,
    message::{self, TooDeep},
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

    /// Sends a message, or a batch of them, to the client: at once, whether or not the result is
    /// awaited. See [`Sent`] for errors and backpressure.
    ///
    /// `related` is the client's request that a server request or notification belongs to, if
    /// the backend knows it: the message is then sent on the stream of that request.
    pub fn send(&self, message: impl Into<ServerMessage>, related: Option<RequestId>) -> Sent {
        let mut backpressure = SmallVec::new();
        let result = self.record_all(message.into(), related, &mut backpressure);
        Sent { result, backpressure }
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
        let request = match &head {
            Head::Request { id, .. } => Some(id.clone()),
            Head::Notification(_) | Head::Response { .. } | Head::Error { .. } => None,
        };
        let error_response = |rejection: &Rejection| {
            let error = SendError::from(rejection.clone());
            let request = request.filter(|_| error != SendError::Ended)?;
            Some(render::error(Some(&request), code, &error.to_string()))
        };
        let mut backpressure = SmallVec::new();
        let result = self.session().and_then(|session| {
            let message = Input::BackendMessage {
                message: message::with_head(head, body),
                related,
                overflow: Overflow::Hold,
            };
            backpressure.extend(session.backend_message(message, error_response)?);
            Ok(())
        });
        Sent { result, backpressure }
    }

    /// Records the valid messages, and adds their backpressure.
    fn record_all(
        &self,
        message: ServerMessage,
        related: Option<RequestId>,
        backpressure: &mut Backpressure,
    ) -> Result<(), SendError> {
        let session = self.session()?;
        let depth_max = session.json_depth_max();
        let mut record = |message, related| {
            let message = Input::BackendMessage { message, related, overflow: Overflow::Hold };
            backpressure.extend(session.backend_message(message, |_| None)?);
            Ok(())
        };
        let messages = match message.0 {
            Form::WithHead(head, body) => {
                message::check_depth(&body, depth_max)?;
                return record(message::with_head(head, body), related);
            }
            Form::Json(bytes) => {
                message::check_depth(&bytes, depth_max)?;
                match message::parse_message(bytes, session.batch_max())? {
                    Post::Single(message) => return record(message, related),
                    Post::Batch(messages) => messages,
                }
            }
        };
        let record = |message| record(message, related.clone());
        messages.into_iter().map(record).fold(Ok(()), Result::and)
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
        // An error means that the session has ended, and the request with it.
        drop(self.send(ServerMessage::with_head(head, error), None));
    }

    /// Responds to a server request with an error, through the backend's queue.
    #[cfg(feature = "stdio")]
    pub(crate) fn reject_server_request(&self, request: &RequestId, code: i32, message: &str) {
        if let Some(session) = self.session.upgrade() {
            session.send_to_backend(render::error(Some(request), code, message));
        }
    }

    /// Returns the maximum length of a batch, and the maximum nesting depth of JSON.
    #[cfg(feature = "stdio")]
    pub(crate) fn message_limits(&self) -> Option<(usize, usize)> {
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
    pub(crate) fn set_process(&self, process: i32) {
        if let Some(session) = self.session.upgrade() {
            session.set_process(process);
        }
    }

    fn session(&self) -> Result<Arc<SessionInner>, SendError> {
        self.session.upgrade().ok_or(SendError::Ended)
    }
}

/// A message of a backend to its client, or a batch of them: the bytes of its JSON.
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

/// A message that was sent by [`ClientSender::send`], or rejected.
///
/// As a future, it waits only for backpressure: while a client that reads slowly lags so far
/// behind that it would miss events. If it is dropped instead, slow readers can miss events of a
/// backend that sends a lot. Cancel-safe.
///
/// # Errors
///
/// The backend is at fault, or the session has ended. The valid messages of a batch were sent.
#[derive(Debug)]
#[must_use = "await it, for backpressure, or drop it"]
pub struct Sent {
    result: Result<(), SendError>,
    backpressure: Backpressure,
}

/// The backpressure of messages that were sent.
type Backpressure = SmallVec<[ReleaseReceiver; 1]>;

impl Sent {
    /// Returns whether the message was sent, without waiting.
    ///
    /// # Errors
    ///
    /// It was not, or not all messages of a batch were.
    pub fn result(&self) -> Result<(), &SendError> {
        self.result.as_ref().copied()
    }
}

impl Future for Sent {
    type Output = Result<(), SendError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        while let Some(released) = self.backpressure.last_mut() {
            // An error means that the session has ended, which releases every sender.
            let _ = ready!(Pin::new(released).poll(cx));
            self.backpressure.pop();
        }
        Poll::Ready(self.result.clone())
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
