//! Indexes that no event of a stream has.

use alloc::{boxed::Box, collections::VecDeque};
use core::ops::Range;

/// Ranges of indexes that a restore has left out, so that an event id never names two events. Most
/// streams have none, and a box is smaller.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[expect(clippy::box_collection, reason = "most logs skip nothing, and a box is smaller")]
pub(crate) struct Skipped(
    /// Ascending, at most [`RANGES_MAX`].
    Option<Box<VecDeque<Range<u64>>>>,
);

/// How many ranges are remembered. A gap over an earlier one is reported as if there had been events.
const RANGES_MAX: usize = 8;

impl Skipped {
    pub(crate) const fn new() -> Self {
        Self(None)
    }

    /// Adds a range, which is not empty and after all others.
    pub(crate) fn add(&mut self, range: Range<u64>) {
        let ranges = self.0.get_or_insert_default();
        match ranges.back_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            Some(_) | None => ranges.push_back(range),
        }
        if ranges.len() > RANGES_MAX {
            ranges.pop_front();
        }
    }

    /// Returns the first and the last of the indexes from `from` through `through` that are before a
    /// skipped one, after the skipped ones that come first.
    #[cold]
    pub(crate) fn trim(&self, from: u64, through: u64) -> Option<(u64, u64)> {
        let (mut first, mut last) = (from, through);
        for range in self.0.as_deref().into_iter().flatten() {
            if range.contains(&first) {
                first = range.end;
            } else if range.start > first {
                last = last.min(range.start - 1);
                break;
            }
        }
        (first <= last).then_some((first, last))
    }

    /// Returns whether the ranges could have been added to a log with this last index, and an event at
    /// `missed` was evicted.
    #[cfg(feature = "serde")]
    pub(crate) fn fits(&self, last: u64, missed: u64) -> bool {
        let mut end = 0;
        let mut ranges = self.0.as_deref().into_iter().flatten();
        ranges.all(|range| {
            let is_next = range.start >= end && range.end > range.start;
            end = range.end;
            is_next && end - 1 <= last && !range.contains(&missed)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_has_no_skipped_index() {
        let mut skipped = Skipped::new();
        assert_eq!(skipped.trim(3, 9), Some((3, 9)));
        skipped.add(5..8);
        skipped.add(8..10);
        skipped.add(12..20);
        for (from, through, expected) in [
            (1, 4, Some((1, 4))),
            (1, 30, Some((1, 4))),
            (5, 9, None),
            (5, 30, Some((10, 11))),
            (9, 10, Some((10, 10))),
            (12, 19, None),
            (12, 30, Some((20, 30))),
            (20, 30, Some((20, 30))),
        ] {
            assert_eq!(skipped.trim(from, through), expected, "{from}..={through}");
        }
    }

    #[cfg(feature = "serde")]
    #[test]
    fn ranges_fit_their_log() {
        let with = |ranges: &[Range<u64>]| {
            let ranges: VecDeque<_> = ranges.iter().cloned().collect();
            Skipped(Some(Box::new(ranges)))
        };
        assert!(Skipped::new().fits(0, 0));
        assert!(with(&[1..3, 5..8]).fits(7, 3));
        assert!(!with(&[1..3, 5..8]).fits(6, 3), "after the last index");
        assert!(!with(&[1..3, 5..8]).fits(7, 7), "an event was evicted there");
        assert!(!with(&[1..3, 2..8]).fits(7, 0), "overlap");
        assert!(!with(&[1..3, 3..3]).fits(7, 0), "empty");
    }

    #[test]
    fn the_first_ranges_are_forgotten() {
        let mut skipped = Skipped::new();
        (0..20).for_each(|nth| skipped.add(10 * nth..10 * nth + 5));
        assert_eq!(skipped.trim(0, 1_000), Some((0, 119)));
        assert_eq!(skipped.trim(120, 1_000), Some((125, 129)));
    }
}
