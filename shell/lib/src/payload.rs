//! What sessions carry: the types of messages, and the messages that sessions themselves send.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use rejoin_core::{EventId, Head, Message, Parsed, RequestId, parse_head};

use crate::{
    ClientMessage, message,
    observer::{self, ObservedRequest, ResponseFault},
    render,
};

/// What sessions carry: [`Bytes`], the JSON text of messages, or the types of a library.
///
/// It cannot be implemented outside of this crate.
pub trait Payload: private::Sealed + Clone + fmt::Debug + Send + Sync + 'static {
    /// A message of a client, which its session only forwards.
    type Client: fmt::Debug + Send + 'static;
    /// A message of a backend. Sessions keep clones of it.
    type Server: ServerPayload;

    /// Whether a session lives on after its backend has ended, until its client has what that has sent.
    #[doc(hidden)]
    const OUTLIVES_BACKEND: bool;

    /// Returns the name and version of the client, if the message is its `initialize` request.
    #[doc(hidden)]
    fn client_name(message: &Self::Client) -> Option<String>;

    /// Returns what an observer is told of a request of a client.
    #[doc(hidden)]
    fn observed(id: &RequestId, message: &Self::Client) -> Arc<ObservedRequest>;

    /// Returns the fault that a response reports.
    #[doc(hidden)]
    fn response_fault(message: &Message<Self::Server>) -> Option<ResponseFault>;

    /// Returns the error response that a client gets in place of that of the backend.
    #[doc(hidden)]
    fn error_for_client(request: &RequestId, message: &str) -> Self::Server;

    /// Returns the log message that reports to a client that the events from `first` to `last` are
    /// missing.
    #[doc(hidden)]
    fn gap_notification(last: EventId, first: u64) -> Self::Server;

    /// Returns the error response that a backend gets in place of that of the client.
    #[doc(hidden)]
    fn error_for_backend(request: &RequestId, code: i32, message: &str) -> Self::Client;

    /// Returns the notification that cancels a request of the client at the backend.
    #[doc(hidden)]
    fn cancellation(request: &RequestId) -> Self::Client;
}

/// A message of a backend, as sessions carry it.
///
/// It cannot be implemented outside of this crate.
pub trait ServerPayload: private::Sealed + Clone + fmt::Debug + Send + Sync + 'static {
    /// Returns the size of the message in bytes, which counts towards the limits of sessions.
    #[doc(hidden)]
    fn bytes(&self) -> usize;

    /// Returns its head, which the session did not keep.
    #[doc(hidden)]
    fn head(&self) -> Option<Head>;
}

pub(crate) mod private {
    /// Implemented by the payloads of this crate.
    pub trait Sealed {}
}

impl private::Sealed for Bytes {}

impl Payload for Bytes {
    type Client = ClientMessage;
    type Server = Self;

    const OUTLIVES_BACKEND: bool = true;

    fn client_name(message: &ClientMessage) -> Option<String> {
        message::client_name(message)
    }

    fn observed(id: &RequestId, message: &ClientMessage) -> Arc<ObservedRequest> {
        message.observed(id)
    }

    fn response_fault(message: &Message<Self>) -> Option<ResponseFault> {
        observer::fault(&message.head, &message.body)
    }

    fn error_for_client(request: &RequestId, message: &str) -> Self {
        render::error(Some(request), render::INTERNAL_ERROR, message)
    }

    fn gap_notification(last: EventId, first: u64) -> Self {
        render::gap_notification(last, first)
    }

    fn error_for_backend(request: &RequestId, code: i32, message: &str) -> ClientMessage {
        render::error(Some(request), code, message).into()
    }

    fn cancellation(request: &RequestId) -> ClientMessage {
        render::cancellation(request).into()
    }
}

impl ServerPayload for Bytes {
    fn bytes(&self) -> usize {
        self.len()
    }

    fn head(&self) -> Option<Head> {
        match parse_head(self, 1).ok()? {
            Parsed::Single(head) => Some(head),
            Parsed::Batch(_) => None,
        }
    }
}
