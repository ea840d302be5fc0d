//! The handle of a session.

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use rejoin_core::{
    AnswerFormat, CloseReason, EventId, Initialized, Input, Post, Rejection, RequestId, StreamId,
};
use thiserror::Error;

use super::{connection::Connection, inner::SessionInner};
use crate::{SessionId, backend::QueueTimeout};

/// What a client does in one session. A clone is a handle of the same session.
///
/// Messages come as [`parse`](crate::parse) returns them. No call keeps the session
/// alive, and every future is cancel-safe: who stops waiting has done all or nothing.
#[derive(Clone)]
pub struct SessionHandle {
    inner: Arc<SessionInner>,
}

impl SessionHandle {
    pub(crate) fn new(cell: Arc<SessionInner>) -> Self {
        Self { inner: cell }
    }

    /// Returns the id of the session.
    #[must_use]
    pub fn id(&self) -> SessionId {
        self.inner.id()
    }

    /// Returns how many bytes of the client's messages the server has not taken yet.
    #[cfg(feature = "http")]
    pub(crate) fn request_memory(&self) -> &Arc<crate::byte_counter::ByteCounter> {
        self.inner.request_memory()
    }

    /// Returns what the answer to `initialize` said, once it came.
    #[must_use]
    pub fn initialized(&self) -> Option<Initialized> {
        self.inner.initialized()
    }

    /// Returns why the session is closed, if it is.
    #[must_use]
    pub fn close_reason(&self) -> Option<CloseReason> {
        self.inner.close_reason()
    }

    /// Opens a stream by a POST with at least one request: `initialize`, which must be
    /// the first one, or any other. The answer comes on the connection.
    ///
    /// # Errors
    ///
    /// The client is at fault, or the backend had no room in time.
    #[doc(alias = "initialize")]
    #[doc(alias = "push_message")]
    pub async fn request(
        &self,
        post: Post<Bytes>,
        format: AnswerFormat,
    ) -> Result<Connection, SessionError> {
        self.clone().into_request(post, format).await
    }

    /// Opens a stream likewise, where the handle is of no more use.
    pub(crate) async fn into_request(
        self,
        post: Post<Bytes>,
        format: AnswerFormat,
    ) -> Result<Connection, SessionError> {
        if self.inner.is_draining() {
            return Err(SessionError::Closing);
        }
        let connection = {
            let mut room = self.inner.reserve_queue(&post).await?;
            self.inner.request(post, format, &mut room)?
        };
        Ok(Connection::new(self.inner, connection))
    }

    /// Takes a POST without a request: notifications, and answers to the backend.
    ///
    /// # Errors
    ///
    /// The client is at fault, or the backend had no room in time.
    #[doc(alias = "push_message")]
    pub async fn notify(&self, post: Post<Bytes>) -> Result<(), SessionError> {
        let mut room = self.inner.reserve_queue(&post).await?;
        Ok(self.inner.notify(post, &mut room)?)
    }

    /// Reserves a stream for a request that comes later by [`request_on`](Self::request_on).
    ///
    /// # Errors
    ///
    /// The client has too many streams or connections, or is not initialized.
    #[doc(alias = "establish_request_wise_channel")]
    pub fn reserve(&self) -> Result<Connection, SessionError> {
        Ok(self.connection(self.inner.reserve()?))
    }

    /// Opens a stream that was reserved.
    ///
    /// # Errors
    ///
    /// The client is at fault, or the backend had no room in time. Or the reservation has
    /// expired, or was of another session: the caller is at fault.
    pub async fn request_on(
        &self,
        connection: &Connection,
        post: Post<Bytes>,
        format: AnswerFormat,
    ) -> Result<(), SessionError> {
        if !connection.is_of(&self.inner) {
            return Err(SessionError::NotReserved);
        }
        let mut room = self.inner.reserve_queue(&post).await?;
        self.inner.request_on(connection.id(), post, format, &mut room)
    }

    /// Gives a stream up, and all that waits on it: its requests are cancelled, and the
    /// backend is not told.
    ///
    /// # Errors
    ///
    /// There is no such stream: the caller is at fault.
    #[doc(alias = "close_request_wise_channel")]
    pub fn abandon(&self, stream: StreamId) -> Result<(), SessionError> {
        Ok(self.inner.apply(Input::Abandon { stream })?)
    }

    /// Connects to the standalone stream.
    ///
    /// # Errors
    ///
    /// The client is at fault.
    #[doc(alias = "establish_common_channel")]
    pub fn standalone(&self) -> Result<Connection, SessionError> {
        Ok(self.connection(self.inner.get(None)?))
    }

    /// Connects to a stream again, strictly after the last event that the client saw.
    ///
    /// # Errors
    ///
    /// The client is at fault: the id names no event that it could have seen, or one of
    /// a stream that was cancelled or has expired.
    pub fn resume(&self, last_event_id: EventId) -> Result<Connection, SessionError> {
        Ok(self.connection(self.inner.get(Some(last_event_id))?))
    }

    /// Ends the connection of a request stream, so that the client polls: with `retry`,
    /// it is told when to come back.
    ///
    /// # Errors
    ///
    /// The stream is not open, or its client has nothing to resume after.
    pub fn disconnect(
        &self,
        stream: StreamId,
        retry: Option<Duration>,
    ) -> Result<(), SessionError> {
        Ok(self.inner.disconnect(stream, retry)?)
    }

    /// Ends the connections of the standalone stream, shadows included, likewise.
    ///
    /// # Errors
    ///
    /// The session is closed.
    pub fn disconnect_standalone(&self, retry: Option<Duration>) -> Result<(), SessionError> {
        self.disconnect(StreamId::Standalone, retry)
    }

    /// Returns the stream of a request that is pending.
    #[must_use]
    pub fn stream_of(&self, request: &RequestId) -> Option<StreamId> {
        self.inner.stream_of(request)
    }

    /// Ends the session, as its client wants it.
    ///
    /// # Errors
    ///
    /// It is closed already.
    pub fn delete(&self) -> Result<(), SessionError> {
        Ok(self.inner.apply(Input::Delete)?)
    }

    /// Ends the session, as the server wants it. Does nothing where it is closed.
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

/// Why a session did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SessionError {
    /// The session did not accept it, and says who is at fault.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// The connection is not one that this session has reserved, or not any more.
    #[error("the connection is not reserved")]
    NotReserved,
    /// The server shuts down, and accepts no new request.
    #[error("the server is shutting down")]
    Closing,
    /// The backend had no room for the message in time.
    #[error("the server takes no message at the moment")]
    Busy,
}

impl From<QueueTimeout> for SessionError {
    fn from(_: QueueTimeout) -> Self {
        Self::Busy
    }
}
