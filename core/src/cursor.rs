//! Position of a connection in the log of its stream, with its window.

use core::ops::Range;

/// A position in the log of a stream, with a window.
///
/// A session has one for each connection.
///
/// The window is a span of indexes that begins at the first unacknowledged event. It has at
/// most as many events as indexes, so events sent within it always fit into a buffer of that
/// size. While nothing is unacknowledged, any index fits: a gap in the numbering never stops
/// a cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "wire::Cursor"))]
pub struct Cursor {
    next: u64,
    first_unacknowledged: u64,
    /// The index after the last one sent.
    sent_end: u64,
    /// Where [`discard`](Self::discard) returns to: the index after the last acknowledged one,
    /// even if it has no event.
    rewind_to: u64,
}

impl Cursor {
    /// Returns a cursor that has acknowledged everything through `index`.
    pub(crate) const fn after(index: u64) -> Self {
        let next = index.saturating_add(1);
        Self { next, first_unacknowledged: next, sent_end: next, rewind_to: next }
    }

    /// Returns the next index to send.
    #[must_use]
    pub const fn next(&self) -> u64 {
        self.next
    }

    /// Returns the first index that was not acknowledged.
    #[must_use]
    pub const fn first_unacknowledged(&self) -> u64 {
        self.first_unacknowledged
    }

    /// Returns whether anything is in flight: sent, and not acknowledged.
    #[must_use]
    pub const fn has_unacknowledged(&self) -> bool {
        self.first_unacknowledged < self.sent_end
    }

    /// Returns the indexes that are in flight.
    pub(crate) const fn in_flight(&self) -> Range<u64> {
        self.first_unacknowledged..self.sent_end
    }

    /// Returns whether the window admits the event at `index`.
    pub(crate) fn admits(&self, index: u64, window: u32) -> bool {
        !self.has_unacknowledged()
            || index < self.first_unacknowledged.saturating_add(u64::from(window))
    }

    /// Records that the event at `index` was sent, and those before it skipped.
    pub(crate) fn sent(&mut self, index: u64) {
        if !self.has_unacknowledged() {
            self.first_unacknowledged = index;
        }
        self.next = index.saturating_add(1);
        self.sent_end = self.next;
    }

    /// Records that everything sent through `index` was acknowledged. Returns the last
    /// acknowledged index, or `None` if it is unchanged.
    #[must_use = "returns how far the stream was acknowledged"]
    pub(crate) fn acknowledge(&mut self, index: u64) -> Option<u64> {
        let first_unacknowledged = index.saturating_add(1).min(self.sent_end);
        if first_unacknowledged <= self.first_unacknowledged {
            return None;
        }
        if first_unacknowledged == self.sent_end {
            self.first_unacknowledged = self.next;
            self.sent_end = self.next;
        } else {
            self.first_unacknowledged = first_unacknowledged;
        }
        self.rewind_to = self.first_unacknowledged;
        Some(first_unacknowledged - 1)
    }

    /// Skips everything through `index`, which was delivered on another connection.
    pub(crate) fn skip(&mut self, index: u64) {
        let has_unacknowledged = self.has_unacknowledged();
        self.next = self.next.max(index.saturating_add(1));
        if !has_unacknowledged {
            self.first_unacknowledged = self.next;
            self.sent_end = self.next;
            self.rewind_to = self.next;
        }
    }

    /// Forgets what was sent and not acknowledged: it is sent on another connection.
    pub(crate) fn discard(&mut self) {
        *self = Self::after(self.rewind_to.saturating_sub(1));
    }
}

#[cfg(feature = "serde")]
mod wire {
    //! The serialized form of a cursor, validated on deserialization.

    #[derive(serde::Deserialize)]
    pub(super) struct Cursor {
        next: u64,
        first_unacknowledged: u64,
        sent_end: u64,
        rewind_to: u64,
    }

    impl TryFrom<Cursor> for super::Cursor {
        type Error = &'static str;

        fn try_from(wire: Cursor) -> Result<Self, &'static str> {
            let Cursor { next, first_unacknowledged, sent_end, rewind_to } = wire;
            if first_unacknowledged > next || sent_end > next || rewind_to > next {
                return Err("cursor acknowledges events that were not sent");
            }
            Ok(Self { next, first_unacknowledged, sent_end, rewind_to })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_admits_no_more_events_than_its_size() {
        let mut cursor = Cursor::after(4);
        assert!(cursor.admits(5, 2));
        cursor.sent(5);
        assert!(cursor.admits(6, 2));
        cursor.sent(6);
        assert!(!cursor.admits(7, 2));
        assert_eq!(cursor.acknowledge(5), Some(5));
        assert!(cursor.admits(7, 2));
        assert_eq!(cursor.acknowledge(5), None, "unchanged");
    }

    #[test]
    fn a_priming_event_counts_against_the_window() {
        let mut cursor = Cursor::after(0);
        cursor.sent(0);
        assert!(!cursor.admits(1, 1));
        assert_eq!(cursor.acknowledge(0), Some(0));
        assert!(cursor.admits(1, 1));
    }

    #[test]
    fn a_gap_in_the_numbering_never_stops_a_cursor_with_nothing_in_flight() {
        let mut cursor = Cursor::after(0);
        assert!(cursor.admits(1_000, 1));
        cursor.sent(1_000);
        assert!(!cursor.admits(1_001, 1));
        assert_eq!(cursor.acknowledge(1_000), Some(1_000));
        cursor.skip(5_000);
        assert!(cursor.admits(9_000, 1));
    }

    #[test]
    fn skipping_does_not_extend_what_is_in_flight() {
        let mut cursor = Cursor::after(0);
        (1..=3).for_each(|index| cursor.sent(index));
        cursor.skip(10);
        assert!(!cursor.admits(11, 2));
        assert_eq!(cursor.acknowledge(10), Some(3));
        assert!(!cursor.has_unacknowledged());
        assert!(cursor.admits(11, 2));
        assert_eq!(cursor.first_unacknowledged(), 11);
    }

    #[test]
    fn skipping_moves_a_cursor_forwards_only() {
        let mut cursor = Cursor::after(4);
        cursor.skip(2);
        assert_eq!(cursor, Cursor::after(4));
        cursor.skip(6);
        assert_eq!(cursor, Cursor::after(6));
    }

    #[test]
    fn discarded_events_count_as_not_sent() {
        let mut cursor = Cursor::after(0);
        (1..=3).for_each(|index| cursor.sent(index));
        assert_eq!(cursor.acknowledge(1), Some(1));
        cursor.discard();
        assert_eq!((cursor.next(), cursor.has_unacknowledged()), (2, false));
        assert_eq!(cursor.acknowledge(3), None);
        let mut primed = Cursor::after(0);
        primed.sent(0);
        primed.discard();
        assert_eq!(primed, Cursor::after(0));
    }

    #[test]
    fn only_sent_events_can_be_acknowledged() {
        let mut cursor = Cursor::after(0);
        assert_eq!(cursor.acknowledge(u64::MAX), None);
        cursor.sent(1);
        assert_eq!(cursor.acknowledge(u64::MAX), Some(1));
        assert_eq!(cursor.first_unacknowledged(), 2);
    }
}
