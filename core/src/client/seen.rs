//! Event ids that a stream remembers.

use alloc::{boxed::Box, collections::VecDeque};

/// The newest event ids of a stream, up to `event_ids_max`, and the one to resume after.
#[derive(Debug, Default)]
pub(super) struct SeenIds {
    newest: VecDeque<Box<str>>,
    last: Option<Box<str>>,
}

impl SeenIds {
    /// Returns the id to resume after.
    pub(super) fn last(&self) -> Option<&str> {
        self.last.as_deref()
    }

    pub(super) fn contains(&self, id: &str) -> bool {
        self.newest.iter().rev().any(|seen| **seen == *id)
    }

    /// Adds an id that was not seen before. Forgets the oldest one, if there are more than `max`.
    pub(super) fn push(&mut self, id: Box<str>, max: usize) {
        self.last = Some(id.clone());
        self.newest.push_back(id);
        while self.newest.len() > max {
            self.newest.pop_front();
        }
    }

    /// Notes that an id came again: an event that is sent again does not change what to resume
    /// after, unless that was forgotten.
    pub(super) fn see_again(&mut self, id: Box<str>) {
        self.last.get_or_insert(id);
    }

    /// Forgets which id to resume after.
    pub(super) fn forget_last(&mut self) {
        self.last = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bounded_number_of_ids_is_remembered() {
        let mut seen = SeenIds::default();
        assert_eq!(seen.last(), None);
        for id in ["a", "b", "c"] {
            seen.push(id.into(), 2);
        }
        assert_eq!(seen.last(), Some("c"));
        assert!(!seen.contains("a") && seen.contains("b") && seen.contains("c"));
        seen.forget_last();
        assert_eq!(seen.last(), None);
        assert!(seen.contains("c"));
        seen.see_again("b".into());
        seen.see_again("c".into());
        assert_eq!(seen.last(), Some("b"));
        seen.push("d".into(), 0);
        assert!(!seen.contains("d") && seen.last() == Some("d"));
    }
}
