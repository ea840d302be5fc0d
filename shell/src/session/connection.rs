//! A connection: what an HTTP body is made of.

#[cfg(feature = "http")]
use std::time::Duration;
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures_core::Stream;
use rejoin_core::{ConnectionId, StreamId};

#[cfg(feature = "http")]
use super::buffer::MessagePart;
use super::{
    buffer::SseEvent,
    inner::{ReadLimits, SessionInner},
};
use crate::SessionId;

/// The events of one stream, as far as they come: a [`Stream`] of [`SseEvent`]s.
///
/// What it returned counts as taken. To drop it is to disconnect: the stream lives
/// on, and is resumed by an event id.
#[derive(Debug)]
pub struct Connection {
    session: Arc<SessionInner>,
    id: ConnectionId,
    through: Option<u64>,
    is_finished: bool,
}

/// What is taken is out of the session's sight: if it were much, a reader that is slow
/// would look like one that is stalled.
const READ_BYTES_MAX: usize = 16 << 10;

/// A larger event is written in parts: while it is written, its reader is seen to read, and a
/// reader that has stopped does not keep it in memory once its connection is cut.
#[cfg(feature = "http")]
const WHOLE_EVENT_BYTES_MAX: usize = 64 << 10;

const ONE_EVENT: ReadLimits = ReadLimits { events: 1, bytes: usize::MAX, event_bytes: usize::MAX };

impl Connection {
    pub(super) fn new(session: Arc<SessionInner>, id: ConnectionId) -> Self {
        Self { session, id, through: None, is_finished: false }
    }

    /// Returns the id of the session.
    #[must_use]
    pub fn session_id(&self) -> SessionId {
        self.session.id()
    }

    /// Returns the stream that the connection carries now: none where it is a shadow,
    /// answers `initialize`, or has ended.
    #[must_use]
    pub fn stream_id(&self) -> Option<StreamId> {
        self.session.stream_on(self.id)
    }

    /// Takes the events that are there at once, up to 16 KiB of them and at least one;
    /// `false` says that they are the last.
    ///
    /// Waits where there is none and more may come. Cancel-safe.
    pub fn poll_events(&mut self, cx: &mut Context<'_>, events: &mut Vec<SseEvent>) -> Poll<bool> {
        let bytes_of_one = usize::MAX;
        let most =
            ReadLimits { events: usize::MAX, bytes: READ_BYTES_MAX, event_bytes: bytes_of_one };
        self.poll_with_limits(most, cx, events)
    }

    /// Is [`poll_events`](Self::poll_events), but takes no large message: is ready without an
    /// event where that is next. It is taken by [`take_part`](Self::take_part).
    #[cfg(feature = "http")]
    pub(crate) fn poll_small_events(
        &mut self,
        cx: &mut Context<'_>,
        events: &mut Vec<SseEvent>,
    ) -> Poll<bool> {
        let bytes_of_one = WHOLE_EVENT_BYTES_MAX;
        let most =
            ReadLimits { events: usize::MAX, bytes: READ_BYTES_MAX, event_bytes: bytes_of_one };
        self.poll_with_limits(most, cx, events)
    }

    /// Takes the next part of the next message.
    #[cfg(feature = "http")]
    pub(crate) fn take_part(&mut self) -> Option<MessagePart> {
        self.session.take_part(self.id, &mut self.through, READ_BYTES_MAX)
    }

    /// Ends the connection, if its client can come back: it is told to do so after `retry`.
    #[cfg(feature = "http")]
    pub(crate) fn disconnect(&self, retry: Duration) {
        if let Some(stream) = self.stream_id() {
            // An error says that the client could not come back, or that all is over.
            let _ = self.session.disconnect(stream, Some(retry));
        }
    }

    pub(super) fn is_of(&self, session: &Arc<SessionInner>) -> bool {
        Arc::ptr_eq(&self.session, session)
    }

    pub(super) fn id(&self) -> ConnectionId {
        self.id
    }

    fn poll_with_limits(
        &mut self,
        most: ReadLimits,
        cx: &mut Context<'_>,
        events: &mut Vec<SseEvent>,
    ) -> Poll<bool> {
        if self.is_finished {
            return Poll::Ready(false);
        }
        let through = &mut self.through;
        let polled = self.session.poll_events(self.id, through, events, most, cx);
        self.is_finished = polled == Poll::Ready(false);
        polled
    }
}

impl Stream for Connection {
    type Item = SseEvent;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<SseEvent>> {
        let mut events = Vec::new();
        self.get_mut().poll_with_limits(ONE_EVENT, cx, &mut events).map(|_| events.pop())
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if !self.is_finished {
            self.session.on_connection_dropped(self.id, self.through);
        }
    }
}
