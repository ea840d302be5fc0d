//! Senders that wait for the memory of all sessions, in the order in which they began to wait.

use std::collections::{BTreeMap, BTreeSet};

use crate::{SessionId, sync::oneshot};

/// The senders of sessions that keep nothing, and whose next event does not fit.
#[derive(Debug, Default)]
pub(super) struct MemoryWaiters {
    /// By number, in the order in which they began to wait.
    queue: BTreeMap<u64, Waiter>,
    /// Size of the event and number of each.
    sizes: BTreeSet<(usize, u64)>,
    /// Session and number of each.
    sessions: BTreeSet<(SessionId, u64)>,
    next: u64,
}

#[derive(Debug)]
struct Waiter {
    session: SessionId,
    bytes: usize,
    released: oneshot::Sender<()>,
}

impl MemoryWaiters {
    /// Adds a sender with an event of `bytes` bytes. Returns its number.
    pub(super) fn add(
        &mut self,
        session: SessionId,
        bytes: usize,
        released: oneshot::Sender<()>,
    ) -> u64 {
        let number = self.next;
        self.next += 1;
        self.sizes.insert((bytes, number));
        self.sessions.insert((session, number));
        self.queue.insert(number, Waiter { session, bytes, released });
        number
    }

    pub(super) fn remove(&mut self, number: u64) -> Option<oneshot::Sender<()>> {
        let Waiter { session, bytes, released } = self.queue.remove(&number)?;
        self.sizes.remove(&(bytes, number));
        self.sessions.remove(&(session, number));
        Some(released)
    }

    /// Returns the size of the largest event that waits; 0 if none does.
    pub(super) fn largest(&self) -> usize {
        self.sizes.last().map_or(0, |(bytes, _)| *bytes)
    }

    /// Removes those whose events fit into `free` bytes together, in order. A small event does not
    /// wait behind a large one.
    pub(super) fn remove_fitting(&mut self, mut free: usize) -> Vec<oneshot::Sender<()>> {
        let mut fitting = Vec::new();
        for (number, waiter) in &self.queue {
            if self.sizes.first().is_none_or(|(smallest, _)| *smallest > free) {
                break;
            }
            let fits = waiter.bytes <= free;
            if fits {
                free -= waiter.bytes;
                self.sizes.remove(&(waiter.bytes, *number));
                fitting.push(*number);
            }
        }
        fitting.into_iter().filter_map(|number| self.remove(number)).collect()
    }

    /// Removes those of a session.
    pub(super) fn remove_session(&mut self, session: SessionId) -> Vec<oneshot::Sender<()>> {
        let of_session = self.sessions.range((session, 0)..=(session, u64::MAX));
        let numbers: Vec<_> = of_session.map(|(_, number)| *number).collect();
        numbers.into_iter().filter_map(|number| self.remove(number)).collect()
    }
}

#[cfg(test)]
#[cfg(not(shuttle))]
mod tests {
    use super::*;

    /// Adds a sender. Returns its number.
    fn add(waiters: &mut MemoryWaiters, session: SessionId, bytes: usize) -> u64 {
        waiters.add(session, bytes, oneshot::channel().0)
    }

    #[test]
    fn senders_are_released_in_order_but_not_behind_larger_ones() {
        let (mut waiters, session) = (MemoryWaiters::default(), SessionId::random());
        let numbers = [30, 10, 20, 10].map(|bytes| add(&mut waiters, session, bytes));
        assert_eq!(waiters.largest(), 30);
        assert_eq!(waiters.remove_fitting(9).len(), 0);
        // The second one, and not the third one, which does not fit after it.
        assert_eq!(waiters.remove_fitting(25).len(), 2);
        assert!(waiters.remove(numbers[1]).is_none(), "it was released");
        assert!(waiters.remove(numbers[0]).is_some());
        assert_eq!(waiters.largest(), 20);
    }

    #[test]
    fn senders_of_a_session_are_removed_together() {
        let (mut waiters, session) = (MemoryWaiters::default(), SessionId::random());
        let other = add(&mut waiters, SessionId::random(), 10);
        add(&mut waiters, session, 20);
        add(&mut waiters, session, 30);
        assert_eq!(waiters.remove_session(session).len(), 2);
        assert_eq!(waiters.largest(), 10);
        assert!(waiters.remove(other).is_some());
        assert_eq!(waiters.largest(), 0);
    }
}
