//! What goes wrong: nodes die, pause and hand over; the store goes away, and forgets; links are cut.

use std::time::Duration;

use super::agenda::{Event, NodeEvent};
use super::faults::{ClusterFault, Disturbance};
use super::names::NodeNo;
use super::store::Remembered;
use super::{Checked, Cluster};

impl Cluster {
    /// Begins or ends something that goes wrong.
    pub(super) fn disturb(&mut self, disturbance: Disturbance) -> Checked {
        if !matches!(disturbance, Disturbance::Next | Disturbance::Start(_) | Disturbance::Exit(_))
        {
            self.laws.disturbed_at = Some(self.now);
        }
        match disturbance {
            Disturbance::Next => {
                let delay = self.fault_rng.between(200, 9_000);
                if self.is_healed {
                    return Ok(());
                }
                self.after(delay, Event::Disturbance(Disturbance::Next));
                match self.parameters.faults.draw_disturbance(&mut self.fault_rng) {
                    Some(fault) => self.begin(fault),
                    None => Ok(()),
                }
            }
            Disturbance::Continue(no) => self.go_on(no),
            Disturbance::Exit(no) => {
                self.exit(no);
                Ok(())
            }
            Disturbance::Start(slot) => {
                let is_dead = |no: NodeNo| self.nodes.get(no).is_some_and(|node| !node.is_alive);
                if self.slots.get(slot).copied().is_some_and(is_dead) {
                    self.start_node(slot);
                }
                Ok(())
            }
            Disturbance::Cascade => {
                if self.store.is_up && !self.is_healed {
                    self.begin(ClusterFault::Pause)?;
                    self.stop_store(Remembered::Replicated);
                }
                Ok(())
            }
            Disturbance::Fast => {
                self.is_store_slow = false;
                Ok(())
            }
            Disturbance::Room => {
                self.store.is_full = false;
                Ok(())
            }
            Disturbance::StoreBack(memory) => {
                self.start_store(memory);
                Ok(())
            }
            Disturbance::StoreReached(no) => {
                if let Some(node) = self.nodes.get_mut(no) {
                    node.is_cut_off = false;
                }
                Ok(())
            }
            Disturbance::NodesReached => {
                self.cut_nodes.clear();
                Ok(())
            }
        }
    }

    fn begin(&mut self, fault: ClusterFault) -> Checked {
        let slot = self.fault_rng.size(0, self.slots.len().saturating_sub(1));
        let Some(no) = self.slots.get(slot).copied() else { return Ok(()) };
        let Some(node) = self.nodes.get_mut(no) else { return Ok(()) };
        let is_well = node.is_alive && !node.is_paused && !node.is_leaving;
        if !matches!(fault, ClusterFault::Kill | ClusterFault::HandOver) {
            self.laws.disturbed_at = Some(self.now);
        }
        match fault {
            ClusterFault::Kill if is_well => {
                self.kill(no);
                let delay = self.fault_rng.between(100, 6_000);
                self.after(delay, Event::Disturbance(Disturbance::Start(slot)));
            }
            ClusterFault::Cascade if is_well => {
                self.begin(ClusterFault::Kill)?;
                let delay = self.fault_rng.between(1_500, 3_500);
                self.after(delay, Event::Disturbance(Disturbance::Cascade));
            }
            ClusterFault::Pause if is_well => {
                node.is_paused = true;
                self.note(|| format!("node {no} pauses"));
                let delay = self.fault_rng.between(100, 15_000);
                self.after(delay, Event::Disturbance(Disturbance::Continue(no)));
            }
            ClusterFault::HandOver if is_well => {
                self.hand_over(no)?;
                self.after(2_000, Event::Disturbance(Disturbance::Exit(no)));
            }
            ClusterFault::SlowStore => {
                self.is_store_slow = true;
                let delay = self.fault_rng.between(500, 8_000);
                self.after(delay, Event::Disturbance(Disturbance::Fast));
            }
            ClusterFault::StoreAway if self.store.is_up => self.stop_store(Remembered::All),
            ClusterFault::Failover if self.store.is_up => self.stop_store(Remembered::Replicated),
            ClusterFault::Rollback if self.store.is_up => self.stop_store(Remembered::Saved),
            ClusterFault::Forget if self.store.is_up => self.stop_store(Remembered::Nothing),
            ClusterFault::Evict => {
                let sessions = self.store.sessions(self.now);
                let session = self.fault_rng.choose(&sessions);
                let Some(session) = session.filter(|session| self.store.evict(*session)) else {
                    return Ok(());
                };
                self.laws.forgot_at = Some(self.now);
                self.note(|| format!("the store evicts session {session}"));
            }
            ClusterFault::ClockJump => {
                self.store.expire_leases();
                self.laws.jumped_at = Some(self.now);
                self.note(|| "the clock of the store jumps".to_owned());
            }
            ClusterFault::Full => {
                self.store.is_full = true;
                let delay = self.fault_rng.between(100, 5_000);
                self.after(delay, Event::Disturbance(Disturbance::Room));
            }
            ClusterFault::CutStore if is_well => {
                node.is_cut_off = true;
                self.note(|| format!("node {no} is cut from the store"));
                let delay = self.fault_rng.between(100, 12_000);
                self.after(delay, Event::Disturbance(Disturbance::StoreReached(no)));
            }
            ClusterFault::CutNodes => self.cut_between_nodes(no),
            ClusterFault::Kill
            | ClusterFault::Pause
            | ClusterFault::Cascade
            | ClusterFault::HandOver
            | ClusterFault::StoreAway
            | ClusterFault::Failover
            | ClusterFault::Rollback
            | ClusterFault::Forget
            | ClusterFault::CutStore
            | ClusterFault::OperationLost
            | ClusterFault::AnswerLost
            | ClusterFault::CutClient
            | ClusterFault::Delete
            | ClusterFault::Cancel
            | ClusterFault::BackendExit => return Ok(()),
        }
        self.hit_fault(fault);
        Ok(())
    }

    fn stop_store(&mut self, memory: Remembered) {
        self.note(|| format!("the store goes away, and will remember {memory:?}"));
        let starts = self.store.starts;
        self.store.replicate(self.now, Duration::from_millis(self.parameters.lag));
        self.store.stop();
        let is_noticed = self.fault_rng.chance(600);
        if is_noticed {
            for no in 0..self.nodes.len() {
                let delay = self.fault_rng.between(0, 50);
                self.after(delay, Event::Node(no, NodeEvent::StoreLost(starts)));
            }
        }
        let long = self.fault_rng.chance(500);
        let most = if long { 15_000 } else { 900 };
        let delay = self.fault_rng.between(10, most);
        self.after(delay, Event::Disturbance(Disturbance::StoreBack(memory)));
    }

    /// Starts the store again.
    fn start_store(&mut self, memory: Remembered) {
        if self.store.is_up {
            return;
        }
        if self.store.start(self.now, memory) {
            self.laws.forgot_at = Some(self.now);
        }
        self.note(|| "the store is back".to_owned());
    }

    fn cut_between_nodes(&mut self, one: NodeNo) {
        let other = self.fault_rng.size(0, self.slots.len().saturating_sub(1));
        let Some(other) = self.slots.get(other).copied().filter(|other| *other != one) else {
            return;
        };
        self.cut_nodes.insert((one.min(other), one.max(other)));
        self.note(|| format!("nodes {one} and {other} are cut"));
        // What is in flight between them breaks when their pings are missing.
        let between = self.exchanges.iter().filter(|(_, exchange)| {
            let owner = exchange.owner.map(|(owner, _)| owner).or(exchange.forwarded_to);
            let is_between = |one, other| exchange.ingress == one && owner == Some(other);
            is_between(one, other) || is_between(other, one)
        });
        let between: Vec<_> = between.map(|(exchange, _)| *exchange).collect();
        for exchange in between {
            self.break_exchange(exchange, true);
        }
        let delay = self.fault_rng.between(100, 8_000);
        self.after(delay, Event::Disturbance(Disturbance::NodesReached));
    }

    /// Lets a paused node go on, with all that has happened.
    fn go_on(&mut self, no: NodeNo) -> Checked {
        let Some(node) = self.nodes.get_mut(no).filter(|node| node.is_alive && node.is_paused)
        else {
            return Ok(());
        };
        node.is_paused = false;
        let mut backlog: Vec<NodeEvent> = std::mem::take(&mut node.backlog).into();
        // What is due may be noticed first or last.
        let is_first = self.fault_rng.chance(500);
        backlog.sort_by_key(|event| matches!(event, NodeEvent::Tick) != is_first);
        self.note(|| format!("node {no} goes on"));
        for event in backlog {
            self.dispatch_to_node(no, event)?;
        }
        Ok(())
    }

    /// Hands all sessions of a node over.
    fn hand_over(&mut self, no: NodeNo) -> Checked {
        let Some(node) = self.nodes.get_mut(no) else { return Ok(()) };
        node.is_leaving = true;
        let sessions: Vec<_> = node.sessions.keys().copied().collect();
        self.note(|| format!("node {no} hands {} sessions over", sessions.len()));
        if sessions.is_empty() {
            self.exit(no);
        }
        for session in sessions {
            let Some(owned) = self.owned(no, session) else { continue };
            if !owned.is_closed {
                self.change_tenure(no, session, |tenure| tenure.end(false))?;
            }
        }
        Ok(())
    }

    /// Ends a node that has handed its sessions over.
    pub(super) fn exit(&mut self, no: NodeNo) {
        let Some(node) = self.nodes.get(no).filter(|node| node.is_alive && node.is_leaving) else {
            return;
        };
        let slot = node.slot;
        self.kill(no);
        let delay = self.fault_rng.between(100, 3_000);
        self.after(delay, Event::Disturbance(Disturbance::Start(slot)));
    }

    /// Ends everything that goes wrong.
    pub(super) fn heal(&mut self) -> Checked {
        self.is_healed = true;
        self.laws.disturbed_at = Some(self.now);
        self.is_store_slow = false;
        self.store.is_full = false;
        self.cut_nodes.clear();
        self.start_store(Remembered::All);
        for slot in 0..self.slots.len() {
            let Some(no) = self.slots.get(slot).copied() else { continue };
            let Some(node) = self.nodes.get_mut(no) else { continue };
            node.is_cut_off = false;
            if node.is_alive {
                self.go_on(no)?;
            } else {
                self.start_node(slot);
            }
        }
        self.note(|| "everything is well".to_owned());
        Ok(())
    }
}
