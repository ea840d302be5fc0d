//! Position of a connection in the log of its stream, with its window.

use core::ops::RangeInclusive;

/// A position in the log of a stream, with a window.
///
/// A session has one for each connection. A driver may also use one to send the
/// [`Log`](crate::Log) of a stream on its own:
///
/// ```
/// use rejoin_core::{Cursor, Log};
///
/// /// Returns the indexes that a reader with a window of 16 may be sent now.
/// fn next_events<M>(log: &Log<M>, cursor: &mut Cursor) -> Vec<u64> {
///     let Some(first) = log.range(cursor.next()..u64::MAX).next().map(|logged| logged.index)
///     else {
///         return Vec::new();
///     };
///     if !cursor.admits(first, 16) {
///         return Vec::new();
///     }
///     let events: Vec<u64> =
///         log.range(first..cursor.limit(first, 16)).map(|logged| logged.index).collect();
///     if let Some(last) = events.last() {
///         cursor.sent(first, *last);
///     }
///     events
/// }
/// ```
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
    gap_reported_through: u64,
    /// Where [`discard`](Self::discard) returns to: the index after the last acknowledged one,
    /// even if it has no event.
    rewind_to: u64,
}

impl Cursor {
    /// Returns a cursor that has acknowledged everything through `index`.
    #[must_use]
    pub const fn after(index: u64) -> Self {
        let next = index.saturating_add(1);
        Self {
            next,
            first_unacknowledged: next,
            sent_end: next,
            gap_reported_through: 0,
            rewind_to: next,
        }
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

    /// Returns whether the window admits the event at `index`.
    #[must_use]
    pub const fn admits(&self, index: u64, window: u32) -> bool {
        index < self.limit(index, window)
    }

    /// Returns the end of the window, exclusive, if `first` is sent next.
    #[must_use]
    pub const fn limit(&self, first: u64, window: u32) -> u64 {
        let base = if self.has_unacknowledged() { self.first_unacknowledged } else { first };
        base.saturating_add(window as u64)
    }

    /// Records that the events from `first` to `last` were sent, and those before them skipped.
    pub const fn sent(&mut self, first: u64, last: u64) {
        if !self.has_unacknowledged() {
            self.first_unacknowledged = first;
        }
        self.next = last.saturating_add(1);
        self.sent_end = self.next;
    }

    /// Records that a priming event was sent, at the index before the next one.
    pub const fn prime(&mut self) {
        if !self.has_unacknowledged() {
            self.first_unacknowledged = self.next.saturating_sub(1);
        }
        self.sent_end = self.next;
    }

    /// Records that everything sent through `index` was acknowledged. Returns the last
    /// acknowledged index, or `None` if it is unchanged.
    #[must_use = "returns how far the stream was acknowledged"]
    pub fn acknowledge(&mut self, index: u64) -> Option<u64> {
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
    pub fn skip(&mut self, index: u64) {
        let has_unacknowledged = self.has_unacknowledged();
        self.next = self.next.max(index.saturating_add(1));
        if !has_unacknowledged {
            self.first_unacknowledged = self.next;
            self.sent_end = self.next;
            self.rewind_to = self.next;
        }
    }

    /// Forgets what was sent and not acknowledged, and the gap reported since: they are sent
    /// on another connection.
    pub fn discard(&mut self) {
        *self = Self::after(self.rewind_to.saturating_sub(1));
    }

    /// Returns the missed indexes through `missed` that were not yet reported to the client,
    /// and records them as reported.
    #[must_use = "the gap must be reported to the client"]
    pub fn take_gap(&mut self, missed: u64) -> Option<RangeInclusive<u64>> {
        let first = self.first_unreported();
        (first <= missed).then(|| {
            self.gap_reported_through = missed;
            first..=missed
        })
    }

    /// Returns whether [`take_gap`](Self::take_gap) would return a gap.
    #[must_use]
    pub fn has_gap(&self, missed: u64) -> bool {
        self.first_unreported() <= missed
    }

    fn first_unreported(&self) -> u64 {
        self.next.max(self.gap_reported_through.saturating_add(1))
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
        gap_reported_through: u64,
        rewind_to: u64,
    }

    impl TryFrom<Cursor> for super::Cursor {
        type Error = &'static str;

        fn try_from(wire: Cursor) -> Result<Self, &'static str> {
            let Cursor { next, first_unacknowledged, sent_end, gap_reported_through, rewind_to } =
                wire;
            if first_unacknowledged > next || sent_end > next || rewind_to > next {
                return Err("cursor acknowledges events that were not sent");
            }
            Ok(Self { next, first_unacknowledged, sent_end, gap_reported_through, rewind_to })
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
        cursor.sent(5, 5);
        assert!(cursor.admits(6, 2));
        cursor.sent(6, 6);
        assert!(!cursor.admits(7, 2));
        assert_eq!(cursor.acknowledge(5), Some(5));
        assert!(cursor.admits(7, 2));
        assert_eq!(cursor.acknowledge(5), None, "unchanged");
    }

    #[test]
    fn a_priming_event_counts_against_the_window() {
        let mut cursor = Cursor::after(0);
        cursor.prime();
        assert!(!cursor.admits(1, 1));
        assert_eq!(cursor.acknowledge(0), Some(0));
        assert!(cursor.admits(1, 1));
    }

    #[test]
    fn a_gap_in_the_numbering_never_stops_a_cursor_with_nothing_in_flight() {
        let mut cursor = Cursor::after(0);
        assert!(cursor.admits(1_000, 1));
        cursor.sent(1_000, 1_000);
        assert!(!cursor.admits(1_001, 1));
        assert_eq!(cursor.acknowledge(1_000), Some(1_000));
        cursor.skip(5_000);
        assert!(cursor.admits(9_000, 1));
    }

    #[test]
    fn skipping_does_not_extend_what_is_in_flight() {
        let mut cursor = Cursor::after(0);
        cursor.sent(1, 3);
        cursor.skip(10);
        assert!(!cursor.admits(11, 2));
        assert_eq!(cursor.acknowledge(10), Some(3));
        assert!(!cursor.has_unacknowledged());
        assert!(cursor.admits(11, 2));
        assert_eq!(cursor.first_unacknowledged(), 11);
    }

    #[test]
    fn discarded_events_count_as_not_sent() {
        let mut cursor = Cursor::after(0);
        cursor.sent(1, 3);
        assert_eq!(cursor.acknowledge(1), Some(1));
        cursor.discard();
        assert_eq!((cursor.next(), cursor.has_unacknowledged()), (2, false));
        assert_eq!(cursor.acknowledge(3), None);
        assert_eq!(cursor.take_gap(4), Some(2..=4));
        cursor.sent(5, 5);
        cursor.discard();
        assert_eq!(cursor.take_gap(4), Some(2..=4), "the reported gap is discarded, too");
        let mut primed = Cursor::after(0);
        primed.prime();
        primed.discard();
        assert_eq!(primed, Cursor::after(0));
    }

    #[test]
    fn only_sent_events_can_be_acknowledged() {
        let mut cursor = Cursor::after(0);
        assert_eq!(cursor.acknowledge(u64::MAX), None);
        cursor.sent(1, 1);
        assert_eq!(cursor.acknowledge(u64::MAX), Some(1));
        assert_eq!(cursor.first_unacknowledged(), 2);
    }

    #[test]
    fn a_gap_is_reported_once() {
        let mut cursor = Cursor::after(2);
        assert_eq!(cursor.take_gap(2), None);
        assert_eq!(cursor.take_gap(5), Some(3..=5));
        assert_eq!(cursor.take_gap(5), None);
        assert_eq!(cursor.take_gap(6), Some(6..=6));
    }
}
