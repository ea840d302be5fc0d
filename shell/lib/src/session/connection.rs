//! A connection: the source of an HTTP response body.

#[cfg(feature = "http")]
use std::time::Duration;
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_core::Stream;
#[cfg(feature = "rmcp")]
use rejoin_core::EventId;
use rejoin_core::{ConnectionId, Input, StreamId};
#[cfg(feature = "http")]
use rejoin_core::{Session, SessionCloseReason};

#[cfg(feature = "http")]
use super::buffer::MessagePart;
use super::{
    buffer::{End, SseEvent},
    inner::SessionInner,
};
use crate::{SessionId, observer::SessionEvent, payload::Payload};

/// A connection to a stream of a session: a [`Stream`] of [`SseEvent`]s.
///
/// Events that it returned count as acknowledged. Dropping it closes the connection; its stream
/// lives on, and can be resumed by an event id.
#[derive(Debug)]
pub struct Connection<P: Payload = Bytes> {
    session: Arc<SessionInner<P>>,
    id: ConnectionId,
    through: Option<u64>,
    /// Why there are no more events, once that is so.
    end: Option<End>,
}

/// Limits of one read. At least one event is read if it is not larger than `event_bytes`, even if
/// it exceeds `bytes`.
#[derive(Clone, Copy, Debug)]
struct ReadLimits {
    events: usize,
    bytes: usize,
    event_bytes: usize,
}

/// Number of bytes that are read at once. The session does not see what happens to events after
/// they were read: if they were large, a slow reader would look like a stalled one.
const READ_BYTES_MAX: usize = 16 << 10;

/// Size of the largest event that is read as a whole, in bytes. Larger ones are read in parts, so
/// that the session sees the progress of the reader, and can free an event whose reader has
/// stalled by cutting its connection.
#[cfg(feature = "http")]
const WHOLE_EVENT_BYTES_MAX: usize = 64 << 10;

const ONE_EVENT: ReadLimits = ReadLimits { events: 1, bytes: usize::MAX, event_bytes: usize::MAX };

impl<P: Payload> Connection<P> {
    pub(super) fn new(session: Arc<SessionInner<P>>, id: ConnectionId) -> Self {
        Self { session, id, through: None, end: None }
    }

    pub(super) fn id(&self) -> ConnectionId {
        self.id
    }

    /// Returns whether it is a connection of a session.
    pub(super) fn is_of(&self, session: &Arc<SessionInner<P>>) -> bool {
        Arc::ptr_eq(&self.session, session)
    }

    /// Returns the id of the session.
    #[must_use]
    pub fn session_id(&self) -> SessionId {
        self.session.id()
    }

    /// Returns the stream that the connection is attached to: `None` if it is a shadow, is
    /// reserved, answers `initialize`, or has ended.
    #[must_use]
    pub fn stream_id(&self) -> Option<StreamId> {
        self.session.inspect(|core| core.stream_on(self.id))
    }

    /// Returns the event id after which a client would resume that has read nothing so far. `None`
    /// if the connection is not attached.
    #[cfg(feature = "rmcp")]
    pub(crate) fn start(&self) -> Option<EventId> {
        self.session.inspect(|core| {
            let stream = core.stream_on(self.id)?;
            let unread = core.cursor(self.id)?.first_unacknowledged();
            Some(EventId::new(stream, unread.saturating_sub(1)))
        })
    }

    /// Returns whether it has ended because its stream has no more events: its client has nothing
    /// to resume. A connection can also end because another one has replaced it, for example.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.end == Some(End::Complete)
    }

    /// Returns whether it has ended before its stream, and not so that its client comes back: it was
    /// cut, for example.
    #[cfg(feature = "http")]
    pub(crate) fn is_lost(&self) -> bool {
        self.end == Some(End::Lost)
    }

    /// Appends the events that are ready, about 16 KiB of them and at least one, to `events`.
    /// Returns `false` if they are the last ones.
    ///
    /// Pending if there are none yet. Cancel-safe.
    pub fn poll_events(
        &mut self,
        cx: &mut Context<'_>,
        events: &mut Vec<SseEvent<P::Server>>,
    ) -> Poll<bool> {
        let limits =
            ReadLimits { events: usize::MAX, bytes: READ_BYTES_MAX, event_bytes: usize::MAX };
        self.poll_with_limits(limits, cx, events)
    }

    /// Like [`poll_events`](Self::poll_events), but does not read large messages: if one is next,
    /// it is ready without an event, and [`take_part`](Self::take_part) reads it.
    #[cfg(feature = "http")]
    pub(crate) fn poll_small_events(
        &mut self,
        cx: &mut Context<'_>,
        events: &mut Vec<SseEvent<P::Server>>,
    ) -> Poll<bool> {
        let limits = ReadLimits {
            events: usize::MAX,
            bytes: READ_BYTES_MAX,
            event_bytes: WHOLE_EVENT_BYTES_MAX,
        };
        self.poll_with_limits(limits, cx, events)
    }

    /// Closes the connection so that its client reconnects after `retry`, if it can resume.
    #[cfg(feature = "http")]
    pub(crate) fn disconnect(&self, retry: Duration) {
        if let Some(stream) = self.stream_id() {
            // An error means that the client cannot resume, or that the session has ended.
            let _ = self.session.input(Input::Disconnect { stream, retry: Some(retry) });
        }
    }

    /// Returns whether its events are sent once they are committed to a store.
    #[cfg(all(feature = "http", feature = "store"))]
    pub(crate) fn commits(&self) -> bool {
        self.session.shared.store.is_some()
    }

    /// Returns whether another process has the session.
    #[cfg(feature = "http")]
    pub(crate) fn has_moved(&self) -> bool {
        self.session.inspect(Session::close_reason) == Some(SessionCloseReason::Moved)
    }

    /// Returns whether it is a shadow: open, and not attached to a stream.
    #[cfg(feature = "http")]
    pub(crate) fn is_shadow(&self) -> bool {
        self.session.with_lock(false, |locked| {
            let buffer = locked.state.buffers.get_mut(self.id);
            buffer.is_some_and(|buffer| !buffer.is_closed())
                && locked.core().stream_on(self.id).is_none()
        })
    }

    fn poll_with_limits(
        &mut self,
        limits: ReadLimits,
        cx: &mut Context<'_>,
        events: &mut Vec<SseEvent<P::Server>>,
    ) -> Poll<bool> {
        if self.end.is_some() {
            return Poll::Ready(false);
        }
        let polled = self.read(limits, cx, events);
        if polled == Poll::Ready(false) {
            // Without a reason, its buffer is gone.
            self.end.get_or_insert(End::Lost);
        }
        polled
    }

    /// Moves events from the buffer to `out`, and acknowledges them. Returns whether there can be
    /// more, pending if there are none yet. Stops at an event that is larger than the limit.
    fn read(
        &mut self,
        limits: ReadLimits,
        cx: &mut Context<'_>,
        out: &mut Vec<SseEvent<P::Server>>,
    ) -> Poll<bool> {
        let (connection, through) = (self.id, &mut self.through);
        let end = &mut self.end;
        self.session.with_lock(Poll::Ready(false), |locked| {
            #[cfg(feature = "store")]
            let is_withheld = locked.is_withheld();
            let Some(buffer) = locked.state.buffers.get_mut(connection) else {
                return Poll::Ready(false);
            };
            #[cfg(feature = "store")]
            if is_withheld {
                buffer.register_waker(cx.waker());
                return Poll::Pending;
            }
            let (mut acknowledged, mut bytes) = (None, 0);
            let before = out.len();
            while out.len() - before < limits.events && bytes < limits.bytes {
                let Some(event) = buffer.pop(limits.event_bytes) else { break };
                bytes += event.bytes();
                acknowledged = Some(event.index());
                out.push(event);
            }
            *through = acknowledged.or(*through);
            if buffer.is_finished() {
                *end = buffer.end();
                locked.state.buffers.remove(connection);
                locked.apply(Input::ConnectionClosed { connection, through: *through });
                return Poll::Ready(false);
            }
            if buffer.is_empty() && out.len() == before {
                buffer.register_waker(cx.waker());
                return Poll::Pending;
            }
            if let Some(through) = acknowledged {
                locked.apply(Input::Acknowledged { connection, through });
            }
            Poll::Ready(true)
        })
    }

    /// Reports the end of the connection to the session.
    fn on_dropped(&self) {
        let (connection, through) = (self.id, self.through);
        self.session.with_lock((), |locked| {
            let Some(buffer) = locked.state.buffers.remove(connection) else { return };
            if !buffer.is_closed()
                && let Some(stream) = locked.core().stream_on(connection)
            {
                let lost = SessionEvent::ConnectionLost { connection, stream, through };
                locked.after_unlock.events.push(lost);
            }
            // The core does not know a reserved connection, or one that it has cut.
            if locked.core().cursor(connection).is_some() {
                locked.apply(Input::ConnectionClosed { connection, through });
            }
        });
    }
}

#[cfg(feature = "http")]
impl Connection {
    /// Returns the next part of the next message, of at most 16 KiB. Each part shows the session
    /// that its reader makes progress; the last one acknowledges the message. `None` if there is none any
    /// more, because another thread has cut the connection, for example: polling it tells.
    pub(crate) fn take_part(&mut self) -> Option<MessagePart> {
        let (connection, through) = (self.id, &mut self.through);
        self.session.with_lock(None, |locked| {
            let buffer = locked.state.buffers.get_mut(connection)?;
            let (part, index) = buffer.pop_part(READ_BYTES_MAX)?;
            *through = index.or(*through);
            let through = through.unwrap_or(0);
            locked.apply(Input::Acknowledged { connection, through });
            Some(part)
        })
    }
}

impl<P: Payload> Stream for Connection<P> {
    type Item = SseEvent<P::Server>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<SseEvent<P::Server>>> {
        let mut events = Vec::new();
        self.get_mut().poll_with_limits(ONE_EVENT, cx, &mut events).map(|_| events.pop())
    }
}

impl<P: Payload> Drop for Connection<P> {
    fn drop(&mut self) {
        if self.end.is_none() {
            self.on_dropped();
        }
    }
}
