//! What a connection still has to send: filled by the session, emptied by the HTTP body.

use std::{collections::VecDeque, ops::RangeInclusive, task::Waker, time::Duration};

use bytes::Bytes;
use rejoin_core::{EndReason, EventId};

/// What a connection sends, for an HTTP body to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SseEvent {
    /// A JSON-RPC message, in one line.
    Message {
        /// What the client resumes after. `None` where the answer is this one
        /// message, or answers `initialize`.
        id: Option<EventId>,
        /// The message.
        data: Bytes,
    },
    /// Nothing but an id to resume after: the `data:` field is there, and empty.
    ///
    /// Specification: MCP 2025-11-25, Transports, "Sending Messages to the Server".
    Priming {
        /// What the client resumes after.
        id: Option<EventId>,
        /// When it should come back: the `retry:` field.
        retry: Option<Duration>,
    },
    /// Events of the stream are missing here: for a comment.
    Gap {
        /// The indexes among which they are missing.
        missed: RangeInclusive<u64>,
        /// A log message that says so, where the client knows such messages. It has no id.
        notification: Option<Bytes>,
    },
}

impl SseEvent {
    /// Returns how large it is, without its framing.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Message { data, .. } => data.len(),
            Self::Priming { .. } => 0,
            Self::Gap { notification, .. } => notification.as_ref().map_or(0, Bytes::len),
        }
    }
}

/// The session's end of a connection. It never holds more events than the window allows.
#[derive(Debug, Default)]
pub(super) struct Channel {
    events: VecDeque<(SseEvent, Option<u64>)>,
    waker: Option<Waker>,
    is_ended: bool,
}

impl Channel {
    /// Adds an event, and what the session calls it. Returns whom to wake.
    pub(super) fn push(&mut self, event: SseEvent, index: Option<u64>) -> Option<Waker> {
        self.events.push_back((event, index));
        self.waker.take()
    }

    /// Drops what the body has not taken: it is sent on another connection.
    pub(super) fn discard(&mut self) {
        self.events.clear();
    }

    /// Ends the connection. Returns whom to wake.
    pub(super) fn end(&mut self, reason: EndReason) -> Option<Waker> {
        self.is_ended = true;
        if !reason.drains() {
            self.discard();
        }
        self.waker.take()
    }

    pub(super) fn is_ended(&self) -> bool {
        self.is_ended
    }

    /// Takes the next event out, and says what the session calls it.
    pub(super) fn pop(&mut self) -> Option<(SseEvent, Option<u64>)> {
        self.events.pop_front()
    }

    /// Returns whether nothing will come any more.
    pub(super) fn is_over(&self) -> bool {
        self.is_ended && self.events.is_empty()
    }

    /// Asks to be woken at the next event, or at the end.
    pub(super) fn wake(&mut self, waker: &Waker) {
        match &mut self.waker {
            Some(known) => known.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
    }
}
