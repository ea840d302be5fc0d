//! The handle of a session: what its client can do.

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use rejoin_core::{
    AnswerFormat, CloseReason, EventId, Initialized, Input, Post, Rejection, RequestId, StreamId,
};
use thiserror::Error;

use super::{connection::Connection, inner::SessionInner};
use crate::{SessionId, backend::QueueTimeout};

/// The operations of a client in one session. A clone refers to the same session.
///
/// Messages are passed as [`parse_message`](crate::parse_message) returns them. A handle does not
/// keep the session open. Every future is cancel-safe: if it is dropped, the operation was done
/// completely or not at all.
#[derive(Clone)]
pub struct SessionHandle {
    inner: Arc<SessionInner>,
}

impl SessionHandle {
    pub(crate) fn new(inner: Arc<SessionInner>) -> Self {
        Self { inner }
    }

    /// Returns the id of the session.
    #[must_use]
    pub fn id(&self) -> SessionId {
        self.inner.id()
    }

    /// Returns the counter of bytes of client messages that the backend has not received yet.
    #[cfg(feature = "http")]
    pub(crate) fn request_memory(&self) -> &Arc<crate::byte_counter::ByteCounter> {
        self.inner.request_memory()
    }

    /// Returns the result of `initialize`, once there is one.
    #[must_use]
    pub fn initialized(&self) -> Option<Initialized> {
        self.inner.initialized()
    }

    /// Returns why the session is closed, if it is.
    #[must_use]
    pub fn close_reason(&self) -> Option<CloseReason> {
        self.inner.close_reason()
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
        post: Post<Bytes>,
        format: AnswerFormat,
    ) -> Result<Connection, SessionError> {
        self.clone().into_request(post, format).await
    }

    /// Same as [`request`](Self::request), but consumes the handle.
    pub(crate) async fn into_request(
        self,
        post: Post<Bytes>,
        format: AnswerFormat,
    ) -> Result<Connection, SessionError> {
        if self.inner.is_draining() {
            return Err(SessionError::Closing);
        }
        let connection = {
            let mut permits = self.inner.reserve_queue(&post).await?;
            self.inner.request(post, format, &mut permits)?
        };
        Ok(Connection::new(self.inner, connection))
    }

    /// Handles a POST without a request: notifications, and responses to server requests.
    ///
    /// # Errors
    ///
    /// The client is at fault, or the backend's queue had no space in time.
    #[doc(alias = "push_message")]
    pub async fn notify(&self, post: Post<Bytes>) -> Result<(), SessionError> {
        let mut permits = self.inner.reserve_queue(&post).await?;
        Ok(self.inner.notify(post, &mut permits)?)
    }

    /// Reserves a stream for a later request by [`request_on`](Self::request_on).
    ///
    /// # Errors
    ///
    /// The client has too many streams or connections, or is not initialized.
    #[doc(alias = "establish_request_wise_channel")]
    pub fn reserve(&self) -> Result<Connection, SessionError> {
        Ok(self.connection(self.inner.reserve()?))
    }

    /// Handles a POST with a request on a connection that was reserved.
    ///
    /// # Errors
    ///
    /// The client is at fault, or the backend's queue had no space in time. Or the reservation
    /// has expired, or belongs to another session: the caller is at fault.
    pub async fn request_on(
        &self,
        connection: &Connection,
        post: Post<Bytes>,
        format: AnswerFormat,
    ) -> Result<(), SessionError> {
        if !connection.is_of(&self.inner) {
            return Err(SessionError::NotReserved);
        }
        let mut permits = self.inner.reserve_queue(&post).await?;
        self.inner.request_on(connection.id(), post, format, &mut permits)
    }

    /// Abandons a stream: its requests are cancelled, without a notification to the backend.
    ///
    /// # Errors
    ///
    /// The stream does not exist: the caller is at fault.
    #[doc(alias = "close_request_wise_channel")]
    pub fn abandon(&self, stream: StreamId) -> Result<(), SessionError> {
        Ok(self.inner.apply(Input::Abandon { stream })?)
    }

    /// Opens a connection to the standalone stream.
    ///
    /// # Errors
    ///
    /// The client is at fault.
    #[doc(alias = "establish_common_channel")]
    pub fn standalone(&self) -> Result<Connection, SessionError> {
        Ok(self.connection(self.inner.get(None)?))
    }

    /// Resumes a stream, strictly after the last event that the client received.
    ///
    /// # Errors
    ///
    /// The client is at fault: there is no such event, or its stream was cancelled or has
    /// expired.
    pub fn resume(&self, last_event_id: EventId) -> Result<Connection, SessionError> {
        Ok(self.connection(self.inner.get(Some(last_event_id))?))
    }

    /// Closes the connection of a stream, so that the client polls: it reconnects after `retry`,
    /// if that is given.
    ///
    /// # Errors
    ///
    /// The stream is not open, or its client has no event id to resume after.
    pub fn disconnect(
        &self,
        stream: StreamId,
        retry: Option<Duration>,
    ) -> Result<(), SessionError> {
        Ok(self.inner.disconnect(stream, retry)?)
    }

    /// Closes the connections of the standalone stream, including shadows, so that the client
    /// reconnects after `retry`.
    ///
    /// # Errors
    ///
    /// The session is closed.
    pub fn disconnect_standalone(&self, retry: Option<Duration>) -> Result<(), SessionError> {
        self.disconnect(StreamId::Standalone, retry)
    }

    /// Returns the stream of a pending request.
    #[must_use]
    pub fn stream_of(&self, request: &RequestId) -> Option<StreamId> {
        self.inner.stream_of(request)
    }

    /// Closes the session on behalf of its client.
    ///
    /// # Errors
    ///
    /// The session is already closed.
    pub fn delete(&self) -> Result<(), SessionError> {
        Ok(self.inner.apply(Input::Delete)?)
    }

    /// Closes the session on behalf of the server. Does nothing if it is already closed.
    pub fn close(&self, reason: CloseReason) {
        self.inner.apply_unless_closed(Input::CloseSession { reason });
    }

    fn connection(&self, id: rejoin_core::ConnectionId) -> Connection {
        Connection::new(Arc::clone(&self.inner), id)
    }
}

impl fmt::Debug for SessionHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SessionHandle").field(&self.id()).finish()
    }
}

/// Why an operation on a session failed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SessionError {
    /// The session rejected it; the rejection names who is at fault.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// The connection is not reserved in this session, or its reservation has expired.
    #[error("the connection is not reserved")]
    NotReserved,
    /// The server is shutting down, and does not accept new requests.
    #[error("the server is shutting down")]
    Closing,
    /// The backend's queue had no space for the message in time.
    #[error("server busy: request queue full, retry later")]
    Busy,
}

impl From<QueueTimeout> for SessionError {
    fn from(_: QueueTimeout) -> Self {
        Self::Busy
    }
}
