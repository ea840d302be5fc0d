//! What happened, as told to a session.

use alloc::vec::Vec;
use core::{slice, time::Duration};

use crate::{CloseReason, ConnectionId, EventId, Head, RequestId, StreamId};

/// A message, and what a session needs to know of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Message<M> {
    /// What it is routed by.
    pub head: Head,
    /// What the driver calls a message: bytes, a typed message, a number.
    pub body: M,
    /// How much memory the body holds, in bytes.
    pub bytes: usize,
}

/// What one POST carries.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Post<M> {
    /// One message.
    Single(Message<M>),
    /// A JSON array of messages, even if it has but one.
    Batch(Vec<Message<M>>),
}

impl<M> Post<M> {
    /// Returns its messages in order.
    #[must_use]
    pub fn messages(&self) -> &[Message<M>] {
        match self {
            Self::Single(message) => slice::from_ref(message),
            Self::Batch(messages) => messages,
        }
    }

    /// Returns the POST with other bodies, likewise.
    pub fn map<N>(self, mut body: impl FnMut(&Head, M) -> N) -> Post<N> {
        match self {
            Self::Single(message) => Post::Single(message.map(body)),
            Self::Batch(messages) => {
                let messages = messages.into_iter();
                Post::Batch(messages.map(|message| message.map(&mut body)).collect())
            }
        }
    }
}

impl<M> Message<M> {
    /// Returns the message with another body, made of it and its head.
    pub fn map<N>(self, body: impl FnOnce(&Head, M) -> N) -> Message<N> {
        let body = body(&self.head, self.body);
        Message { head: self.head, body, bytes: self.bytes }
    }
}

/// How a POST wants to be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum AnswerFormat {
    /// By a stream of SSE events.
    Sse,
    /// By one JSON object where the response comes first and alone, else by SSE.
    Json,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Input<M> {
    /// The driver wants a request stream of which it will hear the request later.
    ///
    /// The stream opens when an [`Input::Request`] names the same connection.
    Reserve {
        /// The connection that will carry the stream.
        connection: ConnectionId,
    },
    /// A POST that carries at least one request came on a new connection, or on
    /// one that was reserved.
    Request {
        /// The connection that will carry the answer.
        connection: ConnectionId,
        /// How the client wants to be answered.
        format: AnswerFormat,
        /// What the POST carries.
        post: Post<M>,
    },
    /// A GET came on a new connection.
    Get {
        /// The connection that will carry the stream.
        connection: ConnectionId,
        /// What its `Last-Event-ID` says.
        last_event_id: Option<EventId>,
    },
    /// A POST came that carries no request: notifications, responses, errors.
    Message {
        /// What the POST carries.
        post: Post<M>,
    },
    /// The body of a connection pulled events out of its channel, or a part of the next one.
    Acknowledged {
        /// The connection.
        connection: ConnectionId,
        /// The index of the last event that was pulled as a whole. To say it again says that
        /// the reader has got on with the next event: a large event that is written in parts
        /// counts as taken with its last one, and its reader does not stall meanwhile.
        through: u64,
    },
    /// A connection is gone, by whichever side, whatever the reason.
    ConnectionClosed {
        /// The connection.
        connection: ConnectionId,
        /// The index of the last event that its body ever pulled, if any.
        through: Option<u64>,
    },
    /// Nobody wants a request stream any more: what waits on it is given up.
    Abandon {
        /// The stream.
        stream: StreamId,
    },
    /// The client deleted the session.
    Delete,
    /// The driver closes the session.
    CloseSession {
        /// Why, as it sees it: this is what everybody else will hear.
        reason: CloseReason,
    },
    /// The backend sent a message.
    BackendMessage {
        /// The message.
        message: Message<M>,
        /// The client's request that it belongs to, where the backend can say.
        related: Option<RequestId>,
    },
    /// The backend wants a stream's connection closed, so that the client polls.
    ///
    /// For the standalone stream, that closes the shadows, too.
    Disconnect {
        /// The stream, which lives on.
        stream: StreamId,
        /// When the client should come back, told by a priming event.
        retry: Option<Duration>,
    },
    /// The backend is gone, and will say nothing more.
    BackendGone,
    /// Time has passed.
    Tick,
}

impl<M> Input<M> {
    /// Returns the input with other bodies, each made of it and the head of its
    /// message: none for a journal, labels for a transcript.
    pub fn map<N>(self, mut body: impl FnMut(&Head, M) -> N) -> Input<N> {
        match self {
            Self::Reserve { connection } => Input::Reserve { connection },
            Self::Request { connection, format, post } => {
                Input::Request { connection, format, post: post.map(body) }
            }
            Self::Get { connection, last_event_id } => Input::Get { connection, last_event_id },
            Self::Message { post } => Input::Message { post: post.map(body) },
            Self::Acknowledged { connection, through } => {
                Input::Acknowledged { connection, through }
            }
            Self::ConnectionClosed { connection, through } => {
                Input::ConnectionClosed { connection, through }
            }
            Self::Abandon { stream } => Input::Abandon { stream },
            Self::Delete => Input::Delete,
            Self::CloseSession { reason } => Input::CloseSession { reason },
            Self::BackendMessage { message, related } => {
                Input::BackendMessage { message: message.map(&mut body), related }
            }
            Self::Disconnect { stream, retry } => Input::Disconnect { stream, retry },
            Self::BackendGone => Input::BackendGone,
            Self::Tick => Input::Tick,
        }
    }
}
