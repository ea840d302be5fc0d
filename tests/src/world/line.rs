//! Lines: one HTTP exchange each, from the session's channel to the client's eyes.
//!
//! What a session sends waits in the *channel*, which the body of the response pulls
//! it out of, as far as there is room in the *pipe*: all buffers between the two
//! sides. What was pulled counts as taken, and is lost where the line breaks before it
//! was read.

use std::collections::VecDeque;
use std::ops::RangeInclusive;

use rejoin_core::{ConnectionId, EndReason, Event, EventId};

use super::agenda::{ClientNo, ReadingNo, ServerNo};

/// What comes over a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// An event, and its size.
    Event { index: u64, id: Option<EventId>, event: Event<u64>, bytes: usize },
    /// Word that events are missing.
    Gap(RangeInclusive<u64>),
}

impl Item {
    fn bytes(&self) -> usize {
        match self {
            Self::Event { bytes, .. } => *bytes,
            Self::Gap(_) => 40,
        }
    }
}

/// What is to become of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Sound,
    /// It breaks as soon as it is there.
    Early,
    /// It breaks when so many bytes were read.
    After(usize),
    /// It breaks when all was written.
    Unread,
    /// Its client goes, and the server is not told.
    HalfOpen,
    /// Its server loses it, and the client is not told.
    Deaf,
}

/// How fast a client reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    Quick,
    Slow,
    Stalled,
}

/// An HTTP exchange whose response is a stream of events.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each says one thing of its own")]
pub(super) struct Line {
    pub(super) client: ClientNo,
    pub(super) server: ServerNo,
    pub(super) reading: ReadingNo,
    pub(super) fate: Fate,
    pub(super) pace: Pace,
    /// What the server calls it, once it has come there.
    pub(super) connection: Option<ConnectionId>,
    /// Whether the server still has it.
    pub(super) is_served: bool,
    /// Whether the client still has it.
    pub(super) is_read: bool,
    /// Whether it began before its request.
    pub(super) is_reserved: bool,
    /// Why the session ended it.
    pub(super) ended: Option<EndReason>,
    /// What the body pulled last.
    pub(super) through: Option<u64>,
    /// Whether a pull is on the agenda.
    pub(super) pulls: bool,
    /// Whether a read is.
    pub(super) reads: bool,
    channel: VecDeque<Item>,
    pipe: VecDeque<Item>,
    room: usize,
    /// Whether nothing comes into the pipe any more.
    is_done: bool,
    /// Whether what is written goes nowhere.
    is_broken: bool,
    /// How much of the first item in the pipe was read.
    part: usize,
    read: usize,
}

/// What the body of a response did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pulled {
    /// The index of the last event that it pulled.
    pub(super) taken: Option<u64>,
    /// The id of the last one that has an id.
    pub(super) id: Option<EventId>,
    /// Whether that was all that there will be.
    pub(super) is_over: bool,
}

impl Line {
    pub(super) fn new(
        (client, server): (ClientNo, ServerNo),
        reading: ReadingNo,
        room: usize,
    ) -> Self {
        Self {
            client,
            server,
            reading,
            fate: Fate::Sound,
            pace: Pace::Quick,
            connection: None,
            is_served: false,
            is_read: true,
            is_reserved: false,
            ended: None,
            through: None,
            pulls: false,
            reads: false,
            channel: VecDeque::new(),
            pipe: VecDeque::new(),
            room,
            is_done: false,
            is_broken: false,
            part: 0,
            read: 0,
        }
    }

    /// Adds what the session sends.
    pub(super) fn push(&mut self, item: Item) {
        self.channel.push_back(item);
    }

    /// Drops what was not pulled.
    pub(super) fn discard(&mut self) {
        self.channel.clear();
    }

    /// Ends it, as the session wants it.
    pub(super) fn end(&mut self, reason: EndReason) {
        self.ended = Some(reason);
        if !reason.drains() {
            self.channel.clear();
        }
    }

    /// Writes what there is room for.
    pub(super) fn pull(&mut self) -> Pulled {
        let (mut taken, mut last_id) = (None, None);
        let mut full: usize = self.pipe.iter().map(Item::bytes).sum();
        while full < self.room
            && let Some(item) = self.channel.pop_front()
        {
            full += item.bytes();
            if let Item::Event { index, id, .. } = &item {
                taken = Some(*index);
                last_id = id.or(last_id);
            }
            if !self.is_broken {
                self.pipe.push_back(item);
            }
        }
        self.through = taken.or(self.through);
        let is_over = self.ended.is_some() && self.channel.is_empty();
        self.is_done = is_over && !self.is_broken;
        Pulled { taken, id: last_id, is_over }
    }

    /// Returns whether there is something for the body to write.
    pub(super) fn has_more(&self) -> bool {
        !self.channel.is_empty() || self.ended.is_some()
    }

    /// Returns whether there is room for it.
    pub(super) fn has_room(&self) -> bool {
        self.pipe.iter().map(Item::bytes).sum::<usize>() < self.room
    }

    /// Reads some bytes, and returns what is whole now.
    pub(super) fn read(&mut self, mut bytes: usize) -> Vec<Item> {
        let mut whole = Vec::new();
        while let Some(first) = self.pipe.front() {
            let left = first.bytes().saturating_sub(self.part);
            if left > bytes {
                self.part += bytes;
                self.read += bytes;
                return whole;
            }
            bytes -= left;
            self.read += left;
            self.part = 0;
            whole.extend(self.pipe.pop_front());
        }
        whole
    }

    /// Loses what was written and not read, and whatever will be written.
    pub(super) fn lose(&mut self) {
        self.pipe.clear();
        self.part = 0;
        self.is_done = false;
        self.is_broken = true;
    }

    /// Returns how many bytes were read.
    pub(super) fn bytes_read(&self) -> usize {
        self.read
    }

    /// Returns whether a part of an event was read.
    pub(super) fn is_midway(&self) -> bool {
        self.part > 0
    }

    /// Returns whether there is something to read: events, or the end.
    pub(super) fn is_readable(&self) -> bool {
        !self.pipe.is_empty() || self.is_done
    }

    /// Returns whether the reader has had all.
    pub(super) fn is_finished(&self) -> bool {
        self.pipe.is_empty() && self.is_done
    }

    /// Returns whether what was written holds events that were not read.
    pub(super) fn holds_unread(&self) -> bool {
        !self.pipe.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(index: u64) -> Item {
        Item::Event { index, id: None, event: Event::Message(index), bytes: 100 }
    }

    fn line(room: usize) -> Line {
        let mut line = Line::new((0, 0), 0, room);
        (1..=3).for_each(|index| line.push(event(index)));
        line
    }

    #[test]
    fn a_body_pulls_as_long_as_there_is_room() {
        let mut line = line(101);
        assert_eq!(line.pull(), Pulled { taken: Some(2), id: None, is_over: false });
        assert_eq!(line.pull(), Pulled { taken: None, id: None, is_over: false });
        assert_eq!(line.through, Some(2));
        assert_eq!(line.read(150), [event(1)]);
        assert!(line.is_midway() && line.has_room());
        assert_eq!(line.read(50), [event(2)]);
        line.end(EndReason::Complete);
        assert_eq!(line.pull(), Pulled { taken: Some(3), id: None, is_over: true });
        assert!(!line.is_finished());
        assert_eq!(line.read(1_000), [event(3)]);
        assert!(line.is_finished());
    }

    #[test]
    fn what_is_written_to_a_broken_line_is_lost() {
        let mut line = line(101);
        line.pull();
        line.lose();
        line.end(EndReason::Complete);
        assert_eq!(line.pull(), Pulled { taken: Some(3), id: None, is_over: true });
        assert!(line.read(1_000).is_empty() && !line.is_finished());
    }

    #[test]
    fn what_is_cut_is_not_written() {
        let mut line = line(1);
        line.pull();
        line.end(EndReason::Replaced);
        assert_eq!(line.pull(), Pulled { taken: None, id: None, is_over: true });
        assert_eq!(line.read(1_000), [event(1)]);
        assert!(line.is_finished());
    }
}
