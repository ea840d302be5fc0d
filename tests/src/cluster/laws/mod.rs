//! The laws of a cluster, one file each. Each sees what stores accept, what sessions record and
//! send, and what clients get, at all nodes.

mod c10_bounded;
mod c11_living_owners;
mod c1_committed;
mod c2_one_event;
mod c3_in_order;
mod c4_one_writer;
mod c5_settled;
mod c6_runs_once;
mod c7_in_time;
mod c8_not_found;
mod c9_no_resurrection;

use std::time::Duration;

use rejoin_core::Instant;
use rejoin_core::cluster::LeaseConfig;

pub(super) use self::c3_in_order::Position;

use self::{
    c1_committed::Committed, c2_one_event::OneEvent, c3_in_order::InOrder,
    c4_one_writer::OneWriter, c6_runs_once::RunsOnce, c7_in_time::InTime, c8_not_found::Fates,
};

/// What the laws know.
#[derive(Debug, Default)]
pub(super) struct Laws {
    pub(super) committed: Committed,
    pub(super) one_event: OneEvent,
    pub(super) in_order: InOrder,
    pub(super) one_writer: OneWriter,
    pub(super) runs_once: RunsOnce,
    pub(super) in_time: InTime,
    pub(super) fates: Fates,
    /// When the store last forgot what it had acknowledged.
    pub(super) forgot_at: Option<Instant>,
    /// When the store has last let all leases expire: owners learn that with their next renewal.
    pub(super) jumped_at: Option<Instant>,
    /// The last time at which something was wrong besides dead nodes.
    pub(super) disturbed_at: Option<Instant>,
}

impl Laws {
    /// Returns whether the store has forgotten something at or after a time, or shortly before.
    pub(super) fn has_forgotten_since(&self, time: Instant) -> bool {
        self.forgot_at.is_some_and(|at| at.saturating_add(LAG_MAX) >= time)
    }
}

impl Laws {
    /// Returns whether an owner may not know yet that it has lost its lease.
    pub(super) fn has_jumped_before(&self, now: Instant) -> bool {
        self.jumped_at.is_some_and(|at| at.saturating_add(LeaseConfig::default().ttl) >= now)
    }
}

/// How far a replica may be behind.
pub(super) const LAG_MAX: Duration = Duration::from_secs(2);
