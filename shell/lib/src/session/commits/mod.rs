//! Commits of a session: what is written to the store, and what follows from the answers.

mod end;
mod handover;
mod store;

use std::{mem, sync::Arc};

use bytes::Bytes;
use rejoin_core::{
    Input, Record,
    cluster::{EntryId, EntryKind, LastEntry, Tenure, TenureAction, TenureActions, WriteOutcome},
};

use self::handover::Handover;
pub(crate) use self::{
    handover::Standing,
    store::{SessionStore, StoreJob},
};
use super::{inner::SessionInner, state::LockedSession};
use crate::{
    byte_counter::ByteCounter, observer::SessionEvent, payload::Payload, store::StoreKey,
    sync::oneshot,
};

/// The commits of a session.
#[derive(Debug, Default)]
pub(super) struct Commits {
    /// `None` until the session is initialized.
    tenure: Option<Tenure>,
    /// The `initialize` request of the client.
    initialize: Bytes,
    /// `None` until the first entry.
    key: Option<StoreKey>,
    /// Records that were not sent to the store: at most as many bytes as [`Tenure`] allows, and those
    /// of one input.
    pending: Vec<u8>,
    /// How many bytes of them the tenure does not know yet.
    unreported: usize,
    /// How many bytes of them are counted for all sessions.
    counted: usize,
    /// Whether some of them need an entry. Those that take no number, like acknowledgements, do not: they
    /// are in that of others.
    needs_entry: bool,
    /// Whether the store was told that some wait.
    is_write_due: bool,
    /// The number of the last record.
    recorded: u64,
    in_flight: Option<InFlight>,
    /// Whether the store has the session: its client may learn its id.
    is_stored: bool,
    /// How often the lease had expired at the last answer of the store.
    leases_lost: u64,
    handover: Handover,
    /// Told once nothing more is written. One for each DELETE request that waits.
    end_waiters: Vec<oneshot::Sender<()>>,
}

/// Bytes of the pending records of all sessions.
const PENDING_BYTES_MAX: usize = 64 << 20;

/// The entry in flight.
#[derive(Clone, Copy, Debug)]
struct InFlight {
    id: EntryId,
    bytes: usize,
    /// The number of the last record in it.
    through: u64,
}

impl Commits {
    /// Counts the pending records for all sessions. Returns whether there is room for them.
    fn count_pending(&mut self, all: &ByteCounter) -> bool {
        let bytes = self.pending.len();
        if bytes == self.counted {
            return true;
        }
        if bytes > self.counted && !all.try_add(bytes - self.counted, PENDING_BYTES_MAX) {
            return false;
        }
        all.subtract(self.counted.saturating_sub(bytes));
        self.counted = bytes;
        true
    }
}

impl<P: Payload> SessionInner<P> {
    /// Continues a session that was taken over, before anything else. The lease had expired
    /// `leases_lost` times before it was claimed.
    pub(crate) fn continue_tenure(
        self: &Arc<Self>,
        epoch: u64,
        through: EntryId,
        leases_lost: u64,
        initialize: Bytes,
    ) {
        self.with_lock((), |locked| {
            let (tenure, actions) = Tenure::continue_in(epoch, through);
            let commits = Commits {
                tenure: Some(tenure),
                initialize,
                is_stored: true,
                leases_lost,
                ..Commits::default()
            };
            locked.state.commits = Some(Box::new(commits));
            locked.carry_out_tenure(actions);
        });
    }

    /// Writes what was recorded, unless an entry is in flight.
    pub(crate) fn write_records(self: &Arc<Self>) {
        self.with_lock((), |locked| locked.change_tenure(|_| TenureActions::new()));
    }

    /// Handles what became of an entry.
    pub(crate) fn on_written(self: &Arc<Self>, id: EntryId, outcome: WriteOutcome) {
        self.with_lock((), |locked| {
            let Some(commits) = &mut locked.state.commits else { return };
            let Some(in_flight) = commits.in_flight.filter(|in_flight| in_flight.id == id) else {
                return;
            };
            if let Some(store) = &self.shared.store
                && outcome == WriteOutcome::Written
            {
                commits.leases_lost = store.leases_lost();
            }
            locked.change_tenure(|tenure| tenure.on_answer(outcome, in_flight.bytes));
            if outcome == WriteOutcome::Full {
                locked.leave_unless_stored();
            }
        });
    }

    /// Handles the loss of the connection to the store, or of the lease of the process. A session
    /// whose client does not know it yet ends.
    pub(crate) fn on_store_lost(self: &Arc<Self>) {
        self.with_lock((), |locked| {
            locked.change_tenure(|tenure| {
                tenure.on_disconnect();
                TenureActions::new()
            });
            locked.leave_unless_stored();
        });
    }

    /// Handles the return of the store, and of the lease of the process.
    pub(crate) fn on_store_found(self: &Arc<Self>) {
        self.with_lock((), |locked| locked.change_tenure(Tenure::on_connect));
    }

    /// Handles the last entry of the session in the store.
    pub(crate) fn on_last_entry(self: &Arc<Self>, last: Option<LastEntry>) {
        self.with_lock((), |locked| {
            let (Some(store), Some(commits)) = (&self.shared.store, &mut locked.state.commits)
            else {
                return;
            };
            let leases_lost = store.leases_lost();
            let held_lease = mem::replace(&mut commits.leases_lost, leases_lost) == leases_lost
                && store.holds_lease(self.shared.clock.now());
            locked.change_tenure(|tenure| tenure.on_last_entry(last, held_lease));
        });
    }

    /// Tries again to write to a store that had no room.
    pub(crate) fn retry_write(self: &Arc<Self>) {
        self.with_lock((), |locked| locked.change_tenure(Tenure::retry));
    }

    /// Returns whether the store has the session.
    pub(crate) fn is_stored(self: &Arc<Self>) -> bool {
        self.with_lock(false, |locked| {
            locked.state.commits.as_ref().is_some_and(|commits| commits.is_stored)
        })
    }
}

impl<P: Payload> LockedSession<'_, P> {
    /// Keeps the `initialize` request for a backend that is opened later.
    pub(super) fn keep_initialize(&mut self, request: &P::Client) {
        if let (Some(store), Some(commits)) = (&self.session.shared.store, &mut self.state.commits)
            && commits.tenure.is_none()
        {
            commits.initialize = store.initialize(request);
        }
    }

    /// Writes the session to the store: it was initialized.
    pub(super) fn begin_tenure(&mut self) {
        let (Some(store), Some(commits)) = (&self.session.shared.store, &mut self.state.commits)
        else {
            return;
        };
        if commits.tenure.is_none() {
            let (tenure, actions) = Tenure::begin();
            commits.tenure = Some(tenure);
            commits.leases_lost = store.leases_lost();
            self.carry_out_tenure(actions);
        }
    }

    /// Returns whether the client must not learn the id of the session yet.
    pub(super) fn is_withheld(&self) -> bool {
        let commits = self.state.commits.as_ref();
        commits.is_some_and(|commits| commits.tenure.is_some() && !commits.is_stored)
    }

    /// Adds a record to those that are sent to the store.
    pub(super) fn add_record(&mut self, record: &Record<P::Server>) {
        let (Some(store), Some(commits)) = (&self.session.shared.store, &mut self.state.commits)
        else {
            return;
        };
        commits.recorded = commits.recorded.max(record.sequence);
        // A session that is not in the store yet is written as a whole.
        if commits.tenure.is_some() {
            let before = commits.pending.len();
            store.write_record(record, &mut commits.pending);
            commits.unreported += commits.pending.len() - before;
            commits.needs_entry |= record.change.takes_number();
        }
    }

    /// Tells the store of records that are to be written, unless an entry is in flight: the next one has
    /// them. Hands the session over if that is due.
    pub(super) fn note_records(&mut self) {
        let Some(commits) = &mut self.state.commits else { return };
        if commits.needs_entry && commits.in_flight.is_none() && !commits.is_write_due {
            commits.is_write_due = true;
            self.after_unlock.store_jobs.push(StoreJob::Write);
        }
        self.limit_pending();
        let Some(commits) = &self.state.commits else { return };
        if let Handover::WhenIdle { retry } = commits.handover
            && self.state.core.pending_requests() == 0
            && self.state.core.close_reason().is_none()
        {
            self.begin_handover(retry);
        }
    }

    /// Drops the pending records if they are too many: the next entry is then the whole session.
    fn limit_pending(&mut self) {
        let (Some(store), Some(commits)) = (&self.session.shared.store, &mut self.state.commits)
        else {
            return;
        };
        let bytes = commits.pending.len();
        if bytes > Tenure::PENDING_BYTES_MAX || !commits.count_pending(store.pending()) {
            commits.pending = Vec::new();
            commits.count_pending(store.pending());
            if let Some(tenure) = &mut commits.tenure {
                tenure.on_pending_dropped();
            }
        }
    }

    /// Requires an entry for the records that wait, if there are some.
    fn require_entry(&mut self) {
        if let Some(commits) = &mut self.state.commits {
            commits.needs_entry = commits.unreported > 0;
        }
    }

    /// Changes the tenure, after it was told of the records that were added.
    fn change_tenure(&mut self, change: impl FnOnce(&mut Tenure) -> TenureActions) {
        let Some(commits) = &mut self.state.commits else { return };
        commits.is_write_due = false;
        let Some(tenure) = &mut commits.tenure else { return };
        let mut actions = TenureActions::new();
        if mem::take(&mut commits.needs_entry) {
            actions = tenure.on_records(mem::take(&mut commits.unreported));
        }
        actions.extend(change(tenure));
        self.carry_out_tenure(actions);
    }

    fn carry_out_tenure(&mut self, actions: TenureActions) {
        for action in actions {
            match action {
                TenureAction::Write { id, kind, creates } => self.write(id, kind, creates),
                TenureAction::Committed => self.on_committed(),
                TenureAction::Trim { before } => {
                    self.after_unlock.store_jobs.push(StoreJob::Trim { before });
                }
                TenureAction::Remove => self.after_unlock.store_jobs.push(StoreJob::Remove),
                TenureAction::Ask => self.after_unlock.store_jobs.push(StoreJob::Ask),
                TenureAction::Ended => self.on_ended(),
                TenureAction::GiveUp { reason } => {
                    self.after_unlock.events.push(SessionEvent::GivenUp { reason });
                    self.forget(false);
                    self.leave();
                }
            }
        }
    }

    fn write(&mut self, id: EntryId, kind: EntryKind, creates: bool) {
        let (Some(store), Some(commits)) = (&self.session.shared.store, &mut self.state.commits)
        else {
            return;
        };
        let pending = mem::take(&mut commits.pending);
        (commits.unreported, commits.needs_entry) = (0, false);
        let entry = match kind {
            EntryKind::Whole => {
                let principal = self.session.principal();
                store.write_whole(&self.state.core, principal, &commits.initialize)
            }
            EntryKind::Records => store.write_entry(kind, &pending),
            EntryKind::Released | EntryKind::Closed => store.write_entry(kind, &[]),
        };
        commits.in_flight = Some(InFlight { id, bytes: entry.len(), through: commits.recorded });
        let key = *commits.key.get_or_insert_with(|| StoreKey::of(self.session.id()));
        self.after_unlock.store_jobs.push(StoreJob::Append { key, id, entry, creates });
    }

    fn on_committed(&mut self) {
        let Some(commits) = &mut self.state.commits else { return };
        let Some(InFlight { through, .. }) = commits.in_flight.take() else { return };
        if !mem::replace(&mut commits.is_stored, true) {
            for buffer in self.state.buffers.iter_mut() {
                self.after_unlock.wake(buffer.take_waker());
            }
        }
        self.apply(Input::Committed { through });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pending_records_of_all_sessions_have_a_limit() {
        let all = ByteCounter::default();
        let pending = |bytes| Commits { pending: vec![0; bytes], ..Commits::default() };
        let (mut first, mut second) = (pending(PENDING_BYTES_MAX - 10), pending(11));
        assert!(first.count_pending(&all));
        assert!(!second.count_pending(&all));
        second.pending.truncate(10);
        assert!(second.count_pending(&all));
        first.pending.clear();
        assert!(first.count_pending(&all));
        assert_eq!(all.bytes(), 10);
    }
}
