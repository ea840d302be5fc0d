//! Inputs of the client machine: what has happened.

use alloc::{boxed::Box, vec::Vec};
use core::{fmt, time::Duration};

use super::Lists;
use crate::Message;

/// The number of an exchange: one HTTP request and its response. The machine chooses it, and never
/// reuses it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExchangeId(pub u64);

impl fmt::Debug for ExchangeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// What has happened, as the driver reports it.
///
/// Of each exchange, the driver reports either [`Failed`](Self::Failed), or
/// [`Response`](Self::Response) and, if its status is 2xx, the events and the
/// [`End`](Self::Ended) of the body. Inputs about an exchange that has ended, or that was aborted,
/// have no effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input<C, S = C> {
    /// The application sends a message.
    Message {
        /// The message.
        message: Message<C>,
        /// Whether it is `notifications/initialized`, which a head does not tell:
        /// [`is_initialized`](super::is_initialized) does.
        is_initialized: bool,
    },
    /// The head of the response of an exchange has arrived.
    Response {
        /// The exchange.
        exchange: ExchangeId,
        /// The head.
        response: Response<S>,
    },
    /// An SSE event has arrived, or a body that is JSON.
    Event {
        /// The exchange.
        exchange: ExchangeId,
        /// The event.
        event: Event<S>,
    },
    /// The body of an exchange has ended, regularly or not.
    Ended {
        /// The exchange.
        exchange: ExchangeId,
    },
    /// An exchange has ended without the head of a response.
    Failed {
        /// The exchange.
        exchange: ExchangeId,
        /// Why.
        failure: ExchangeFailure,
    },
    /// The application has left.
    Close,
    /// Time has passed.
    Tick,
}

/// Why an exchange has ended without the head of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExchangeFailure {
    /// No connection could be made, for a transient reason.
    Unreachable,
    /// No connection could be made, for a permanent reason: the certificate of the server is not
    /// trusted, for example.
    Permanent {
        /// The reason, for the application.
        reason: Box<str>,
    },
    /// The connection was lost, and the server can have received the request.
    ConnectionLost,
}

/// The head of an HTTP response. Start from [`Response::new`], and set fields.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Response<S> {
    /// The status.
    pub status: u16,
    /// The value of `Mcp-Session-Id`.
    pub session_id: Option<Box<str>>,
    /// The delay that `Retry-After` asks for.
    pub retry_after: Option<Duration>,
    /// Whether the credentials that the driver would send now are not those that it has sent with
    /// this exchange.
    pub credentials_changed: bool,
    /// The JSON-RPC error in the body, if the status is not 2xx.
    pub error: Option<Message<S>>,
}

impl<S> Response<S> {
    /// Returns a head with nothing but a status.
    #[must_use]
    pub const fn new(status: u16) -> Self {
        Self {
            status,
            session_id: None,
            retry_after: None,
            credentials_changed: false,
            error: None,
        }
    }

    pub(super) const fn is_success(&self) -> bool {
        matches!(self.status, 200..=299)
    }
}

/// An SSE event, or a body that is JSON. Start from the [`Default`], and set fields.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event<S> {
    /// The `id:` field; an empty one forgets the last id.
    pub id: Option<Box<str>>,
    /// The `retry:` field.
    pub retry: Option<Duration>,
    /// The messages: none in a priming event, several in a batch.
    pub messages: Vec<Message<S>>,
    /// Which lists the server announces to change, if a message is the response to `initialize`.
    pub lists: Lists,
    /// Whether the driver has dropped the data, because it was too large.
    pub is_too_large: bool,
}

impl<S> Event<S> {
    /// Returns an event with one message and an id.
    #[must_use]
    pub fn new(id: Option<&str>, message: Message<S>) -> Self {
        Self { id: id.map(Box::from), messages: alloc::vec![message], ..Self::default() }
    }
}

impl<S> Default for Event<S> {
    fn default() -> Self {
        Self {
            id: None,
            retry: None,
            messages: Vec::new(),
            lists: Lists::default(),
            is_too_large: false,
        }
    }
}
