//! Sent messages of a backend: what is left to record of them, and their backpressure.

use std::{
    mem,
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use rejoin_core::{ApiMisuse, BackendFault, Overflow, ParseError, Rejection};
use smallvec::SmallVec;
use thiserror::Error;

use super::{
    SessionInner,
    backend_message::{BackendMessage, Recorded, ReleaseReceiver, RoomReceiver},
};
use crate::{message::TooDeep, payload::Payload};

/// A message that was sent by [`ClientSender::send`](crate::ClientSender::send), or rejected.
///
/// As a future, it waits until the session has room for the message, because clients that read
/// have not received enough of what it, or all sessions together, keep for them, and then for
/// backpressure: while a client that reads slowly lags far behind. A client that keeps reading then
/// misses nothing. A message for which there is no room can be overtaken by what is sent before it
/// is awaited.
///
/// If it is dropped instead, what is left is sent at once: clients that read slowly can miss
/// events of a backend that sends a lot, and get an error in place of a response. Polling can be
/// interrupted, and goes on later.
///
/// # Errors
///
/// The backend is at fault, or the session has ended. The valid messages of a batch were sent.
#[derive(Debug)]
#[must_use = "await it, so that slow readers miss nothing, or drop it"]
pub struct Sent<P: Payload = Bytes> {
    result: Result<(), SendError>,
    /// What there is no room for.
    waiting: Option<Box<WaitingMessages<P>>>,
    /// Of the messages that were recorded.
    backpressure: SmallVec<[ReleaseReceiver; 1]>,
}

/// Messages of one sender that wait for room.
#[derive(Debug)]
struct WaitingMessages<P: Payload> {
    session: Weak<SessionInner<P>>,
    first: BackendMessage<P>,
    /// The rest of a batch.
    rest: smallvec::IntoIter<[BackendMessage<P>; 1]>,
    /// Ready when to send the first one again.
    room: RoomReceiver,
}

impl<P: Payload> Sent<P> {
    /// Records messages, in order.
    pub(super) fn record(
        session: &Arc<SessionInner<P>>,
        messages: SmallVec<[BackendMessage<P>; 1]>,
        overflow: Overflow,
    ) -> Self {
        let mut sent = Self { result: Ok(()), waiting: None, backpressure: SmallVec::new() };
        let mut messages = messages.into_iter();
        let first = messages.next();
        sent.record_rest(session, first, messages, overflow);
        sent
    }

    /// Rejects a message.
    pub(super) fn rejected(error: SendError) -> Self {
        Self { result: Err(error), waiting: None, backpressure: SmallVec::new() }
    }

    /// Returns whether the message was accepted, without waiting for room.
    ///
    /// # Errors
    ///
    /// It was not, or not all messages of a batch were.
    pub fn result(&self) -> Result<(), &SendError> {
        self.result.as_ref().copied()
    }

    /// Records messages, until there is no room for one.
    fn record_rest(
        &mut self,
        session: &Arc<SessionInner<P>>,
        mut next: Option<BackendMessage<P>>,
        mut rest: smallvec::IntoIter<[BackendMessage<P>; 1]>,
        overflow: Overflow,
    ) {
        while let Some(message) = next {
            next = match session.record(message, overflow) {
                Ok(Recorded::Yes(released)) => {
                    self.backpressure.extend(released);
                    rest.next()
                }
                Ok(Recorded::Full(message, None)) => Some(message),
                Ok(Recorded::Full(first, Some(room))) => {
                    let session = Arc::downgrade(session);
                    let waiting = WaitingMessages { session, first, rest, room };
                    self.waiting = Some(Box::new(waiting));
                    return;
                }
                Err(rejection) => {
                    self.reject(rejection.into());
                    rest.next()
                }
            };
        }
    }

    /// Records the messages that have been waiting for room.
    fn record_waiting(&mut self, overflow: Overflow) {
        let Some(waiting) = self.waiting.take() else { return };
        let WaitingMessages { session, first, rest, room } = *waiting;
        // From here on, it is not counted as waiting.
        drop(room);
        match session.upgrade() {
            Some(session) => self.record_rest(&session, Some(first), rest, overflow),
            None => self.reject(SendError::Ended),
        }
    }

    /// Keeps the first error.
    fn reject(&mut self, error: SendError) {
        self.result = mem::replace(&mut self.result, Ok(())).and(Err(error));
    }
}

impl<P: Payload> Future for Sent<P> {
    type Output = Result<(), SendError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        while let Some(waiting) = &mut self.waiting {
            // An error means that the sender was released, too.
            let _ = ready!(Pin::new(&mut waiting.room.released).poll(cx));
            self.record_waiting(Overflow::Hold);
        }
        while let Some(released) = self.backpressure.last_mut() {
            let _ = ready!(Pin::new(released).poll(cx));
            self.backpressure.pop();
        }
        Poll::Ready(self.result.clone())
    }
}

impl<P: Payload> Drop for Sent<P> {
    fn drop(&mut self) {
        self.record_waiting(Overflow::Evict);
    }
}

/// Why a message of a backend was not sent.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
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
            // A message for which there is no room waits, and is not an error.
            Rejection::Client(_) | Rejection::Closed(_) | Rejection::Full | Rejection::Draining => {
                Self::Ended
            }
        }
    }
}
