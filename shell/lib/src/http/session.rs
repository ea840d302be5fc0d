//! The session of a request, and its connections: in this process, or in another one.

use std::{
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use http::HeaderMap;
use rejoin_core::{AnswerFormat, ClientFault, EventId, Post, Rejection};

#[cfg(feature = "cluster")]
use super::remote::{RemoteConnection, RemoteSession};
use super::{head, memory::RequestMemory, refusal::Refusal};
use crate::{
    ClientMessage, Connection, ManagerError, SessionError, SessionHandle, SessionManager, SseEvent,
    byte_counter::ByteCounter, session::MessagePart,
};

/// A session.
pub(super) enum AnySession {
    Here(SessionHandle),
    #[cfg(feature = "cluster")]
    There(RemoteSession),
}

/// A connection of a session.
#[derive(Debug)]
pub(super) enum AnyConnection {
    Here(Connection),
    #[cfg(feature = "cluster")]
    There(Box<RemoteConnection>),
}

/// What a connection has next.
pub(super) enum Next {
    /// Small events, if there are any, and whether there can be more.
    Events {
        #[cfg_attr(
            not(feature = "cluster"),
            expect(dead_code, reason = "only the owner of a session tells others")
        )]
        has_more: bool,
    },
    /// A part of a large message.
    Part(MessagePart),
}

impl AnySession {
    /// Checks the protocol version that a request names.
    pub(super) fn check_protocol_version(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        match self {
            Self::Here(session) => head::check_protocol_version(headers, session),
            #[cfg(feature = "cluster")]
            Self::There(_) => head::protocol_version(headers).map(drop),
        }
    }

    /// Returns the counter of bytes of client messages that the backend, or the other process, has not
    /// received yet.
    #[cfg_attr(not(feature = "cluster"), expect(unused_variables, reason = "it is here"))]
    pub(super) fn request_memory<'a>(&'a self, memory: &'a RequestMemory) -> &'a Arc<ByteCounter> {
        match self {
            Self::Here(session) => session.request_memory(),
            #[cfg(feature = "cluster")]
            Self::There(_) => memory.passed_on(),
        }
    }

    /// Handles a POST with a request.
    #[cfg_attr(
        not(feature = "cluster"),
        expect(unused_variables, reason = "only what is passed on needs `accepts_sse`")
    )]
    pub(super) async fn request(
        &self,
        post: Post<ClientMessage>,
        format: AnswerFormat,
        accepts_sse: bool,
    ) -> Result<AnyConnection, Refusal> {
        match self {
            Self::Here(session) => Ok(AnyConnection::Here(session.request(post, format).await?)),
            #[cfg(feature = "cluster")]
            Self::There(session) => session.request(post, format, accepts_sse).await,
        }
    }

    /// Handles a POST without a request.
    pub(super) async fn notify(&self, post: Post<ClientMessage>) -> Result<(), Refusal> {
        match self {
            Self::Here(session) => Ok(session.notify(post).await?),
            #[cfg(feature = "cluster")]
            Self::There(session) => session.notify(post).await,
        }
    }

    /// Handles a GET. There is no connection if the requests of its stream were cancelled.
    #[cfg_attr(not(feature = "cluster"), expect(clippy::unused_async, reason = "it is here"))]
    pub(super) async fn get(
        &self,
        last_event_id: Option<EventId>,
    ) -> Result<Option<AnyConnection>, Refusal> {
        match self {
            Self::Here(session) => Ok(connect(session, last_event_id)?.map(AnyConnection::Here)),
            #[cfg(feature = "cluster")]
            Self::There(session) => session.get(last_event_id).await,
        }
    }

    /// Deletes the session.
    pub(super) async fn delete(&self, sessions: &SessionManager) -> Result<(), Refusal> {
        match self {
            Self::Here(session) => Ok(sessions.delete_session(session).await?),
            #[cfg(feature = "cluster")]
            Self::There(session) => session.delete().await,
        }
    }
}

/// Opens a connection, to the standalone stream or one that is resumed.
pub(super) fn connect(
    session: &SessionHandle,
    last_event_id: Option<EventId>,
) -> Result<Option<Connection>, SessionError> {
    let Some(id) = last_event_id else { return session.standalone().map(Some) };
    match session.resume(id) {
        // Clients would retry after an error, and report it to the user.
        Err(SessionError::Rejected(Rejection::Client(ClientFault::CancelledStream(_)))) => Ok(None),
        resumed => resumed.map(Some),
    }
}

impl AnyConnection {
    /// See [`Connection::poll_events`].
    pub(super) fn poll_events(
        &mut self,
        cx: &mut Context<'_>,
        events: &mut Vec<SseEvent>,
    ) -> Poll<bool> {
        match self {
            Self::Here(connection) => connection.poll_events(cx, events),
            #[cfg(feature = "cluster")]
            Self::There(connection) => connection.poll_events(cx, events),
        }
    }

    /// Appends small events to `events`, which is empty, or returns a part of a large message.
    pub(super) fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        events: &mut Vec<SseEvent>,
    ) -> Poll<Next> {
        loop {
            let has_more = ready!(self.poll_small_events(cx, events));
            if !has_more || !events.is_empty() {
                return Poll::Ready(Next::Events { has_more });
            }
            // There is none if the connection was cut meanwhile, for example.
            if let Some(part) = self.take_part() {
                return Poll::Ready(Next::Part(part));
            }
        }
    }

    /// See [`Connection::poll_small_events`].
    pub(super) fn poll_small_events(
        &mut self,
        cx: &mut Context<'_>,
        events: &mut Vec<SseEvent>,
    ) -> Poll<bool> {
        match self {
            Self::Here(connection) => connection.poll_small_events(cx, events),
            #[cfg(feature = "cluster")]
            Self::There(connection) => connection.poll_small_events(cx, events),
        }
    }

    /// See [`Connection::commits`]. In another process, it has waited for that.
    #[cfg(feature = "store")]
    pub(super) fn commits(&self) -> bool {
        match self {
            Self::Here(connection) => connection.commits(),
            #[cfg(feature = "cluster")]
            Self::There(_) => false,
        }
    }

    /// See [`Connection::take_part`].
    fn take_part(&mut self) -> Option<MessagePart> {
        match self {
            Self::Here(connection) => connection.take_part(),
            #[cfg(feature = "cluster")]
            Self::There(connection) => connection.take_part(),
        }
    }

    /// See [`Connection::is_complete`].
    pub(super) fn is_complete(&self) -> bool {
        match self {
            Self::Here(connection) => connection.is_complete(),
            #[cfg(feature = "cluster")]
            Self::There(connection) => connection.is_complete(),
        }
    }

    /// See [`Connection::disconnect`].
    pub(super) fn disconnect(&self, retry: Duration) {
        match self {
            Self::Here(connection) => connection.disconnect(retry),
            #[cfg(feature = "cluster")]
            Self::There(connection) => connection.disconnect(retry),
        }
    }

    /// Disconnects for the reason that the credential of the client has expired. Called again until the
    /// connection has ended. Returns whether that is left to the caller, because it is a shadow, which no
    /// stream knows.
    pub(super) fn expire(&mut self, retry: Duration) -> bool {
        match self {
            Self::Here(connection) => {
                connection.disconnect(retry);
                connection.is_shadow()
            }
            #[cfg(feature = "cluster")]
            Self::There(connection) => {
                connection.expire(retry);
                false
            }
        }
    }

    /// Returns an error if the connection has ended before its stream, for example because its process is
    /// gone, or another one has the session. To a POST, the response is lost then.
    pub(super) fn check_end(&mut self) -> Result<(), Refusal> {
        match self {
            Self::Here(connection) if !connection.is_lost() => Ok(()),
            Self::Here(connection) if connection.has_moved() => Err(ManagerError::Moved.into()),
            Self::Here(_) => Err(Refusal::lost()),
            #[cfg(feature = "cluster")]
            Self::There(connection) => connection.check_end(),
        }
    }
}
