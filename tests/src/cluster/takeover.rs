//! Takeovers: a session goes on at another node with what the store has of it.

use std::sync::Arc;

use rejoin_core::cluster::{EntryId, LeaseConfig, Tenure};
use rejoin_core::{Actions, Input, Session};

use super::agenda::Status;
use super::faults::Bug;
use super::names::{NodeNo, SessionNo};
use super::owned::Owned;
use super::parameters::Takeover;
use super::store::{Content, Entry, STORE_TTL};
use super::{Checked, Cluster};

impl Cluster {
    /// Restores a session that was claimed.
    pub(super) fn take_over(
        &mut self,
        no: NodeNo,
        session: SessionNo,
        epoch: u64,
        entries: &[(EntryId, Arc<Entry>)],
    ) -> Checked {
        let now = self.time_at(no);
        let Some(node) = self.nodes.get_mut(no) else { return Ok(()) };
        let (id, lapses, takeovers) = (node.id, node.lapses, node.takeovers);
        node.takeovers += 1;
        let has_forgotten = self.laws.forgot_at.is_some();
        let before = entries.iter().rev().find(|(id, _)| id.epoch < epoch);
        let restored_from = before.map_or(EntryId { epoch: 0, number: 0 }, |(id, _)| *id);
        let entries: Vec<&Arc<Entry>> = entries.iter().map(|(_, entry)| entry).collect();
        let found = entries.iter().rposition(|entry| matches!(entry.content, Content::Whole(_)));
        let whole = found.and_then(|at| match &entries.get(at)?.content {
            Content::Whole(whole) => Some((at, (**whole).clone())),
            Content::Records(_) | Content::Claimed | Content::Released | Content::Closed => None,
        });
        let Some((at, snapshot)) = whole else {
            if has_forgotten {
                return self.end_lookup(no, session, Status::Unavailable);
            }
            return Err(format!("law C3 (once, in order): session {session} cannot be read"));
        };
        let records = entries.iter().skip(at).filter_map(|entry| match &entry.content {
            Content::Records(records) => Some(records.clone()),
            Content::Whole(_) | Content::Claimed | Content::Released | Content::Closed => None,
        });
        let ignores = self.parameters.bug == Some(Bug::IgnoresRecords);
        let records: Vec<_> = records.flatten().filter(|_| !ignores).collect();
        let recorded = records.last().map_or(0, |record| record.sequence);
        let skip = match self.parameters.bug {
            Some(Bug::DoesNotSkip) => 0,
            Some(Bug::SkipsLikeOthers) => 1 << 32,
            _ => id.skip(takeovers),
        };
        let restored = Session::restore_with(
            snapshot,
            records,
            skip,
            self.config.clone(),
            now,
            &mut Actions::<u64>::new(),
        );
        let restored = restored
            .map_err(|error| format!("law C3 (once, in order): session {session}: {error}"))?;
        if has_forgotten {
            self.laws.in_order.on_restored(session, &restored);
        }
        let mut owned = Owned::new(restored, now.saturating_add(STORE_TTL / 2));
        owned.recorded = recorded;
        owned.confirmed_lapses = lapses;
        let Some(node) = self.nodes.get_mut(no) else { return Ok(()) };
        node.sessions.insert(session, owned);
        let lookup = node.lookups.remove(&session);
        self.coverage.hit("sessions: taken over");
        self.note(|| format!("node {no} takes {session} over in epoch {epoch}"));
        if self.has(Bug::KeepsPending) {
            self.open_backend(no, session);
        } else {
            self.lose_backend(no, session)?;
        }
        let (tenure, actions) = Tenure::continue_in(epoch, restored_from);
        if let Some(owned) = self.owned(no, session).filter(|owned| !owned.is_closed) {
            owned.tenure = Some(tenure);
        }
        self.act_on_tenure(no, session, &actions)?;
        let Some(lookup) = lookup else { return Ok(()) };
        let sent_at = lookup.waiting.iter().filter_map(|exchange| self.exchanges.get(exchange));
        let sent_at = sent_at.map(|exchange| exchange.sent_at).min();
        let connected_at = self.nodes.get(no).and_then(|node| node.connected_at);
        if let (Some(owner), Some(sent_at), Some(connected_at)) =
            (lookup.owner, sent_at, connected_at)
        {
            let ready_at = connected_at.saturating_add(3 * LeaseConfig::default().ttl);
            let disturbed_at = self.laws.disturbed_at.max(Some(ready_at));
            let disturbed_at =
                if ready_at <= sent_at { self.laws.disturbed_at } else { disturbed_at };
            if self.laws.in_time.check_served(owner, sent_at, disturbed_at, self.now)? {
                self.coverage.hit("sessions: taken over in time");
            }
        }
        for exchange in lookup.waiting {
            self.serve(no, session, exchange)?;
        }
        Ok(())
    }

    /// Reports to a session that its backend has exited, and opens another one, if it gets one.
    pub(super) fn lose_backend(&mut self, no: NodeNo, session: SessionNo) -> Checked {
        let Some(owned) = self.owned(no, session) else { return Ok(()) };
        if let Some(backend) = owned.backend.take() {
            self.backends.remove(&backend);
        }
        if self.parameters.takeover == Takeover::Reopen {
            self.open_backend(no, session);
        } else {
            self.laws.fates.of(session).was_bereaved = true;
            self.coverage.hit("sessions: without a backend");
        }
        self.handle(no, session, Input::BackendLost).map(drop)
    }
}
