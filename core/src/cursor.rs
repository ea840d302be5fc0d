//! Cursors: how far a connection has got in the log of its stream.

use core::ops::RangeInclusive;

/// A place in the log of a stream, with a window.
///
/// A session has one for each connection. It serves as well to send the
/// [`Log`](crate::Log) of a stream from elsewhere:
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
/// The window is the span of indexes from the first event that was not taken.
/// It holds at most as many events as it has indexes, so what is sent within it
/// always fits into a channel of that size. Where nothing is outstanding, any
/// index fits: a hole in the numbering never stops a cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "wire::Cursor"))]
pub struct Cursor {
    next: u64,
    first_unacknowledged: u64,
    /// The index after the last one that was sent.
    sent_end: u64,
    gap_reported_through: u64,
    /// The index from which on nothing was taken, missing ones included.
    rewind_to: u64,
}

impl Cursor {
    /// Returns a cursor that has had everything through `index`.
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

    /// Returns the first index that was not sent, and is still to come.
    #[must_use]
    pub const fn next(&self) -> u64 {
        self.next
    }

    /// Returns the first index that was not taken.
    #[must_use]
    pub const fn first_unacknowledged(&self) -> u64 {
        self.first_unacknowledged
    }

    /// Returns whether something was sent that was not taken.
    #[must_use]
    pub const fn has_unacknowledged(&self) -> bool {
        self.first_unacknowledged < self.sent_end
    }

    /// Returns whether the event at `index` may be sent: the one rule on how far
    /// a cursor may go.
    #[must_use]
    pub const fn admits(&self, index: u64, window: u32) -> bool {
        index < self.limit(index, window)
    }

    /// Returns the index at which the window ends, if `first` is sent next.
    #[must_use]
    pub const fn limit(&self, first: u64, window: u32) -> u64 {
        let base = if self.has_unacknowledged() { self.first_unacknowledged } else { first };
        base.saturating_add(window as u64)
    }

    /// Notes that the events from `first` to `last` were sent, and what lies
    /// before them passed by.
    pub const fn sent(&mut self, first: u64, last: u64) {
        if !self.has_unacknowledged() {
            self.first_unacknowledged = first;
        }
        self.next = last.saturating_add(1);
        self.sent_end = self.next;
    }

    /// Notes that a priming event was sent, with the index before the next one.
    pub const fn prime(&mut self) {
        if !self.has_unacknowledged() {
            self.first_unacknowledged = self.next.saturating_sub(1);
        }
        self.sent_end = self.next;
    }

    /// Notes that everything sent through `index` was taken. Returns up to which
    /// index that is, if it is news.
    #[must_use = "it says how far the stream was taken"]
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

    /// Moves on to what comes after `index`, which was had on another connection.
    pub fn skip(&mut self, index: u64) {
        let has_unacknowledged = self.has_unacknowledged();
        self.next = self.next.max(index.saturating_add(1));
        if !has_unacknowledged {
            self.first_unacknowledged = self.next;
            self.sent_end = self.next;
            self.rewind_to = self.next;
        }
    }

    /// Takes back what was sent and not taken, and what was told: it is sent elsewhere.
    pub fn discard(&mut self) {
        *self = Self::after(self.rewind_to.saturating_sub(1));
    }

    /// Returns the missed indexes that the client was not told of yet, given
    /// that events through `missed` are gone, and notes that it is told now.
    #[must_use = "who asks has to tell the client"]
    pub fn take_gap(&mut self, missed: u64) -> Option<RangeInclusive<u64>> {
        let first = self.first_unreported();
        (first <= missed).then(|| {
            self.gap_reported_through = missed;
            first..=missed
        })
    }

    /// Returns whether [`Cursor::tell`] would have something to tell.
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
    //! A cursor as it is stored, which is checked when it is read.

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
                return Err("a cursor takes only what was sent");
            }
            Ok(Self { next, first_unacknowledged, sent_end, gap_reported_through, rewind_to })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_admits_as_many_events_as_it_has_places() {
        let mut cursor = Cursor::after(4);
        assert!(cursor.admits(5, 2));
        cursor.sent(5, 5);
        assert!(cursor.admits(6, 2));
        cursor.sent(6, 6);
        assert!(!cursor.admits(7, 2));
        assert_eq!(cursor.acknowledge(5), Some(5));
        assert!(cursor.admits(7, 2));
        assert_eq!(cursor.acknowledge(5), None, "no news");
    }

    #[test]
    fn a_priming_event_takes_a_place() {
        let mut cursor = Cursor::after(0);
        cursor.prime();
        assert!(!cursor.admits(1, 1));
        assert_eq!(cursor.acknowledge(0), Some(0));
        assert!(cursor.admits(1, 1));
    }

    #[test]
    fn a_hole_never_stops_a_cursor_without_anything_outstanding() {
        let mut cursor = Cursor::after(0);
        assert!(cursor.admits(1_000, 1));
        cursor.sent(1_000, 1_000);
        assert!(!cursor.admits(1_001, 1));
        assert_eq!(cursor.acknowledge(1_000), Some(1_000));
        cursor.skip(5_000);
        assert!(cursor.admits(9_000, 1));
    }

    #[test]
    fn what_was_had_elsewhere_is_not_outstanding_here() {
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
    fn what_is_discarded_was_not_sent() {
        let mut cursor = Cursor::after(0);
        cursor.sent(1, 3);
        assert_eq!(cursor.acknowledge(1), Some(1));
        cursor.discard();
        assert_eq!((cursor.next(), cursor.has_unacknowledged()), (2, false));
        assert_eq!(cursor.acknowledge(3), None);
        assert_eq!(cursor.take_gap(4), Some(2..=4));
        cursor.sent(5, 5);
        cursor.discard();
        assert_eq!(cursor.take_gap(4), Some(2..=4), "it was discarded, too");
        let mut primed = Cursor::after(0);
        primed.prime();
        primed.discard();
        assert_eq!(primed, Cursor::after(0));
    }

    #[test]
    fn only_what_was_sent_can_be_taken() {
        let mut cursor = Cursor::after(0);
        assert_eq!(cursor.acknowledge(u64::MAX), None);
        cursor.sent(1, 1);
        assert_eq!(cursor.acknowledge(u64::MAX), Some(1));
        assert_eq!(cursor.first_unacknowledged(), 2);
    }

    #[test]
    fn a_gap_is_told_once() {
        let mut cursor = Cursor::after(2);
        assert_eq!(cursor.take_gap(2), None);
        assert_eq!(cursor.take_gap(5), Some(3..=5));
        assert_eq!(cursor.take_gap(5), None);
        assert_eq!(cursor.take_gap(6), Some(6..=6));
    }
}
