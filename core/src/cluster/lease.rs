//! The lease of a process: what the process may promise, and when it renews the lease.

use core::time::Duration;

use smallvec::SmallVec;

use crate::Instant;

/// The lease by which others know that a process is alive.
///
/// It is trusted from the moment at which the renewal was sent, by the clock of the process alone. A
/// process without a lease loses sessions to others, and writes nothing that they do not refuse, so
/// safety does not depend on the lease.
#[derive(Clone, Debug)]
pub struct NodeLease {
    config: LeaseConfig,
    /// Until when the lease is trusted.
    trusted_until: Instant,
    /// When it is renewed next; `None` while a renewal is in flight.
    renew_at: Option<Instant>,
    /// Since when the store can be reached; `None` while it is away.
    connected_at: Option<Instant>,
    /// When the connections of clients are cut; `None` while the lease is trusted, and after that.
    cut_at: Option<Instant>,
    is_suspended: bool,
}

/// Durations of a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseConfig {
    /// Time after which a lease expires that is not renewed.
    pub ttl: Duration,
    /// Time between renewals.
    pub interval: Duration,
    /// Time without a lease after which the connections of clients are cut, so that they try another
    /// process.
    pub patience: Duration,
}

impl Default for LeaseConfig {
    fn default() -> Self {
        Self {
            ttl: Duration::from_millis(1_500),
            interval: Duration::from_millis(500),
            patience: Duration::from_secs(5),
        }
    }
}

/// What the driver must do for the lease, in this order.
pub type LeaseActions = SmallVec<[LeaseAction; 2]>;

/// Something that the driver must do for the lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseAction {
    /// Renew the lease.
    Renew,
    /// Accept nothing for any session: the lease is not trusted any more.
    Suspend,
    /// Accept what clients send again.
    Resume,
    /// Look whether the sessions are still this process's own: others may have taken them over.
    DoubtAll,
    /// Cut the connections of all clients.
    CutAll,
}

impl NodeLease {
    /// Returns a lease that was never renewed: the process is suspended.
    #[must_use]
    pub const fn new(config: LeaseConfig) -> Self {
        Self {
            config,
            trusted_until: Instant::EPOCH,
            renew_at: None,
            connected_at: None,
            cut_at: None,
            is_suspended: true,
        }
    }

    /// Returns whether the process may promise anything at `now`.
    #[must_use]
    pub fn is_valid(&self, now: Instant) -> bool {
        !self.is_suspended && now < self.trusted_until
    }

    /// Returns whether the process may take over a session that its owner did not hand over.
    ///
    /// After a restart or a failover of the store all leases look expired: for twice the time of a
    /// lease, their owners can renew them.
    #[must_use]
    pub fn may_take_over(&self, now: Instant) -> bool {
        let ttl = self.config.ttl;
        let grace = |since: Instant| since.saturating_add(ttl).saturating_add(ttl);
        self.is_valid(now) && self.connected_at.is_some_and(|since| now >= grace(since))
    }

    /// Returns when [`tick`](Self::tick) is due.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let expires_at = (!self.is_suspended).then_some(self.trusted_until);
        [self.renew_at, expires_at, self.cut_at].into_iter().flatten().min()
    }

    /// Handles deadlines.
    pub fn tick(&mut self, now: Instant) -> LeaseActions {
        let mut actions = LeaseActions::new();
        if self.renew_at.take_if(|at| *at <= now).is_some() {
            actions.push(LeaseAction::Renew);
        }
        if !self.is_suspended && now >= self.trusted_until {
            self.is_suspended = true;
            self.cut_at = Some(self.trusted_until.saturating_add(self.config.patience));
            actions.push(LeaseAction::Suspend);
        }
        if self.cut_at.take_if(|at| *at <= now).is_some() {
            actions.push(LeaseAction::CutAll);
        }
        actions
    }

    /// Notes that the store can be reached.
    pub fn on_connect(&mut self, now: Instant) -> LeaseActions {
        self.connected_at = Some(now);
        self.renew_at = None;
        LeaseActions::from_iter([LeaseAction::Renew])
    }

    /// Notes that the store is away: renewals in flight are lost.
    pub fn on_disconnect(&mut self) {
        self.connected_at = None;
        self.renew_at = None;
    }

    /// Notes that the store has renewed the lease. `sent_at` is when the renewal was sent;
    /// `had_expired` is whether the store had no lease any more.
    pub fn on_renewed(&mut self, sent_at: Instant, had_expired: bool) -> LeaseActions {
        let mut actions = LeaseActions::new();
        let margin = self.config.ttl / 6;
        let trusted_for = self.config.ttl.saturating_sub(margin);
        self.trusted_until = sent_at.saturating_add(trusted_for);
        self.renew_at = Some(sent_at.saturating_add(self.config.interval));
        self.cut_at = None;
        if had_expired {
            actions.push(LeaseAction::DoubtAll);
        }
        if core::mem::take(&mut self.is_suspended) {
            actions.push(LeaseAction::Resume);
        }
        actions
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u64) -> Instant {
        Instant::new(Duration::from_millis(milliseconds))
    }

    fn actions<const N: usize>(actions: [LeaseAction; N]) -> LeaseActions {
        actions.into_iter().collect()
    }

    /// Returns a lease that was renewed at 10 s.
    fn renewed() -> NodeLease {
        let mut lease = NodeLease::new(LeaseConfig::default());
        assert_eq!(lease.deadline(), None);
        assert_eq!(lease.on_connect(at(10_000)), actions([LeaseAction::Renew]));
        let begun = [LeaseAction::DoubtAll, LeaseAction::Resume];
        assert_eq!(lease.on_renewed(at(10_000), true), actions(begun));
        lease
    }

    #[test]
    fn a_lease_is_renewed_in_time() {
        let mut lease = renewed();
        assert_eq!(lease.deadline(), Some(at(10_500)));
        assert_eq!(lease.tick(at(10_499)), actions([]));
        assert_eq!(lease.tick(at(10_500)), actions([LeaseAction::Renew]));
        assert_eq!(lease.deadline(), Some(at(11_250)), "a renewal is in flight");
        assert_eq!(lease.on_renewed(at(10_500), false), actions([]));
        assert_eq!(lease.deadline(), Some(at(11_000)));
        assert!(lease.is_valid(at(11_749)) && !lease.is_valid(at(11_750)));
    }

    #[test]
    fn without_a_renewal_nothing_is_promised() {
        let mut lease = renewed();
        lease.on_disconnect();
        assert_eq!(lease.deadline(), Some(at(11_250)));
        assert_eq!(lease.tick(at(11_250)), actions([LeaseAction::Suspend]));
        assert_eq!(lease.deadline(), Some(at(16_250)));
        assert_eq!(lease.tick(at(16_250)), actions([LeaseAction::CutAll]));
        assert_eq!(lease.deadline(), None);
        assert_eq!(lease.on_connect(at(20_000)), actions([LeaseAction::Renew]));
        assert!(!lease.is_valid(at(20_000)));
        let renewed = [LeaseAction::DoubtAll, LeaseAction::Resume];
        assert_eq!(lease.on_renewed(at(20_000), true), actions(renewed));
        assert!(lease.is_valid(at(20_001)));
    }

    #[test]
    fn a_process_that_was_paused_does_not_trust_its_lease() {
        let mut lease = renewed();
        assert!(!lease.is_valid(at(20_000)), "before the tick");
        let late = [LeaseAction::Renew, LeaseAction::Suspend, LeaseAction::CutAll];
        assert_eq!(lease.tick(at(20_000)), actions(late));
    }

    #[test]
    fn a_late_answer_does_not_make_a_lease_valid() {
        let mut lease = renewed();
        lease.tick(at(10_500));
        lease.tick(at(12_000));
        lease.on_renewed(at(10_500), false);
        assert!(!lease.is_valid(at(12_000)));
        assert_eq!(lease.tick(at(12_000)).last(), Some(&LeaseAction::Suspend));
    }

    #[test]
    fn nothing_is_taken_over_soon_after_a_connect() {
        let mut lease = renewed();
        lease.on_renewed(at(12_000), false);
        assert!(!lease.may_take_over(at(12_999)));
        assert!(lease.may_take_over(at(13_000)));
        lease.on_disconnect();
        assert!(!lease.may_take_over(at(13_000)));
    }
}
