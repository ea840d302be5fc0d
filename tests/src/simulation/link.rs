//! Links: one HTTP exchange each, between a session and a client.
//!
//! What a session sends waits in the *buffer*. The response body pulls it from there into the
//! *pipe*, which stands for all buffers between the two sides, while that has room. What was
//! pulled is acknowledged, and is lost if the link breaks before it was read.

use std::collections::VecDeque;

use rejoin_core::{CloseReason, ConnectionId, CutReason, Event, EventId};

use super::event_queue::{ClientNo, ReaderNo, ServerNo};

/// An event that is sent on a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) index: u64,
    pub(super) id: Option<EventId>,
    pub(super) event: Event<u64>,
    /// Size in bytes.
    pub(super) bytes: usize,
}

/// The fault that a link is drawn to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LinkFault {
    None,
    /// Breaks when it is accepted.
    CutEarly,
    /// Breaks when this many bytes were read.
    CutAfter(usize),
    /// Breaks when everything was written.
    CutUnread,
    /// The client closes it, and the server does not notice.
    ServerHalfOpen,
    /// The server loses it, and the client does not notice.
    ClientHalfOpen,
}

/// How fast a client reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    Fast,
    Slow,
    Stalled,
}

/// How a session ends a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LinkEnd {
    Closed(CloseReason),
    Cut(CutReason),
}

/// An HTTP exchange whose response is a stream of events.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each says one thing of its own")]
pub(super) struct Link {
    pub(super) client: ClientNo,
    pub(super) server: ServerNo,
    pub(super) reader: ReaderNo,
    pub(super) fault: LinkFault,
    pub(super) pace: Pace,
    /// The connection id, once the server has accepted it.
    pub(super) connection: Option<ConnectionId>,
    /// Whether it is open at the server.
    pub(super) is_open_at_server: bool,
    /// Whether it is open at the client.
    pub(super) is_open_at_client: bool,
    /// How the session ended it.
    pub(super) end: Option<LinkEnd>,
    /// The index of the last event that the body pulled.
    pub(super) acknowledged: Option<u64>,
    /// Whether a pull is scheduled.
    pub(super) is_pull_scheduled: bool,
    /// Whether a read is scheduled.
    pub(super) is_read_scheduled: bool,
    buffer: VecDeque<Item>,
    pipe: VecDeque<Item>,
    pipe_bytes: usize,
    /// Whether everything was written to the pipe.
    is_done: bool,
    /// Whether what is written is discarded.
    is_broken: bool,
    /// How many bytes of the first item in the pipe were read.
    partial_bytes: usize,
    bytes_read: usize,
}

/// What a response body pulled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pulled {
    /// The index of the last event.
    pub(super) acknowledged: Option<u64>,
    /// The id of the last event that has an id.
    pub(super) last_id: Option<EventId>,
    /// Whether the body has ended.
    pub(super) is_end: bool,
}

impl Link {
    pub(super) fn new(
        (client, server): (ClientNo, ServerNo),
        reader: ReaderNo,
        pipe_bytes: usize,
    ) -> Self {
        Self {
            client,
            server,
            reader,
            fault: LinkFault::None,
            pace: Pace::Fast,
            connection: None,
            is_open_at_server: false,
            is_open_at_client: true,
            end: None,
            acknowledged: None,
            is_pull_scheduled: false,
            is_read_scheduled: false,
            buffer: VecDeque::new(),
            pipe: VecDeque::new(),
            pipe_bytes,
            is_done: false,
            is_broken: false,
            partial_bytes: 0,
            bytes_read: 0,
        }
    }

    /// Buffers what the session sends.
    pub(super) fn push(&mut self, item: Item) {
        self.buffer.push_back(item);
    }

    /// Discards what was not pulled.
    pub(super) fn discard(&mut self) {
        self.buffer.clear();
    }

    /// Closes it, as requested by the session.
    pub(super) fn close(&mut self, end: LinkEnd) {
        self.end = Some(end);
        if matches!(end, LinkEnd::Cut(_)) {
            self.buffer.clear();
        }
    }

    /// Pulls events from the buffer while the pipe has room.
    pub(super) fn pull(&mut self) -> Pulled {
        let (mut acknowledged, mut last_id) = (None, None);
        let mut bytes: usize = self.pipe.iter().map(|item| item.bytes).sum();
        while bytes < self.pipe_bytes
            && let Some(item) = self.buffer.pop_front()
        {
            bytes += item.bytes;
            acknowledged = Some(item.index);
            last_id = item.id.or(last_id);
            if !self.is_broken {
                self.pipe.push_back(item);
            }
        }
        self.acknowledged = acknowledged.or(self.acknowledged);
        let is_end = self.end.is_some() && self.buffer.is_empty();
        self.is_done = is_end && !self.is_broken;
        Pulled { acknowledged, last_id, is_end }
    }

    /// Returns whether the body has something to write.
    pub(super) fn has_more(&self) -> bool {
        !self.buffer.is_empty() || self.end.is_some()
    }

    /// Returns whether the pipe has room.
    pub(super) fn has_room(&self) -> bool {
        self.pipe.iter().map(|item| item.bytes).sum::<usize>() < self.pipe_bytes
    }

    /// Reads up to `bytes`, and returns the items that are now complete.
    pub(super) fn read(&mut self, mut bytes: usize) -> Vec<Item> {
        let mut whole = Vec::new();
        while let Some(first) = self.pipe.front() {
            let left = first.bytes.saturating_sub(self.partial_bytes);
            if left > bytes {
                self.partial_bytes += bytes;
                self.bytes_read += bytes;
                return whole;
            }
            bytes -= left;
            self.bytes_read += left;
            self.partial_bytes = 0;
            whole.extend(self.pipe.pop_front());
        }
        whole
    }

    /// Discards what was written and not read, and everything written later.
    pub(super) fn break_off(&mut self) {
        self.pipe.clear();
        self.partial_bytes = 0;
        self.is_done = false;
        self.is_broken = true;
    }

    /// Returns the number of bytes read.
    pub(super) fn bytes_read(&self) -> usize {
        self.bytes_read
    }

    /// Returns whether a part of an event was read.
    pub(super) fn is_mid_event(&self) -> bool {
        self.partial_bytes > 0
    }

    /// Returns whether the client can read something: events, or the end.
    pub(super) fn is_readable(&self) -> bool {
        !self.pipe.is_empty() || self.is_done
    }

    /// Returns whether the client has read everything.
    pub(super) fn is_finished(&self) -> bool {
        self.pipe.is_empty() && self.is_done
    }

    /// Returns whether written events were not read yet.
    pub(super) fn holds_unread(&self) -> bool {
        !self.pipe.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(index: u64) -> Item {
        Item { index, id: None, event: Event::Message(index), bytes: 100 }
    }

    fn link(pipe_bytes: usize) -> Link {
        let mut link = Link::new((0, 0), 0, pipe_bytes);
        (1..=3).for_each(|index| link.push(event(index)));
        link
    }

    #[test]
    fn body_pulls_while_pipe_has_room() {
        let mut link = link(101);
        assert_eq!(link.pull(), Pulled { acknowledged: Some(2), last_id: None, is_end: false });
        assert_eq!(link.pull(), Pulled { acknowledged: None, last_id: None, is_end: false });
        assert_eq!(link.acknowledged, Some(2));
        assert_eq!(link.read(150), [event(1)]);
        assert!(link.is_mid_event() && link.has_room());
        assert_eq!(link.read(50), [event(2)]);
        link.close(LinkEnd::Closed(CloseReason::Complete));
        assert_eq!(link.pull(), Pulled { acknowledged: Some(3), last_id: None, is_end: true });
        assert!(!link.is_finished());
        assert_eq!(link.read(1_000), [event(3)]);
        assert!(link.is_finished());
    }

    #[test]
    fn writes_to_broken_link_are_lost() {
        let mut link = link(101);
        link.pull();
        link.break_off();
        link.close(LinkEnd::Closed(CloseReason::Complete));
        assert_eq!(link.pull(), Pulled { acknowledged: Some(3), last_id: None, is_end: true });
        assert!(link.read(1_000).is_empty() && !link.is_finished());
    }

    #[test]
    fn cut_discards_the_buffer() {
        let mut link = link(1);
        link.pull();
        link.close(LinkEnd::Cut(CutReason::Replaced));
        assert_eq!(link.pull(), Pulled { acknowledged: None, last_id: None, is_end: true });
        assert_eq!(link.read(1_000), [event(1)]);
        assert!(link.is_finished());
    }
}
