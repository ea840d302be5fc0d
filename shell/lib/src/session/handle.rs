//! The handle of a session: what its client can do.

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use rejoin_core::{
    AnswerFormat, EventId, Initialized, Input, Post, Rejection, RequestId, Session,
    SessionCloseReason, StreamId,
};
use thiserror::Error;

use super::{
    client_messages::{QueuePermits, QueueTimeout},
    connection::Connection,
    inner::{PANICKED, SessionInner},
};
use crate::{Principal, SessionId, payload::Payload};

/// The operations of a client in one session. A clone refers to the same session.
///
/// Messages are passed as [`parse_message`](crate::parse_message) returns them. A handle does not
/// keep the session open. Every future is cancel-safe: if it is dropped, the operation was done
/// completely or not at all.
#[derive(Clone)]
pub struct SessionHandle<P: Payload = Bytes> {
    inner: Arc<SessionInner<P>>,
}

impl<P: Payload> SessionHandle<P> {
    pub(crate) fn new(inner: Arc<SessionInner<P>>) -> Self {
        Self { inner }
    }

    pub(crate) fn inner(&self) -> &Arc<SessionInner<P>> {
        &self.inner
    }

    /// Returns the id of the session.
    #[must_use]
    pub fn id(&self) -> SessionId {
        self.inner.id()
    }

    /// Returns to whom the session belongs, if it was opened for a principal.
    #[must_use]
    pub fn principal(&self) -> Option<&Principal> {
        self.inner.principal()
    }

    /// Returns the counter of bytes of client messages that the backend has not received yet.
    #[cfg(feature = "http")]
    pub(crate) fn request_memory(&self) -> &Arc<crate::byte_counter::ByteCounter> {
        self.inner.request_memory()
    }

    /// Returns the result of `initialize`, once there is one.
    #[must_use]
    pub fn initialized(&self) -> Option<Initialized> {
        self.inner.inspect(Session::initialized)
    }

    /// Returns why the session is closed, if it is.
    #[must_use]
    pub fn close_reason(&self) -> Option<SessionCloseReason> {
        self.inner.inspect(Session::close_reason)
    }

    /// Handles a POST with at least one request, which opens a request stream. The responses are
    /// sent on the connection. The first request must be `initialize`.
    ///
    /// # Errors
    ///
    /// The client is at fault, or the backend's queue had no space in time.
    #[doc(alias = "initialize")]
    #[doc(alias = "push_message")]
    pub async fn request(
        &self,
        post: Post<P::Client>,
        format: AnswerFormat,
    ) -> Result<Connection<P>, SessionError> {
        if !post.has_request() {
            return Err(SessionError::WrongOperation);
        }
        let mut permits = self.reserve_queue(&post).await?;
        let connect = self
            .inner
            .connect(|locked, connection| locked.post(connection, post, format, &mut permits));
        Ok(connect?)
    }

    /// Opens a connection for a later request by [`request_on`](Self::request_on). It has no
    /// events before, and does not keep the session from being idle.
    ///
    /// # Errors
    ///
    /// The client is not initialized, or has too many connections.
    #[doc(alias = "establish_request_wise_channel")]
    pub fn reserve(&self) -> Result<Connection<P>, SessionError> {
        Ok(self.inner.connect(|locked, _| locked.check_reserve())?)
    }

    /// Handles a POST with a request on a connection that was reserved.
    ///
    /// # Errors
    ///
    /// The client is at fault, for example because it has too many streams or connections by
    /// now, or the backend's queue had no space in time. Or the connection is not reserved in
    /// this session: the caller is at fault.
    #[doc(alias = "push_message")]
    pub async fn request_on(
        &self,
        connection: &Connection<P>,
        post: Post<P::Client>,
        format: AnswerFormat,
    ) -> Result<(), SessionError> {
        if !post.has_request() {
            return Err(SessionError::WrongOperation);
        }
        let mut permits = self.reserve_queue(&post).await?;
        self.inner.with_lock(Err(PANICKED.into()), |locked| {
            let id = connection.id();
            if !connection.is_of(&self.inner) || !locked.is_reserved(id) {
                return Err(SessionError::NotReserved);
            }
            Ok(locked.post(id, post, format, &mut permits)?)
        })
    }

    /// Abandons a request stream: its pending requests are cancelled, without a notification to
    /// the backend.
    ///
    /// # Errors
    ///
    /// There is no such stream: the caller is at fault.
    #[doc(alias = "close_request_wise_channel")]
    pub fn abandon(&self, stream: StreamId) -> Result<(), SessionError> {
        Ok(self.inner.input(Input::Abandon { stream })?)
    }

    /// Closes the connection of a stream, so that its client polls: it reconnects after `retry`,
    /// if that is given. On the standalone stream, shadows are closed, too.
    ///
    /// # Errors
    ///
    /// The stream is not open, or its client has no event id to resume after.
    #[doc(alias = "close_sse_stream")]
    #[doc(alias = "close_standalone_sse_stream")]
    pub fn disconnect(
        &self,
        stream: StreamId,
        retry: Option<Duration>,
    ) -> Result<(), SessionError> {
        Ok(self.inner.input(Input::Disconnect { stream, retry })?)
    }

    /// Returns the stream of a pending request.
    #[must_use]
    pub fn stream_of(&self, request: &RequestId) -> Option<StreamId> {
        self.inner.inspect(|core| core.stream_of(request))
    }

    /// Handles a POST without a request: notifications, and responses to server requests.
    ///
    /// # Errors
    ///
    /// The client is at fault, or the backend's queue had no space in time.
    #[doc(alias = "push_message")]
    pub async fn notify(&self, post: Post<P::Client>) -> Result<(), SessionError> {
        if post.has_request() {
            return Err(SessionError::WrongOperation);
        }
        let mut permits = self.reserve_queue(&post).await?;
        Ok(self.inner.with_lock(Err(PANICKED), |locked| {
            let unused = locked.state.next_connection();
            locked.post(unused, post, AnswerFormat::Json, &mut permits)
        })?)
    }

    /// Opens a connection to the standalone stream.
    ///
    /// # Errors
    ///
    /// The client is at fault.
    #[doc(alias = "establish_common_channel")]
    pub fn standalone(&self) -> Result<Connection<P>, SessionError> {
        Ok(self.inner.connect(|locked, connection| {
            locked.check_backend()?;
            locked.handle(Input::Get { connection, last_event_id: None }, None)
        })?)
    }

    /// Resumes a stream, strictly after the last event that the client received.
    ///
    /// # Errors
    ///
    /// The client is at fault: there is no such event, or its stream was cancelled or has
    /// expired.
    pub fn resume(&self, last_event_id: EventId) -> Result<Connection<P>, SessionError> {
        Ok(self.inner.connect(|locked, connection| {
            let get = Input::Get { connection, last_event_id: Some(last_event_id) };
            locked.handle(get, None)?;
            locked.note_resumed(connection, last_event_id);
            locked.disconnect_standalone_if_lost();
            Ok(())
        })?)
    }

    /// Closes the session on behalf of its client.
    ///
    /// # Errors
    ///
    /// The session is already closed.
    pub fn delete(&self) -> Result<(), SessionError> {
        Ok(self.inner.input(Input::Delete)?)
    }

    /// Closes the session on behalf of its client, unless its backend has ended: it then ends by
    /// itself, once its connections have sent what the backend had sent before.
    #[cfg(feature = "rmcp")]
    pub(crate) fn delete_unless_backend_ended(&self) {
        self.inner.with_lock((), |locked| {
            if locked.check_backend().is_ok() {
                locked.apply(Input::Delete);
            }
        });
    }

    /// Closes the session once nothing is left to wait for: pending requests, and clients that can
    /// still get a response. Further requests are rejected with [`Rejection::Draining`]. A client on
    /// the standalone stream gets `retry` as its reconnect delay. Does nothing if the session is
    /// closed.
    pub fn drain(&self, retry: Duration) {
        // Never rejected.
        let _ = self.inner.input(Input::Drain { retry });
    }

    /// Closes the session on behalf of the server. Does nothing if it is already closed.
    pub fn close(&self, reason: SessionCloseReason) {
        // Only rejected if the session is closed.
        let _ = self.inner.input(Input::CloseSession { reason });
    }

    /// Waits for space in the backend's queue for the messages of a POST.
    async fn reserve_queue(
        &self,
        post: &Post<P::Client>,
    ) -> Result<QueuePermits<'_>, QueueTimeout> {
        let timeout = self.inner.shared.config.queue_timeout;
        self.inner.queue.reserve(post.messages().len(), timeout).await
    }
}

impl<P: Payload> fmt::Debug for SessionHandle<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SessionHandle").field(&self.id()).finish()
    }
}

/// Why an operation on a session failed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The session rejected it; the rejection names who is at fault.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// The backend's queue had no space for the message in time.
    #[error("server busy: request queue full, retry later")]
    QueueFull,
    /// The connection was not reserved in this session, or has a request already.
    #[error("the connection is not reserved")]
    NotReserved,
    /// A POST with a request has a connection, and one without does not: the caller is at fault.
    #[error("the POST needs another operation, depending on whether it has a request")]
    WrongOperation,
}

impl From<QueueTimeout> for SessionError {
    fn from(_: QueueTimeout) -> Self {
        Self::QueueFull
    }
}
