//! How nodes reach the store: operations and answers in order, with a timeout.

use std::sync::Arc;
use std::time::Duration;

use rejoin_core::Instant;
use rejoin_core::cluster::{
    ClaimOutcome, Claimable, EntryId, LastEntry, OwnerLease, Resolve, SessionStatus, TenureActions,
    WriteOutcome,
};

use super::agenda::{Event, NodeEvent};
use super::faults::{Bug, ClusterFault};
use super::laws::LAG_MAX;
use super::names::{CallNo, NodeNo, SessionNo};
use super::store::{Answer, Content, Entry, Last, Operation};
use super::{Checked, Cluster};

/// What a node waits for an answer to.
#[derive(Clone, Debug)]
pub(super) enum Pending {
    Connect,
    Renew { sent_at: Instant },
    Write { session: SessionNo, id: EntryId, bytes: usize },
    Ask { session: SessionNo },
    Last { session: SessionNo },
    Lease { session: SessionNo },
    Claim { session: SessionNo, epoch: u64 },
    Read { session: SessionNo, epoch: u64 },
    Other,
}

/// Time that a look-up waits with a deliberate bug.
const LATE: Duration = Duration::from_millis(2_200);

/// Time after which an operation without an answer is a lost connection.
const TIMEOUT_MILLIS: u64 = 1_000;

impl Cluster {
    /// Sends an operation to the store.
    pub(super) fn ask(&mut self, no: NodeNo, pending: Pending, operation: Operation) {
        let call: CallNo = self.next_number();
        let delay = self.store_delay();
        let arrives = self.now.saturating_add(delay);
        let Some(node) = self.nodes.get_mut(no) else { return };
        let is_connect = matches!(operation, Operation::Connect);
        let starts = if is_connect { None } else { node.connection };
        if starts.is_none() && !is_connect {
            return;
        }
        node.calls.insert(call, pending);
        node.store_at = node.store_at.max(arrives);
        let at = node.store_at;
        self.agenda.push(at, Event::Store { node: no, call, starts, operation });
        self.after(TIMEOUT_MILLIS, Event::Node(no, NodeEvent::NoAnswer(call)));
    }

    fn store_delay(&mut self) -> Duration {
        let most = if self.is_store_slow { 300_000 } else { 2_000 };
        Duration::from_micros(self.store_rng.between(50, most))
    }

    /// Carries out an operation that has arrived at the store.
    pub(super) fn on_operation(
        &mut self,
        no: NodeNo,
        call: CallNo,
        starts: Option<u64>,
        operation: &Operation,
    ) -> Checked {
        let is_cut_off = self.nodes.get(no).is_none_or(|node| node.is_cut_off);
        let is_old = starts.is_some_and(|starts| starts != self.store.starts);
        if !self.store.is_up || is_cut_off || is_old {
            return Ok(());
        }
        if self.store_rng.chance(self.rate(ClusterFault::OperationLost)) {
            self.hit_fault(ClusterFault::OperationLost);
            self.laws.disturbed_at = Some(self.now);
            return Ok(());
        }
        let lag = Duration::from_millis(self.parameters.lag).min(LAG_MAX);
        self.store.replicate(self.now, lag);
        let before = match operation {
            Operation::Append { session, .. } => self.store.last(*session),
            Operation::Connect
            | Operation::Renew { .. }
            | Operation::Trim { .. }
            | Operation::Keep { .. }
            | Operation::Remove { .. }
            | Operation::Last { .. }
            | Operation::Lease { .. }
            | Operation::Read { .. } => None,
        };
        let answer = self.store.carry_out(operation, self.now);
        if let (Operation::Append { session, id, entry, .. }, Answer::Appended(outcome)) =
            (operation, &answer)
        {
            let (id, entry, outcome) = (*id, Arc::clone(entry), *outcome);
            self.note(|| {
                format!("store: {session} {id} {} by node {no}: {outcome:?}", entry.kind())
            });
            if outcome == WriteOutcome::Written {
                self.on_accepted(*session, id, &entry, before)?;
            }
        }
        if let (Operation::Renew { .. }, Answer::Renewed { had_expired: true }) =
            (operation, &answer)
            && let Some(node) = self.nodes.get_mut(no)
        {
            node.leased_at = Some(self.now);
        }
        if self.store_rng.chance(self.rate(ClusterFault::AnswerLost)) {
            self.hit_fault(ClusterFault::AnswerLost);
            self.laws.disturbed_at = Some(self.now);
            return Ok(());
        }
        let arrives = self.now.saturating_add(self.store_delay());
        if let Some(node) = self.nodes.get_mut(no) {
            node.answer_at = node.answer_at.max(arrives);
            let at = node.answer_at;
            self.agenda.push(at, Event::Node(no, NodeEvent::Answer(call, answer)));
        }
        Ok(())
    }

    /// Checks an entry that the store has accepted, where `before` was the last one.
    fn on_accepted(
        &mut self,
        session: SessionNo,
        id: EntryId,
        entry: &Entry,
        before: Option<Last>,
    ) -> Checked {
        if matches!(entry.content, Content::Claimed) {
            self.check_claim(session, entry.owner, before)?;
        }
        if before.is_none() {
            self.laws.fates.of(session).recreated_at = Some(self.now);
        }
        if matches!(entry.content, Content::Closed) {
            self.laws.fates.of(session).is_closed = true;
        }
        let has_forgotten = self.laws.forgot_at.is_some();
        self.laws.committed.on_accepted(session, &entry.content);
        self.laws.in_order.on_accepted(session, &entry.content);
        self.laws.one_writer.check_accepted(session, id, entry.owner, has_forgotten)
    }

    /// Handles an answer of the store.
    pub(super) fn on_answer(&mut self, no: NodeNo, call: CallNo, answer: Answer) -> Checked {
        let Some(node) = self.nodes.get_mut(no) else { return Ok(()) };
        let Some(pending) = node.calls.remove(&call) else { return Ok(()) };
        let now = node.clock.at(self.now);
        match (pending, answer) {
            (Pending::Connect, Answer::Connected { store, starts }) => {
                if node.connection.is_some() {
                    return Ok(());
                }
                node.connection = Some(starts);
                node.connected_at = Some(self.now);
                (node.store, node.store_since) = (Some(store), now);
                let actions = node.lease.on_connect(now);
                self.act_on_lease(no, &actions)
            }
            (Pending::Renew { .. }, Answer::NotRenewed) => self.lose_store(no),
            (Pending::Renew { sent_at }, Answer::Renewed { had_expired }) => {
                let actions = node.lease.on_renewed(sent_at, had_expired);
                self.act_on_lease(no, &actions)?;
                self.decide_doubts(no)
            }
            (Pending::Write { session, id, bytes }, Answer::Appended(outcome)) => {
                self.on_written(no, session, id, outcome, bytes)
            }
            (Pending::Ask { session }, Answer::Last { last, .. }) => {
                self.decide_doubt(no, session, last)
            }
            (Pending::Last { session }, Answer::Last { last, store }) => {
                let ttl = rejoin_core::cluster::LeaseConfig::default().ttl;
                let is_known = store.is_some() && node.store == store;
                let forgets = !is_known || now < node.store_since.saturating_add(2 * ttl);
                let last = last.map(|last| Claimable {
                    id: last.id,
                    owner: last.owner,
                    status: last.status,
                });
                self.change_lookup(no, session, |resolve| resolve.on_last_entry(last, forgets))
            }
            (Pending::Lease { session }, Answer::Lease(lease)) => {
                let lease = lease.map(|expires_in| OwnerLease { expires_in });
                let skips_grace = self.parameters.bug == Some(Bug::SkipsGrace);
                let may_take_over = node.lease.may_take_over(now) || skips_grace;
                let lease = lease.filter(|_| self.parameters.bug != Some(Bug::IgnoresLease));
                let is_late = self.parameters.bug == Some(Bug::TakesOverLate);
                let waits = node
                    .lookups
                    .get(&session)
                    .is_some_and(|lookup| now < lookup.began_at.saturating_add(LATE));
                let may_take_over = may_take_over && !(is_late && waits);
                self.change_lookup(no, session, |resolve| {
                    resolve.on_lease(lease, may_take_over, now)
                })
            }
            (Pending::Claim { session, epoch }, Answer::Appended(outcome)) => {
                self.note(|| format!("node {no}: claim {epoch} of {session}: {outcome:?}"));
                let outcome = match outcome {
                    WriteOutcome::Written => ClaimOutcome::Claimed,
                    WriteOutcome::Refused => ClaimOutcome::Refused,
                    WriteOutcome::Missing => ClaimOutcome::Missing,
                    WriteOutcome::Full => {
                        return self.change_lookup(no, session, Resolve::on_disconnect);
                    }
                };
                self.change_lookup(no, session, |resolve| resolve.on_claim(outcome))
            }
            (Pending::Read { session, epoch }, Answer::Entries(entries)) => {
                self.take_over(no, session, epoch, &entries)
            }
            (
                Pending::Other
                | Pending::Connect
                | Pending::Renew { .. }
                | Pending::Write { .. }
                | Pending::Ask { .. }
                | Pending::Last { .. }
                | Pending::Lease { .. }
                | Pending::Claim { .. }
                | Pending::Read { .. },
                _,
            ) => Ok(()),
        }
    }

    /// Decides a doubt by the last entry of a session.
    fn decide_doubt(&mut self, no: NodeNo, session: SessionNo, last: Option<Last>) -> Checked {
        let ignores_owner = self.has(Bug::IgnoresOwner);
        let Some(node) = self.nodes.get_mut(no) else { return Ok(()) };
        let (id, lapses) = (node.id, node.lapses);
        let Some(owned) = node.sessions.get_mut(&session) else { return Ok(()) };
        let held_lease = owned.confirmed_lapses == lapses;
        owned.confirmed_lapses = lapses;
        let last = last.map(|last| LastEntry {
            id: last.id,
            is_own: last.owner == id || ignores_owner,
            is_closed: last.status == SessionStatus::Closed,
        });
        self.note(|| {
            format!("node {no}: the last entry of {session} is {last:?}, held: {held_lease}")
        });
        self.change_tenure(no, session, |tenure| tenure.on_last_entry(last, held_lease))?;
        self.serve_waiting(no, session)
    }

    /// Handles that the store has not answered in time.
    pub(super) fn on_no_answer(&mut self, no: NodeNo, call: CallNo) -> Checked {
        if self.nodes.get(no).is_some_and(|node| node.calls.contains_key(&call)) {
            return self.lose_store(no);
        }
        Ok(())
    }

    /// Handles the end of the connection to the store.
    pub(super) fn lose_store(&mut self, no: NodeNo) -> Checked {
        let Some(node) = self.nodes.get_mut(no) else { return Ok(()) };
        node.connection = None;
        node.calls.clear();
        node.lease.on_disconnect();
        self.note(|| format!("node {no} loses the store"));
        self.change_all_tenures(no, |tenure| {
            tenure.on_disconnect();
            TenureActions::new()
        })?;
        let Some(node) = self.nodes.get_mut(no) else { return Ok(()) };
        for owned in node.sessions.values_mut() {
            owned.has_lost_trim = true;
        }
        for session in node.lookups.keys().copied().collect::<Vec<_>>() {
            self.lose_lookup(no, session)?;
        }
        let delay = self.store_rng.between(20, 300);
        self.after(delay, Event::Node(no, NodeEvent::Connect));
        Ok(())
    }
}
