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
use super::buffer::Part;
use super::{
    buffer::SseEvent,
    inner::{Most, SessionInner},
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
    is_over: bool,
}

/// What is taken is out of the session's sight: if it were much, a reader that is slow
/// would look like one that is stalled.
const BYTES_AT_ONCE: usize = 16 << 10;

/// A larger event is written in parts: while it is written, its reader is seen to read, and a
/// reader that has stopped does not keep it in memory once its connection is cut.
#[cfg(feature = "http")]
const BYTES_IN_ONE_PART: usize = 64 << 10;

const ONE: Most = Most { events: 1, bytes: usize::MAX, bytes_of_one: usize::MAX };

impl Connection {
    pub(super) fn new(session: Arc<SessionInner>, id: ConnectionId) -> Self {
        Self { session, id, through: None, is_over: false }
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
        self.session.carried(self.id)
    }

    /// Takes the events that are there at once, up to 16 KiB of them and at least one;
    /// `false` says that they are the last.
    ///
    /// Waits where there is none and more may come. Cancel-safe.
    pub fn poll_events(&mut self, cx: &mut Context<'_>, events: &mut Vec<SseEvent>) -> Poll<bool> {
        let bytes_of_one = usize::MAX;
        let most = Most { events: usize::MAX, bytes: BYTES_AT_ONCE, bytes_of_one };
        self.poll_up_to(most, cx, events)
    }

    /// Is [`poll_events`](Self::poll_events), but takes no large message: is ready without an
    /// event where that is next. It is taken by [`take_part`](Self::take_part).
    #[cfg(feature = "http")]
    pub(crate) fn poll_small_events(
        &mut self,
        cx: &mut Context<'_>,
        events: &mut Vec<SseEvent>,
    ) -> Poll<bool> {
        let bytes_of_one = BYTES_IN_ONE_PART;
        let most = Most { events: usize::MAX, bytes: BYTES_AT_ONCE, bytes_of_one };
        self.poll_up_to(most, cx, events)
    }

    /// Takes the next part of the next message.
    #[cfg(feature = "http")]
    pub(crate) fn take_part(&mut self) -> Option<Part> {
        self.session.take_part(self.id, &mut self.through, BYTES_AT_ONCE)
    }

    /// Ends the connection, if its client can come back: it is told to do so after `retry`.
    #[cfg(feature = "http")]
    pub(crate) fn recycle(&self, retry: Duration) {
        if let Some(stream) = self.stream_id() {
            // An error says that the client could not come back, or that all is over.
            let _ = self.session.close_stream(stream, Some(retry));
        }
    }

    pub(super) fn is_of(&self, session: &Arc<SessionInner>) -> bool {
        Arc::ptr_eq(&self.session, session)
    }

    pub(super) fn id(&self) -> ConnectionId {
        self.id
    }

    fn poll_up_to(
        &mut self,
        most: Most,
        cx: &mut Context<'_>,
        events: &mut Vec<SseEvent>,
    ) -> Poll<bool> {
        if self.is_over {
            return Poll::Ready(false);
        }
        let through = &mut self.through;
        let polled = self.session.poll_events(self.id, through, events, most, cx);
        self.is_over = polled == Poll::Ready(false);
        polled
    }
}

impl Stream for Connection {
    type Item = SseEvent;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<SseEvent>> {
        let mut events = Vec::new();
        self.get_mut().poll_up_to(ONE, cx, &mut events).map(|_| events.pop())
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if !self.is_over {
            self.session.disconnect(self.id, self.through);
        }
    }
}
