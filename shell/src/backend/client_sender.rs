//! What a backend says.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use bytes::Bytes;
use rejoin_core::{
    ApiMisuse, BackendFault, Head, Input, Message, ParseError, Post, Rejection, RequestId, StreamId,
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

/// The client of one session, as its backend sees it.
///
/// It does not keep the session alive. A clone speaks to the same client.
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

    /// Says a JSON-RPC message, or a batch of them, to the client.
    ///
    /// `related` is the client's request that a request or notification belongs to,
    /// where the backend can say: it then goes where the answer of that one will go.
    ///
    /// It is recorded before this waits. It waits only while a client that reads,
    /// but slowly, trails so far that it would lose events. Cancel-safe: who stops
    /// waiting has said it.
    ///
    /// # Errors
    ///
    /// The backend is at fault, or the session has ended. The messages of a batch that
    /// are not at fault were said.
    pub async fn send(
        &self,
        message: impl Into<Bytes>,
        related: Option<RequestId>,
    ) -> Result<(), SendError> {
        let (holds, said) = self.start_send_all(message.into(), related)?;
        for hold in holds {
            wait_for_release(Some(hold)).await;
        }
        said
    }

    /// Says a JSON-RPC message, or a batch of them, and does not wait: for a handler that
    /// cannot, or that says little. Who says much loses events of slow readers.
    ///
    /// # Errors
    ///
    /// As of [`send`](Self::send).
    pub fn send_now(
        &self,
        message: impl Into<Bytes>,
        related: Option<RequestId>,
    ) -> Result<(), SendError> {
        let (_, said) = self.start_send_all(message.into(), related)?;
        said
    }

    /// Says a JSON-RPC message of which the head is known, likewise: for a backend that has
    /// its messages as types, and writes them itself. Nothing of the body is read.
    ///
    /// # Errors
    ///
    /// As of [`send`](Self::send). A head that is not that of the body is the backend's fault,
    /// too, and nobody sees it here: its own session goes wrong.
    pub async fn send_with_head(
        &self,
        head: Head,
        body: impl Into<Bytes>,
        related: Option<RequestId>,
    ) -> Result<(), SendError> {
        let hold = self.start_send_with_head(head, body.into(), related)?;
        wait_for_release(hold).await;
        Ok(())
    }

    /// Says a JSON-RPC message of which the head is known, and does not wait, as
    /// [`send_now`](Self::send_now) does not.
    ///
    /// # Errors
    ///
    /// As of [`send_with_head`](Self::send_with_head).
    pub fn send_with_head_now(
        &self,
        head: Head,
        body: impl Into<Bytes>,
        related: Option<RequestId>,
    ) -> Result<(), SendError> {
        self.start_send_with_head(head, body.into(), related).map(drop)
    }

    /// Says a message, and returns what its sender must [`wait`] for.
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

    /// Says a message as [`say_with_head`](Self::say_with_head) does. If it is a request that is
    /// rejected, the backend gets an error with this code as its answer.
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
        let refusal = |rejection: &Rejection| {
            let why = SendError::from(rejection.clone());
            let request = request.filter(|_| why != SendError::Ended)?;
            Some(render::error(Some(&request), code, &why.to_string()))
        };
        Ok(session.handle_backend_message(Input::BackendMessage { message, related }, refusal)?)
    }

    /// Says the messages that are not at fault, and returns what their sender must wait for.
    fn start_send_all(
        &self,
        message: Bytes,
        related: Option<RequestId>,
    ) -> Result<Recorded, SendError> {
        let session = self.session()?;
        message::check_depth(&message, session.json_depth_max())?;
        let mut holds = SmallVec::new();
        let messages = match message::parse_message(message, session.batch_max())? {
            Post::Single(message) => {
                holds.extend(record(&session, message, related)?);
                return Ok((holds, Ok(())));
            }
            Post::Batch(messages) => messages,
        };
        let mut said = Ok(());
        for message in messages {
            match record(&session, message, related.clone()) {
                Ok(hold) => holds.extend(hold),
                Err(error) => said = said.and(Err(error)),
            }
        }
        Ok((holds, said))
    }

    /// Says a JSON-RPC message, likewise, and returns what its sender must [`wait`] for.
    #[cfg(feature = "rmcp")]
    pub(super) fn start_send(
        &self,
        message: impl Into<Bytes>,
        related: Option<RequestId>,
    ) -> Result<Option<ReleaseReceiver>, SendError> {
        let session = self.session()?;
        match message::parse_message(message.into(), 0)? {
            Post::Single(message) => record(&session, message, related),
            // No entry is allowed.
            Post::Batch(_) => Ok(None),
        }
    }

    /// Returns whether the client still waits for the answer to this request.
    #[cfg(feature = "stdio")]
    pub(super) fn is_unanswered(&self, request: &RequestId) -> bool {
        self.session.upgrade().is_some_and(|session| session.is_unanswered(request))
    }

    /// Returns the only request to which the client still waits for the answer.
    #[cfg(feature = "stdio")]
    pub(super) fn sole_unanswered(&self) -> Option<RequestId> {
        self.session.upgrade()?.sole_unanswered()
    }

    /// Answers a request of the client with an error, in place of the backend.
    #[cfg(feature = "stdio")]
    pub(super) fn fail_request(&self, request: RequestId, why: &str) {
        let error = render::error(Some(&request), render::INTERNAL_ERROR, why);
        let head = Head::Error { id: Some(request) };
        // An error says that the session has ended, which has ended the request, too.
        let _ = self.start_send_with_head(head, error, None);
    }

    /// Answers a request of the backend with an error, through its inbox.
    #[cfg(feature = "stdio")]
    pub(super) fn reject_server_request(&self, request: &RequestId, code: i32, why: &str) {
        if let Some(session) = self.session.upgrade() {
            session.send_to_backend(render::error(Some(request), code, why));
        }
    }

    /// Returns what messages are held to: how many a batch has, and how deep JSON is nested.
    #[cfg(feature = "stdio")]
    pub(super) fn message_limits(&self) -> Option<(usize, usize)> {
        let session = self.session.upgrade()?;
        Some((session.batch_max(), session.json_depth_max()))
    }

    /// Ends the connection of a client's request, so that the client polls: it is told
    /// to come back after `retry`, and gets then what has come meanwhile.
    ///
    /// Does nothing where the request has no connection.
    ///
    /// Specification: MCP 2025-11-25, Transports, "Sending Messages to the Server".
    ///
    /// # Errors
    ///
    /// The backend is at fault: the request is not pending, or its client could not come
    /// back, for lack of an event id. Or the session has ended.
    pub fn disconnect(
        &self,
        request: &RequestId,
        retry: Option<Duration>,
    ) -> Result<(), SendError> {
        let session = self.session()?;
        let stream = session.stream_of(request).ok_or(SendError::NotPending)?;
        session.disconnect(stream, retry).map_err(SendError::from)
    }

    /// Ends the connection of the standalone stream, likewise.
    ///
    /// # Errors
    ///
    /// The session has ended.
    pub fn disconnect_standalone(&self, retry: Option<Duration>) -> Result<(), SendError> {
        self.session()?.disconnect(StreamId::Standalone, retry).map_err(SendError::from)
    }

    /// Notes the process that serves the session, for the log.
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

/// What was said, and what is wrong with what was not.
type Recorded = (SmallVec<[ReleaseReceiver; 1]>, Result<(), SendError>);

fn record(
    session: &SessionInner,
    message: Message<Bytes>,
    related: Option<RequestId>,
) -> Result<Option<ReleaseReceiver>, SendError> {
    Ok(session.handle_backend_message(Input::BackendMessage { message, related }, |_| None)?)
}

/// Waits until the reader that holds a sender up has caught up.
pub(super) async fn wait_for_release(held: Option<ReleaseReceiver>) {
    if let Some(held) = held {
        // An error says that the session has ended, which holds nobody up.
        let _ = held.await;
    }
}

/// Why a message of a backend was not taken.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SendError {
    /// The bytes are no JSON-RPC message: the backend is at fault.
    #[error(transparent)]
    Malformed(#[from] ParseError),
    /// The JSON is nested too deep: the backend is at fault.
    #[error(transparent)]
    TooDeep(#[from] TooDeep),
    /// The session did not accept it: the backend is at fault.
    #[error(transparent)]
    Rejected(BackendFault),
    /// The connection of a stream cannot be closed: the backend is at fault, or late.
    #[error(transparent)]
    CannotDisconnect(ApiMisuse),
    /// There is no such request of the client: the backend is at fault, or late.
    #[error("the client has no such request pending")]
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
