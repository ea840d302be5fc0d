//! The buffer of a connection: filled by the session, drained by the HTTP body.

use std::{collections::VecDeque, task::Waker, time::Duration};

use bytes::Bytes;
use rejoin_core::{ANSWER_INDEX, EVENT_OVERHEAD_BYTES, EventId};

use crate::payload::ServerPayload;

/// An event that a connection sends, for an HTTP body to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SseEvent<S = Bytes> {
    /// A JSON-RPC message, in one line.
    Message {
        /// The event id to resume after. `None` if the message is the whole answer to a POST.
        id: Option<EventId>,
        /// The message.
        data: S,
    },
    /// An event with an id to resume after, and an empty `data:` field.
    ///
    /// Specification: MCP 2025-11-25, Transports, "Sending Messages to the Server".
    Priming {
        /// The event id to resume after.
        id: EventId,
        /// The time after which the client should reconnect: the `retry:` field.
        retry: Option<Duration>,
    },
    /// Events of the stream are missing here, which is sent as a comment, and as a log message
    /// with this id if the server declared `logging`.
    Gap {
        /// The event id of the last one.
        id: EventId,
        /// The index of the first one.
        first: u64,
        /// A log message that reports the gap, if the server declared `logging`.
        notification: Option<S>,
    },
}

impl<S: ServerPayload> SseEvent<S> {
    /// Returns the index by which the event is acknowledged.
    pub(super) fn index(&self) -> u64 {
        match self {
            Self::Message { id, .. } => id.map_or(ANSWER_INDEX, |id| id.index),
            Self::Priming { id, .. } | Self::Gap { id, .. } => id.index,
        }
    }

    /// Returns the size of the event without its framing.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Message { data, .. } => data.bytes(),
            Self::Priming { .. } => 0,
            Self::Gap { notification, .. } => notification.as_ref().map_or(0, S::bytes),
        }
    }
}

/// A part of a message that is too large to be read at once.
#[cfg(feature = "http")]
#[derive(Debug)]
#[cfg_attr(feature = "cluster", derive(Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize))]
pub(crate) struct MessagePart {
    /// The event id to resume after.
    pub(crate) id: Option<EventId>,
    /// A copy, so that it does not keep the whole message in memory.
    pub(crate) data: Bytes,
    pub(crate) is_first: bool,
    pub(crate) is_last: bool,
}

/// The events that a connection has not sent yet: never more than its window allows.
#[derive(Debug)]
pub(super) struct ConnectionBuffer<S> {
    events: VecDeque<SseEvent<S>>,
    /// Number of bytes of the first event that were read in parts.
    offset: usize,
    waker: Option<Waker>,
    end: Option<End>,
}

/// Why a connection gets no more events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Its stream has none.
    Complete,
    /// The connection itself ends: its client may come back to the stream.
    Interrupted,
    /// The connection was cut, or its session has ended: what it was not sent is lost with it.
    Lost,
}

impl<S: ServerPayload> ConnectionBuffer<S> {
    /// Adds an event. Returns the waker of the reader.
    pub(super) fn push(&mut self, event: SseEvent<S>) -> Option<Waker> {
        self.events.push_back(event);
        self.waker.take()
    }

    /// Drops the events that were not read: they are sent on another connection. If an event was
    /// read in part, this connection ends. Returns the waker of the reader.
    pub(super) fn discard(&mut self) -> Option<Waker> {
        self.events.clear();
        if std::mem::take(&mut self.offset) == 0 {
            return None;
        }
        self.end = Some(End::Interrupted);
        self.waker.take()
    }

    /// Closes the connection, unless it is closed. Returns the waker of the reader.
    pub(super) fn close(&mut self, end: End) -> Option<Waker> {
        self.end.get_or_insert(end);
        self.waker.take()
    }

    /// Cuts the connection, without the events that it holds. Returns the waker of the reader.
    pub(super) fn cut(&mut self) -> Option<Waker> {
        self.events.clear();
        self.end = Some(End::Lost);
        self.waker.take()
    }

    /// Returns the cost of its events, as a session counts it.
    pub(super) fn kept_bytes(&self) -> usize {
        let messages = self.events.iter().map(SseEvent::bytes).filter(|bytes| *bytes > 0);
        messages.map(|bytes| bytes.saturating_add(EVENT_OVERHEAD_BYTES)).sum()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.end.is_some()
    }

    /// Returns why it gets no more events, if it gets none.
    pub(super) fn end(&self) -> Option<End> {
        self.end
    }

    /// Removes and returns the next event, if it has at most `bytes_max` bytes and was not read
    /// in part.
    pub(super) fn pop(&mut self, bytes_max: usize) -> Option<SseEvent<S>> {
        if self.offset > 0 {
            return None;
        }
        self.events.pop_front_if(|event| event.bytes() <= bytes_max)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Returns whether there are no more events, now or later.
    pub(super) fn is_finished(&self) -> bool {
        self.is_closed() && self.events.is_empty()
    }

    /// Returns the waker of the reader.
    #[cfg(feature = "store")]
    pub(super) fn take_waker(&mut self) -> Option<Waker> {
        self.waker.take()
    }

    /// Registers the waker for the next event, or the end.
    pub(super) fn register_waker(&mut self, waker: &Waker) {
        match &mut self.waker {
            Some(known) => known.clone_from(waker),
            none @ None => *none = Some(waker.clone()),
        }
    }
}

#[cfg(feature = "http")]
impl ConnectionBuffer<Bytes> {
    /// Returns the next part of the next message, of at most `bytes_max` bytes. With the last
    /// part, it returns the index of the message.
    pub(super) fn pop_part(&mut self, bytes_max: usize) -> Option<(MessagePart, Option<u64>)> {
        let event = self.events.front()?;
        let SseEvent::Message { id, data } = event else {
            return None;
        };
        let rest = data.get(self.offset..)?;
        let (part, after) = rest.split_at(rest.len().min(bytes_max));
        let part = MessagePart {
            id: *id,
            data: Bytes::copy_from_slice(part),
            is_first: self.offset == 0,
            is_last: after.is_empty(),
        };
        if !part.is_last {
            self.offset += part.data.len();
            return Some((part, None));
        }
        let index = event.index();
        self.offset = 0;
        self.events.pop_front();
        Some((part, Some(index)))
    }
}

impl<S> Default for ConnectionBuffer<S> {
    fn default() -> Self {
        Self { events: VecDeque::new(), offset: 0, waker: None, end: None }
    }
}

#[cfg(all(test, feature = "http"))]
mod tests {
    use rejoin_core::StreamId;

    use super::*;

    fn buffer() -> ConnectionBuffer<Bytes> {
        let mut buffer = ConnectionBuffer::default();
        for index in 1..=2 {
            let id = Some(EventId::new(StreamId::Standalone, index));
            let data = Bytes::from_static(b"12345");
            assert!(buffer.push(SseEvent::Message { id, data }).is_none());
        }
        buffer
    }

    #[test]
    fn a_large_message_is_read_in_parts() {
        let mut buffer = buffer();
        assert!(buffer.pop(4).is_none());
        let mut parts = Vec::new();
        while let Some((part, index)) = buffer.pop_part(2) {
            parts.push((part.data, part.is_first, part.is_last, index));
            if parts.len() == 3 {
                break;
            }
            assert!(buffer.pop(usize::MAX).is_none(), "the rest is not a whole message");
        }
        let expected: [(&[u8], bool, bool, Option<u64>); 3] =
            [(b"12", true, false, None), (b"34", false, false, None), (b"5", false, true, Some(1))];
        let expected = expected
            .map(|(data, first, last, index)| (Bytes::from_static(data), first, last, index));
        assert_eq!(parts, expected);
        assert!(buffer.pop(5).is_some() && buffer.is_empty());
    }

    #[test]
    fn discarding_within_a_message_ends_the_connection() {
        let mut buffer = buffer();
        buffer.discard();
        assert!(buffer.is_empty() && !buffer.is_closed());
        let mut buffer = self::buffer();
        assert!(buffer.pop_part(2).is_some());
        buffer.discard();
        assert!(buffer.is_finished());
    }
}
