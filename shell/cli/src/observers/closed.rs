//! The sessions that were closed last: an observer may be told later of what happened before.

use std::collections::{HashSet, VecDeque};

use rejoin::SessionId;

/// The last sessions that were closed: at most [`CLOSED_MAX`].
#[derive(Debug, Default)]
pub(crate) struct ClosedSessions {
    ids: HashSet<SessionId>,
    /// The same, the oldest first.
    order: VecDeque<SessionId>,
}

/// Maximum number of sessions. Events that are told late come within milliseconds.
const CLOSED_MAX: usize = 1_024;

impl ClosedSessions {
    /// Adds a session. If the set is full, it replaces the oldest one.
    pub(crate) fn add(&mut self, session: SessionId) {
        if !self.ids.insert(session) {
            return;
        }
        self.order.push_back(session);
        if self.order.len() > CLOSED_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
    }

    /// Returns whether a session is one of them.
    pub(crate) fn has(&self, session: SessionId) -> bool {
        self.ids.contains(&session)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: usize) -> SessionId {
        format!("{number:032x}").parse().unwrap()
    }

    #[test]
    fn the_last_sessions_are_known() {
        let mut closed = ClosedSessions::default();
        for number in [0].into_iter().chain(0..=CLOSED_MAX) {
            closed.add(id(number));
        }
        assert!(!closed.has(id(0)));
        assert!((1..=CLOSED_MAX).all(|number| closed.has(id(number))));
        assert_eq!((closed.ids.len(), closed.order.len()), (CLOSED_MAX, CLOSED_MAX));
    }
}
