//! Timers of the client machine.

use alloc::collections::{BTreeMap, BTreeSet};

use super::ExchangeId;
use crate::Instant;

/// What a timer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// An outgoing message is sent again.
    Send(u64),
    /// A stream is resumed.
    Resume(u64),
    /// A new session is begun.
    Renew,
    /// The session is not open yet.
    Open,
    /// A message has waited for a new session for too long.
    Wait,
    /// The response to a DELETE is not awaited any longer.
    Delete(ExchangeId),
}

/// Timers by deadline; one for each purpose.
#[derive(Debug, Default)]
pub(super) struct Timers {
    deadlines: BTreeMap<Timer, Instant>,
    ordered: BTreeSet<(Instant, Timer)>,
}

impl Timers {
    /// Sets a timer, in place of an earlier one for the same purpose.
    pub(super) fn set(&mut self, timer: Timer, deadline: Instant) {
        self.clear(timer);
        self.deadlines.insert(timer, deadline);
        self.ordered.insert((deadline, timer));
    }

    pub(super) fn clear(&mut self, timer: Timer) {
        if let Some(deadline) = self.deadlines.remove(&timer) {
            self.ordered.remove(&(deadline, timer));
        }
    }

    /// Clears all timers but some.
    pub(super) fn retain(&mut self, is_kept: impl Fn(Timer) -> bool) {
        self.deadlines.retain(|timer, _| is_kept(*timer));
        self.ordered.retain(|(_, timer)| is_kept(*timer));
    }

    /// Returns the deadline of a timer, if it is set.
    pub(super) fn get(&self, timer: Timer) -> Option<Instant> {
        self.deadlines.get(&timer).copied()
    }

    /// Returns the earliest deadline.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.ordered.first().map(|(deadline, _)| *deadline)
    }

    /// Removes and returns the earliest timer, if it is due.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<Timer> {
        let (deadline, timer) = *self.ordered.first()?;
        if now < deadline {
            return None;
        }
        self.clear(timer);
        Some(timer)
    }
}
