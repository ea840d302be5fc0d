//! Messages that wait for a new session.

use alloc::vec::Vec;

use super::{Action, CallFailure, Client, Phase, outgoing::Outgoing, timers::Timer};
use crate::Instant;

impl<C: Clone, S> Client<C, S> {
    /// Lets a message wait, if the session was lost. It fails at once if the next attempt to open
    /// one follows too late for it.
    pub(super) fn begin_waiting(&mut self, number: u64, out: &mut Vec<Action<C, S>>) {
        if self.phase != Phase::Renewing {
            return;
        }
        let Some(outgoing) = self.outgoing.get(&number) else { return };
        let deadline = self.wait_deadline(outgoing);
        let next = self.timers.get(Timer::Renew).unwrap_or(self.now);
        if deadline <= next {
            self.fail_outgoing(number, self.no_session(), out);
        } else if self.timers.get(Timer::Wait).is_none_or(|set| deadline < set) {
            self.timers.set(Timer::Wait, deadline);
        }
    }

    /// Fails what has waited for `send_timeout` at a time, which may be in the future, and sets the
    /// timer for the rest.
    pub(super) fn end_waiting(&mut self, at: Instant, out: &mut Vec<Action<C, S>>) {
        self.timers.clear(Timer::Wait);
        for number in self.waiting() {
            let Some(outgoing) = self.outgoing.get(&number) else { continue };
            let deadline = self.wait_deadline(outgoing);
            if deadline > at {
                // The others came later.
                self.timers.set(Timer::Wait, deadline);
                return;
            }
            self.fail_outgoing(number, self.no_session(), out);
        }
    }

    /// Fails everything that waits after an attempt to open a session has failed, unless another
    /// attempt may succeed.
    pub(super) fn fail_waiting(&mut self, attempt: &CallFailure, out: &mut Vec<Action<C, S>>) {
        self.session.permanent = None;
        if let CallFailure::NoConnection { reason } = attempt {
            self.session.permanent = Some(reason.clone());
        }
        if is_transient(attempt) {
            return;
        }
        self.timers.clear(Timer::Wait);
        for number in self.waiting() {
            self.fail_outgoing(number, CallFailure::NoSession, out);
        }
    }

    /// Returns until when a message waits for a session.
    fn wait_deadline(&self, outgoing: &Outgoing<C>) -> Instant {
        let since = outgoing.queued_at.max(self.session.lost_at);
        since.saturating_add(self.config.send_timeout)
    }

    /// Returns the failure of a message that has waited for too long.
    fn no_session(&self) -> CallFailure {
        match &self.session.permanent {
            Some(reason) => CallFailure::NoConnection { reason: reason.clone() },
            None => CallFailure::NoSession,
        }
    }

    /// Returns the numbers of the messages that wait for a session, in their order.
    fn waiting(&self) -> Vec<u64> {
        let outgoing = self.outgoing.iter();
        let waiting =
            outgoing.filter(|(_, outgoing)| outgoing.is_unsent() && !outgoing.opens_session());
        waiting.map(|(number, _)| *number).collect()
    }
}

/// Returns whether another attempt to open a session may succeed after this failure of one. The
/// reasons of `NoConnection` and of a 404 may pass: a session has been opened before.
fn is_transient(attempt: &CallFailure) -> bool {
    match attempt {
        CallFailure::Unreachable
        | CallFailure::NoConnection { .. }
        | CallFailure::ConnectionLost
        | CallFailure::SessionLost
        | CallFailure::Refused { status: 404 | 408 | 429 | 500..=599 } => true,
        CallFailure::NotInitialized
        | CallFailure::AlreadyInitialized
        | CallFailure::RequestIdInUse
        | CallFailure::TooManyMessages
        | CallFailure::MessageTooLarge { .. }
        | CallFailure::NoSession
        | CallFailure::Refused { .. }
        | CallFailure::NotResumed
        | CallFailure::Unanswered
        | CallFailure::ResponseTooLarge => false,
    }
}
