//! Inputs that a driver reports to a session.

use alloc::vec::Vec;
use core::{slice, time::Duration};

use crate::{ConnectionId, EventId, Head, RequestId, SessionCloseReason, StreamId};

/// A message: its head, body and size.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Message<M> {
    /// The head, by which the session routes it.
    pub head: Head,
    /// The driver's representation of the message: bytes, a typed message, a number.
    pub body: M,
    /// The size of the body in memory, in bytes.
    pub bytes: usize,
}

/// The content of a POST.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Post<M> {
    /// One message.
    Single(Message<M>),
    /// A JSON array of messages, even if it has only one.
    Batch(Vec<Message<M>>),
}

impl<M> Post<M> {
    /// Returns the messages in order.
    #[must_use]
    pub fn messages(&self) -> &[Message<M>] {
        match self {
            Self::Single(message) => slice::from_ref(message),
            Self::Batch(messages) => messages,
        }
    }

    /// Returns whether a message is a request, so that the POST opens a stream.
    #[must_use]
    pub fn has_request(&self) -> bool {
        self.messages().iter().any(|message| message.head.is_request())
    }

    /// Iterates over the ids of the requests in order. If the POST is rejected, each of them
    /// needs an error response.
    pub fn request_ids(&self) -> impl Iterator<Item = &RequestId> {
        self.messages().iter().filter_map(|message| match &message.head {
            Head::Request { id, .. } => Some(id),
            Head::Notification(_) | Head::Response { .. } | Head::Error { .. } => None,
        })
    }

    /// Returns a POST with other bodies, see [`Message::map`].
    pub fn map<N>(&self, mut body: impl FnMut(&Head, &M) -> N) -> Post<N> {
        match self {
            Self::Single(message) => Post::Single(message.map(body)),
            Self::Batch(messages) => {
                Post::Batch(messages.iter().map(|message| message.map(&mut body)).collect())
            }
        }
    }
}

impl<M> Message<M> {
    /// Returns a message with the same head, and the body that `body` returns for this one.
    pub fn map<N>(&self, body: impl FnOnce(&Head, &M) -> N) -> Message<N> {
        let body = body(&self.head, &self.body);
        Message { head: self.head.clone(), body, bytes: self.bytes }
    }
}

/// The format of the HTTP response to a POST.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum AnswerFormat {
    /// A stream of SSE events.
    Sse,
    /// One JSON object if the JSON-RPC response is the first event, otherwise SSE. For a batch,
    /// always SSE.
    Json,
}

/// An input: something that happened, as the driver reports it to a session.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Input<C, S = C> {
    /// A POST arrived. If it has a request other than `initialize`, it opens a stream.
    Post {
        /// The new connection that is attached to the stream. Unused if the POST has no
        /// request, see [`Post::has_request`].
        connection: ConnectionId,
        /// The format that the client accepts.
        format: AnswerFormat,
        /// The content of the POST.
        post: Post<C>,
    },
    /// A GET arrived on a new connection.
    Get {
        /// The connection.
        connection: ConnectionId,
        /// The value of its `Last-Event-ID` header.
        last_event_id: Option<EventId>,
    },
    /// The HTTP body of a connection pulled events, or a part of the next event.
    Acknowledged {
        /// The connection.
        connection: ConnectionId,
        /// The index of the last event that was pulled completely.
        ///
        /// An event that is written in parts is acknowledged with its last part. Before that,
        /// repeat the previous index with each part, so that the reader does not stall.
        through: u64,
    },
    /// A connection was closed, by either side.
    ConnectionClosed {
        /// The connection.
        connection: ConnectionId,
        /// The index of the last event that its HTTP body pulled, if any. `None` also if it
        /// was acknowledged before.
        through: Option<u64>,
    },
    /// The driver abandons a request stream. Its pending requests are cancelled, without
    /// notice to the backend.
    Abandon {
        /// The stream.
        stream: StreamId,
    },
    /// The client deleted the session.
    Delete,
    /// The driver closes the session.
    CloseSession {
        /// The reason that is reported by [`Action::SessionClosed`](crate::Action::SessionClosed).
        reason: SessionCloseReason,
    },
    /// The backend sent a message.
    BackendMessage {
        /// The message.
        message: Message<S>,
        /// The client's request that the message belongs to, if the backend can tell.
        related: Option<RequestId>,
        /// What to do while the session has no room for the message.
        overflow: Overflow,
    },
    /// The driver disconnects a stream, so that its client comes back (SSE polling).
    ///
    /// For the standalone stream, this also closes the shadows.
    Disconnect {
        /// The stream, which stays open.
        stream: StreamId,
        /// How long the client should wait before it comes back: the `retry:` field of a priming
        /// event.
        retry: Option<Duration>,
    },
    /// The backend has exited and will send nothing more.
    BackendGone,
    /// The backend has exited, and the session lives on: its client can still get what is retained.
    ///
    /// Pending requests end in failures, and server requests end without a response. The driver may
    /// open another backend. Otherwise, it closes the session once
    /// [`is_vacant`](crate::Session::is_vacant). A session that is not initialized closes.
    BackendLost,
    /// The records with these numbers are committed. Only with
    /// [`Config::commits`](crate::Config::commits).
    Committed {
        /// The highest number: that of the last [`Record`](crate::Record).
        through: u64,
    },
    /// The driver limits the memory of the session, or raises the limit again: several sessions
    /// share a budget, for example.
    LimitBytes {
        /// Maximum cost in bytes of all events that the session keeps, in place of
        /// [`session_bytes_max`](crate::Config::session_bytes_max) if that is higher.
        ///
        /// The session evicts at once what no active reader awaits. The rest is evicted when its
        /// readers have acknowledged it, or have been cut because they have stopped: until then,
        /// [`kept_bytes`](crate::Session::kept_bytes) can be higher. `usize::MAX` removes the
        /// limit.
        bytes_max: usize,
    },
    /// The session finishes what it has begun, and then closes: the server shuts down, for example.
    ///
    /// Further requests are rejected with [`Rejection::Draining`](crate::Rejection::Draining). The
    /// session closes with [`SessionCloseReason::ServerShutdown`] once no request is pending, and the
    /// clients that can get a response have acknowledged it: at once, if it is not initialized or
    /// has nothing to do. It has no limit for this. When that of the driver is reached, send
    /// [`CloseSession`](Self::CloseSession).
    Drain {
        /// How long a client on the standalone stream should wait before it comes back, to find
        /// that its session has ended. A later `Drain` replaces it.
        retry: Duration,
    },
    /// Time has passed.
    Tick,
}

impl<C, S> Input<C, S> {
    /// Returns an input with other bodies for the messages of the client and of the backend, see
    /// [`Message::map`]. A journal drops the bodies, for example.
    pub fn map<D, T>(
        &self,
        client: impl FnMut(&Head, &C) -> D,
        server: impl FnOnce(&Head, &S) -> T,
    ) -> Input<D, T> {
        match *self {
            Self::Post { connection, format, ref post } => {
                Input::Post { connection, format, post: post.map(client) }
            }
            Self::Get { connection, last_event_id } => Input::Get { connection, last_event_id },
            Self::Acknowledged { connection, through } => {
                Input::Acknowledged { connection, through }
            }
            Self::ConnectionClosed { connection, through } => {
                Input::ConnectionClosed { connection, through }
            }
            Self::Abandon { stream } => Input::Abandon { stream },
            Self::Delete => Input::Delete,
            Self::CloseSession { reason } => Input::CloseSession { reason },
            Self::BackendMessage { ref message, ref related, overflow } => {
                let (message, related) = (message.map(server), related.clone());
                Input::BackendMessage { message, related, overflow }
            }
            Self::Disconnect { stream, retry } => Input::Disconnect { stream, retry },
            Self::BackendGone => Input::BackendGone,
            Self::BackendLost => Input::BackendLost,
            Self::Committed { through } => Input::Committed { through },
            Self::LimitBytes { bytes_max } => Input::LimitBytes { bytes_max },
            Self::Drain { retry } => Input::Drain { retry },
            Self::Tick => Input::Tick,
        }
    }
}

/// What a session does with a message of the backend while what it keeps for readers that make
/// progress is at its limit: [`session_bytes_max`](crate::Config::session_bytes_max), or that of
/// [`Input::LimitBytes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Overflow {
    /// Rejects it with [`Rejection::Full`](crate::Rejection::Full): the sender waits for
    /// [`Action::Release`](crate::Action::Release), and sends it again. No event is lost.
    Hold,
    /// Evicts the oldest events that no reader was sent yet, or the message itself. For a
    /// sender that cannot wait.
    Evict,
}
