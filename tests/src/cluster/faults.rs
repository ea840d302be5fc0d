//! What goes wrong in a cluster, and how often; and deliberate bugs.

use std::collections::BTreeMap;

use super::store::Remembered;
use crate::kit::Rng;

/// Something that goes wrong in a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ClusterFault {
    /// A node is killed.
    Kill,
    /// A node stops for a while, and goes on as if nothing had been.
    Pause,
    /// A node hands its sessions over, and ends.
    HandOver,
    /// The store is slow.
    SlowStore,
    /// The store is away, and comes back with everything.
    StoreAway,
    /// The store comes back as its replica, which lacks what was written last.
    Failover,
    /// The store comes back as it was some seconds ago.
    Rollback,
    /// The store comes back without anything.
    Forget,
    /// The store forgets one session.
    Evict,
    /// The clock of the store jumps, so that all leases expire.
    ClockJump,
    /// The store has no room.
    Full,
    /// A node cannot reach the store.
    CutStore,
    /// Two nodes cannot reach each other.
    CutNodes,
    /// A node is killed; when others have taken its sessions over, one of them pauses, and the store
    /// forgets that.
    Cascade,
    /// An operation does not arrive at the store.
    OperationLost,
    /// An answer of the store does not arrive.
    AnswerLost,
    /// The connection of a client breaks.
    CutClient,
    /// A client deletes its session.
    Delete,
    /// A client cancels a request.
    Cancel,
    /// A backend exits.
    BackendExit,
}

/// Every fault, its maximum weight or rate, and its coverage counter.
const FAULTS: [(ClusterFault, u32, &str); 20] = [
    (ClusterFault::Kill, 300, "nodes: killed"),
    (ClusterFault::Pause, 200, "nodes: paused"),
    (ClusterFault::HandOver, 150, "nodes: handed over"),
    (ClusterFault::SlowStore, 100, "store: slow"),
    (ClusterFault::StoreAway, 100, "store: away"),
    (ClusterFault::Failover, 100, "store: failed over"),
    (ClusterFault::Rollback, 60, "store: rolled back"),
    (ClusterFault::Forget, 60, "store: forgot everything"),
    (ClusterFault::Evict, 60, "store: evicted a session"),
    (ClusterFault::ClockJump, 60, "store: clock jumped"),
    (ClusterFault::Full, 60, "store: full"),
    (ClusterFault::CutStore, 150, "links: cut from the store"),
    (ClusterFault::CutNodes, 150, "links: cut between nodes"),
    (ClusterFault::Cascade, 80, "nodes and store: failed one after the other"),
    (ClusterFault::OperationLost, 4, "store: an operation lost"),
    (ClusterFault::AnswerLost, 4, "store: an answer lost"),
    (ClusterFault::CutClient, 150, "links: cut from a client"),
    (ClusterFault::Delete, 15, "sessions: deleted"),
    (ClusterFault::Cancel, 60, "requests: cancelled"),
    (ClusterFault::BackendExit, 10, "backends: exited"),
];

impl ClusterFault {
    /// Returns the coverage counter of the fault.
    #[must_use]
    pub fn name(self) -> &'static str {
        let known = FAULTS.into_iter().find(|(fault, ..)| *fault == self);
        known.map_or("", |(_, _, name)| name)
    }

    /// Returns the coverage counters of all faults.
    pub(super) fn names() -> impl Iterator<Item = &'static str> {
        FAULTS.into_iter().map(|(_, _, name)| name)
    }

    /// Returns whether it is drawn as a disturbance of the cluster, by weight. The others have a rate
    /// for each chance to occur.
    fn is_disturbance(self) -> bool {
        self <= Self::Cascade
    }
}

/// The rate of each fault, per thousand, or its weight.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterFaults(BTreeMap<ClusterFault, u32>);

impl ClusterFaults {
    /// Draws the rates; half of them are zero.
    pub(super) fn draw(rng: &mut Rng) -> Self {
        let rate = |(fault, most, _)| {
            let rate = if rng.chance(500) { 0 } else { rng.between(1, u64::from(most)) };
            (fault, u32::try_from(rate).unwrap_or(0))
        };
        Self(FAULTS.into_iter().map(rate).filter(|(_, rate)| *rate > 0).collect())
    }

    /// Returns faults that are only these, at their highest rates.
    #[must_use]
    pub fn only(faults: &[ClusterFault]) -> Self {
        let known = FAULTS.into_iter().filter(|(fault, ..)| faults.contains(fault));
        Self(known.map(|(fault, most, _)| (fault, most)).collect())
    }

    /// Returns the rate of a fault.
    #[must_use]
    pub fn rate(&self, fault: ClusterFault) -> u32 {
        self.0.get(&fault).copied().unwrap_or(0)
    }

    /// Returns the faults with a rate above zero.
    #[must_use]
    pub fn present(&self) -> Vec<ClusterFault> {
        self.0.keys().copied().collect()
    }

    /// Sets the rate of a fault to zero.
    pub fn remove(&mut self, fault: ClusterFault) {
        self.0.remove(&fault);
    }

    /// Draws a disturbance by weight.
    pub(super) fn draw_disturbance(&self, rng: &mut Rng) -> Option<ClusterFault> {
        let all = self.0.iter().filter(|(fault, _)| fault.is_disturbance());
        let total: u64 = all.clone().map(|(_, weight)| u64::from(*weight)).sum();
        let mut at = rng.below(total);
        for (fault, weight) in all {
            match at.checked_sub(u64::from(*weight)) {
                Some(rest) => at = rest,
                None => return Some(*fault),
            }
        }
        None
    }
}

/// The beginning or end of something that goes wrong.
#[derive(Clone, Copy, Debug)]
pub(super) enum Disturbance {
    /// The next one is drawn.
    Next,
    /// A node goes on.
    Continue(usize),
    /// The sessions of a node that was killed are taken over.
    Cascade,
    /// A node that hands over ends, at the latest.
    Exit(usize),
    /// A node starts in place of one that has ended, by its slot.
    Start(usize),
    /// The store works as fast as usual.
    Fast,
    /// The store comes back.
    StoreBack(Remembered),
    /// The store has room again.
    Room,
    /// A node reaches the store again.
    StoreReached(usize),
    /// Two nodes reach each other again.
    NodesReached,
}

/// A deliberate bug of a node, which a law must catch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// Sends what is recorded before it is committed.
    SendsBeforeCommit,
    /// Takes a session over without leaving out event ids.
    DoesNotSkip,
    /// Leaves out as many event ids as any other node.
    SkipsLikeOthers,
    /// Restores a session without the records after it was written as a whole.
    IgnoresRecords,
    /// Trims before a whole session is acknowledged.
    TrimsEarly,
    /// Takes a refused entry for written.
    IgnoresRefused,
    /// Takes the last entry of another node for its own.
    IgnoresOwner,
    /// Takes a session over without telling it that its backend is lost.
    KeepsPending,
    /// Sends a request to its next owner again, if the first one has died.
    RetriesRequest,
    /// Waits for longer than a lease before it takes a session over.
    TakesOverLate,
    /// Says 404 while the store is away.
    DeniesSession,
    /// Deletes a session without closing it in the store.
    DeletesUnclosed,
    /// Never trims the log of a session.
    NeverTrims,
    /// Claims a session without looking at the lease of its owner.
    IgnoresLease,
    /// Takes over at once after the store has come back.
    SkipsGrace,
}

impl Bug {
    /// All of them, with a law that each breaks, and the faults that it takes.
    pub const ALL: [(Self, &'static str, &'static [ClusterFault]); 15] = [
        (Self::SendsBeforeCommit, "law C1 ", &[]),
        (Self::DoesNotSkip, "law C3 ", &[ClusterFault::Kill]),
        (Self::SkipsLikeOthers, "law C2 ", &[ClusterFault::Kill, ClusterFault::Cascade]),
        (Self::IgnoresRecords, "law C3 ", &[ClusterFault::Kill]),
        (
            Self::TrimsEarly,
            "law C8 ",
            &[ClusterFault::Kill, ClusterFault::Full, ClusterFault::StoreAway],
        ),
        (Self::IgnoresRefused, "law C4 ", &[ClusterFault::ClockJump]),
        (Self::IgnoresOwner, "law C3 ", &[ClusterFault::Cascade]),
        (Self::KeepsPending, "law C5 ", &[ClusterFault::Kill]),
        (Self::RetriesRequest, "law C6 ", &[ClusterFault::Kill]),
        (Self::TakesOverLate, "law C7 ", &[ClusterFault::Kill]),
        (Self::DeniesSession, "law C8 ", &[ClusterFault::StoreAway]),
        (Self::DeletesUnclosed, "law C9 ", &[ClusterFault::Delete]),
        (Self::NeverTrims, "law C10 ", &[]),
        (Self::IgnoresLease, "law C11 ", &[]),
        (Self::SkipsGrace, "law C11 ", &[ClusterFault::StoreAway]),
    ];
}
