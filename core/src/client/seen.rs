//! Event ids that a stream remembers.

use alloc::{boxed::Box, collections::VecDeque};

/// The newest event ids of a stream, up to `event_ids_max`, and the one to resume after.
#[derive(Debug, Default)]
pub(super) struct SeenIds {
    newest: VecDeque<Box<str>>,
    /// Whether `newest` ends with the id to resume after.
    can_resume: bool,
}

impl SeenIds {
    /// Returns the id to resume after.
    pub(super) fn last(&self) -> Option<&str> {
        self.newest.back().filter(|_| self.can_resume).map(AsRef::as_ref)
    }

    pub(super) fn contains(&self, id: &str) -> bool {
        self.newest.iter().rev().any(|seen| **seen == *id)
    }

    /// Adds an id that was not seen before. Forgets the oldest one, if there are more than `max`;
    /// the last one is always kept.
    pub(super) fn push(&mut self, id: Box<str>, max: usize) {
        self.newest.push_back(id);
        self.can_resume = true;
        if self.newest.len() > max.max(1) {
            self.newest.pop_front();
        }
    }

    /// Forgets which id to resume after.
    pub(super) fn forget_last(&mut self) {
        self.can_resume = false;
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
    }
}
