//! Resolution of a session that is not in the memory of this process: who serves a request for it.

use core::time::Duration;

use super::{EntryId, NodeId};
use crate::Instant;

/// The search for who serves a session, for all requests that wait for it in one process.
///
/// Its owner, if that is alive; otherwise this process, which takes the session over. Several
/// processes may try: the store accepts one claim for each epoch.
#[derive(Clone, Debug)]
pub struct Resolve {
    node: NodeId,
    /// When the requests that wait are told to try again later.
    gives_up_at: Instant,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Asking for the last entry of the session.
    AskingStore,
    /// Asking for the lease of its owner.
    AskingLease {
        owner: NodeId,
        epoch: u64,
    },
    /// Trying to reach its owner, whose lease expires then.
    Forwarding {
        lease_until: Instant,
    },
    /// Waiting until something may have changed.
    Waiting {
        until: Instant,
    },
    /// Claiming an epoch.
    Claiming {
        epoch: u64,
    },
    Over,
}

/// The last entry of a session, for a process that does not have the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claimable {
    /// Its id.
    pub id: EntryId,
    /// Who has written it.
    pub owner: NodeId,
    /// What it says of the session.
    pub status: SessionStatus,
}

/// What the last entry of a session says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionStatus {
    /// Its owner has it.
    Owned,
    /// Its owner has handed it over.
    Released,
    /// It is closed.
    Closed,
    /// It was written by a later version: this one cannot read it.
    Unreadable,
}

/// The lease of the owner of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnerLease {
    /// Time until it expires.
    pub expires_in: Duration,
}

/// What the driver must do to resolve a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResolveAction {
    /// Ask the store for the last entry: [`Resolve::on_last_entry`].
    AskStore,
    /// Ask the store for the lease of a process: [`Resolve::on_lease`].
    AskLease(NodeId),
    /// Pass the requests on to their owner. If it cannot be reached, or does not have the session:
    /// [`Resolve::on_not_forwarded`].
    Forward(NodeId),
    /// Claim the session: append the entry `epoch-0`, and report what becomes of it:
    /// [`Resolve::on_claim`].
    Claim {
        /// The epoch.
        epoch: u64,
    },
    /// The session is this process's own: read its log, which is final, and restore it.
    Restore {
        /// The epoch.
        epoch: u64,
    },
    /// Wait until the deadline: [`Resolve::tick`].
    Wait,
    /// The session does not exist.
    NotFound,
    /// Who serves the session is not known now: clients try again later.
    Unavailable,
}

/// What became of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimOutcome {
    /// The session is this process's own.
    Claimed,
    /// Another process was faster, or its owner has written.
    Refused,
    /// The store does not have the session any more.
    Missing,
}

/// Time that requests wait.
const PATIENCE: Duration = Duration::from_secs(3);

/// Time between looks, while this process may not take over yet.
const RETRY: Duration = Duration::from_millis(250);

impl Resolve {
    /// Begins at `now`, in the process `node`.
    #[must_use]
    pub fn begin(node: NodeId, now: Instant) -> (Self, ResolveAction) {
        let gives_up_at = now.saturating_add(PATIENCE);
        (Self { node, gives_up_at, state: State::AskingStore }, ResolveAction::AskStore)
    }

    /// Returns when [`tick`](Self::tick) is due.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Over => None,
            State::Waiting { until } => Some(until.min(self.gives_up_at)),
            State::AskingStore
            | State::AskingLease { .. }
            | State::Forwarding { .. }
            | State::Claiming { .. } => Some(self.gives_up_at),
        }
    }

    /// Handles the deadline. A claim in flight is not waited for: if the store accepts it, the session
    /// is this process's own, and the next request finds that.
    pub fn tick(&mut self, now: Instant) -> Option<ResolveAction> {
        if self.state == State::Over {
            return None;
        }
        if now >= self.gives_up_at {
            return Some(self.end(ResolveAction::Unavailable));
        }
        let is_due = matches!(self.state, State::Waiting { until } if now >= until);
        is_due.then(|| self.ask_store())
    }

    /// Handles the last entry in the store. `forgets` is whether the store may have forgotten sessions
    /// that their owners will write again: this process has not been connected to it for long.
    pub fn on_last_entry(
        &mut self,
        last: Option<Claimable>,
        forgets: bool,
    ) -> Option<ResolveAction> {
        if self.state != State::AskingStore {
            return None;
        }
        let Some(Claimable { id, owner, status }) = last else {
            let missing =
                if forgets { ResolveAction::Unavailable } else { ResolveAction::NotFound };
            return Some(self.end(missing));
        };
        Some(match status {
            SessionStatus::Closed => self.end(ResolveAction::NotFound),
            SessionStatus::Unreadable => self.end(ResolveAction::Unavailable),
            SessionStatus::Released => self.claim(id.epoch),
            // This process has given it up, or a claim of its own was accepted late.
            SessionStatus::Owned if owner == self.node => self.claim(id.epoch),
            SessionStatus::Owned => {
                self.state = State::AskingLease { owner, epoch: id.epoch };
                ResolveAction::AskLease(owner)
            }
        })
    }

    /// Handles the lease of the owner; `None` if it has expired. `may_take_over` is
    /// [`NodeLease::may_take_over`](super::NodeLease::may_take_over) of this process.
    pub fn on_lease(
        &mut self,
        lease: Option<OwnerLease>,
        may_take_over: bool,
        now: Instant,
    ) -> Option<ResolveAction> {
        let State::AskingLease { owner, epoch } = self.state else { return None };
        Some(match lease {
            Some(OwnerLease { expires_in }) => {
                self.state = State::Forwarding { lease_until: now.saturating_add(expires_in) };
                ResolveAction::Forward(owner)
            }
            None if may_take_over => self.claim(epoch),
            None => self.wait(now.saturating_add(RETRY)),
        })
    }

    /// Notes that the owner cannot be reached, or does not have the session (any more).
    pub fn on_not_forwarded(&mut self, is_reachable: bool, now: Instant) -> Option<ResolveAction> {
        let State::Forwarding { lease_until } = self.state else { return None };
        // One that does not have it has lost it to another, or gives it up right now.
        let until = if is_reachable { now.saturating_add(RETRY) } else { lease_until };
        Some(self.wait(until))
    }

    /// Notes what became of a claim.
    pub fn on_claim(&mut self, outcome: ClaimOutcome) -> Option<ResolveAction> {
        let State::Claiming { epoch } = self.state else { return None };
        Some(match outcome {
            ClaimOutcome::Claimed => self.end(ResolveAction::Restore { epoch }),
            ClaimOutcome::Refused => self.ask_store(),
            ClaimOutcome::Missing => self.end(ResolveAction::NotFound),
        })
    }

    /// Notes that the store is away.
    pub fn on_disconnect(&mut self) -> Option<ResolveAction> {
        match self.state {
            State::AskingStore | State::AskingLease { .. } | State::Claiming { .. } => {
                Some(self.end(ResolveAction::Unavailable))
            }
            State::Forwarding { .. } | State::Waiting { .. } | State::Over => None,
        }
    }

    fn ask_store(&mut self) -> ResolveAction {
        self.state = State::AskingStore;
        ResolveAction::AskStore
    }

    fn claim(&mut self, epoch: u64) -> ResolveAction {
        let epoch = epoch.saturating_add(1);
        self.state = State::Claiming { epoch };
        ResolveAction::Claim { epoch }
    }

    fn wait(&mut self, until: Instant) -> ResolveAction {
        self.state = State::Waiting { until };
        ResolveAction::Wait
    }

    fn end(&mut self, action: ResolveAction) -> ResolveAction {
        self.state = State::Over;
        action
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: NodeId = NodeId(1);
    const OTHER: NodeId = NodeId(2);

    fn at(milliseconds: u64) -> Instant {
        Instant::new(Duration::from_millis(milliseconds))
    }

    fn last(owner: NodeId, status: SessionStatus) -> Claimable {
        Claimable { id: EntryId { epoch: 7, number: 3 }, owner, status }
    }

    fn lease(milliseconds: u64) -> OwnerLease {
        OwnerLease { expires_in: Duration::from_millis(milliseconds) }
    }

    fn begun() -> Resolve {
        let (resolve, action) = Resolve::begin(ME, at(0));
        assert_eq!(action, ResolveAction::AskStore);
        resolve
    }

    #[test]
    fn the_last_entry_says_who_serves_the_session() {
        let claim = ResolveAction::Claim { epoch: 8 };
        for (last, forgets, expected) in [
            (None, false, ResolveAction::NotFound),
            (None, true, ResolveAction::Unavailable),
            (Some(last(OTHER, SessionStatus::Closed)), false, ResolveAction::NotFound),
            (Some(last(OTHER, SessionStatus::Unreadable)), false, ResolveAction::Unavailable),
            (Some(last(OTHER, SessionStatus::Released)), false, claim),
            (Some(last(ME, SessionStatus::Owned)), false, claim),
            (Some(last(OTHER, SessionStatus::Owned)), true, ResolveAction::AskLease(OTHER)),
        ] {
            let action = begun().on_last_entry(last, forgets);
            assert_eq!(action, Some(expected), "{last:?} {forgets}");
        }
    }

    /// Returns a resolution that has asked for the lease of the owner.
    fn asking_lease() -> Resolve {
        let mut resolve = begun();
        resolve.on_last_entry(Some(last(OTHER, SessionStatus::Owned)), false);
        resolve
    }

    #[test]
    fn a_session_without_a_living_owner_is_taken_over() {
        let mut resolve = asking_lease();
        let claim = Some(ResolveAction::Claim { epoch: 8 });
        assert_eq!(resolve.on_lease(None, true, at(10)), claim);
        let restore = Some(ResolveAction::Restore { epoch: 8 });
        assert_eq!(resolve.on_claim(ClaimOutcome::Claimed), restore);
        assert_eq!(resolve.deadline(), None);
        assert_eq!(resolve.tick(at(9_000)), None);
    }

    #[test]
    fn a_claim_that_is_refused_begins_anew() {
        let mut resolve = asking_lease();
        resolve.on_lease(None, true, at(10));
        assert_eq!(resolve.on_claim(ClaimOutcome::Refused), Some(ResolveAction::AskStore));
        let mut resolve = asking_lease();
        resolve.on_lease(None, true, at(10));
        assert_eq!(resolve.on_claim(ClaimOutcome::Missing), Some(ResolveAction::NotFound));
    }

    #[test]
    fn nothing_is_taken_over_while_leases_may_be_lost() {
        let mut resolve = asking_lease();
        assert_eq!(resolve.on_lease(None, false, at(10)), Some(ResolveAction::Wait));
        assert_eq!(resolve.deadline(), Some(at(260)));
        assert_eq!(resolve.tick(at(259)), None);
        assert_eq!(resolve.tick(at(260)), Some(ResolveAction::AskStore));
    }

    #[test]
    fn an_owner_that_cannot_be_reached_is_waited_for_until_its_lease_is_over() {
        let mut resolve = asking_lease();
        let forward = Some(ResolveAction::Forward(OTHER));
        assert_eq!(resolve.on_lease(Some(lease(1_000)), true, at(10)), forward);
        assert_eq!(resolve.on_disconnect(), None, "the store is not needed");
        assert_eq!(resolve.on_not_forwarded(false, at(100)), Some(ResolveAction::Wait));
        assert_eq!(resolve.deadline(), Some(at(1_010)));
        assert_eq!(resolve.tick(at(1_010)), Some(ResolveAction::AskStore));
    }

    #[test]
    fn an_owner_that_has_given_the_session_up_is_asked_about_again() {
        let mut resolve = asking_lease();
        resolve.on_lease(Some(lease(1_000)), true, at(10));
        assert_eq!(resolve.on_not_forwarded(true, at(20)), Some(ResolveAction::Wait));
        assert_eq!(resolve.tick(at(270)), Some(ResolveAction::AskStore));
    }

    #[test]
    fn requests_do_not_wait_for_ever() {
        let mut resolve = asking_lease();
        resolve.on_lease(Some(lease(9_000)), true, at(10));
        resolve.on_not_forwarded(false, at(20));
        assert_eq!(resolve.deadline(), Some(at(3_000)));
        assert_eq!(resolve.tick(at(3_000)), Some(ResolveAction::Unavailable));
        assert_eq!(resolve.on_last_entry(None, false), None, "it is over");
    }

    #[test]
    fn without_the_store_nothing_is_said_to_be_missing() {
        for mut resolve in [begun(), asking_lease()] {
            assert_eq!(resolve.on_disconnect(), Some(ResolveAction::Unavailable));
            assert_eq!(resolve.on_disconnect(), None);
        }
    }
}
