//! The tenure of a session: how its owner writes it to the store, and learns that it is not the
//! owner any more.

mod action;
mod entry;
#[cfg(test)]
mod tests;

pub use self::{
    action::{GiveUpReason, TenureAction, TenureActions},
    entry::{EntryKind, LastEntry, WriteOutcome},
};
use super::EntryId;

/// How a process holds one session.
///
/// At most one entry is in flight, so that records are batched under load, and a doubt is about one
/// entry only. Whatever went wrong is repaired by a whole session with a higher id: no bytes that were
/// not acknowledged have to be kept.
#[derive(Clone, Debug)]
pub struct Tenure {
    epoch: u64,
    /// The last entry that this process had not written, when it took the session over.
    restored: Option<EntryId>,
    /// The number of the last entry that was sent to the store.
    sent: Option<u64>,
    state: State,
    /// Whether the store has accepted an entry since the session was last in doubt, or the last entry
    /// has decided that.
    is_confirmed: bool,
    /// How the session is handed over, once nothing is in flight.
    end: Option<EntryKind>,
    /// Whether the log is removed instead of closed, because the store has no room.
    is_removed: bool,
    /// Bytes of records that wait for the next entry.
    pending: usize,
    /// Bytes of the last whole session, and of the records after it.
    whole: usize,
    since_whole: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing is in flight.
    Idle,
    /// An entry is in flight.
    Writing(EntryKind),
    /// It is not known whether the session is still this process's own. The entry that was in flight
    /// may have been written.
    Doubt { writing: Option<EntryKind>, is_asking: bool },
    /// The store has no room: the next try is a whole session.
    Full,
    /// The session is another process's, or over.
    Over,
}

/// The epoch of a session that no process has taken over.
const FIRST_EPOCH: u64 = 1;

/// Bytes of records after which the session is written as a whole again, if it has fewer bytes itself.
const RECORDS_BYTES_MAX: usize = 256 << 10;

impl Tenure {
    /// Bytes of pending records after which the driver drops them: the next entry is a whole session,
    /// which has all of them.
    pub const PENDING_BYTES_MAX: usize = 4 << 20;

    /// Begins a session, which must be written as a whole before its client learns its id.
    #[must_use]
    pub fn begin() -> (Self, TenureActions) {
        let mut tenure = Self::new(FIRST_EPOCH);
        let write = tenure.write(EntryKind::Whole, true);
        (tenure, write)
    }

    /// Continues a session that was taken over by the entry `epoch-0`, and restored from those through
    /// `restored`.
    #[must_use]
    pub fn continue_in(epoch: u64, restored: EntryId) -> (Self, TenureActions) {
        let (sent, restored) = (Some(0), Some(restored));
        let mut tenure = Self { restored, sent, ..Self::new(epoch) };
        let write = tenure.write(EntryKind::Whole, false);
        (tenure, write)
    }

    fn new(epoch: u64) -> Self {
        let (pending, whole, since_whole) = (0, 0, 0);
        Self {
            epoch,
            restored: None,
            sent: None,
            state: State::Idle,
            is_confirmed: true,
            end: None,
            is_removed: false,
            pending,
            whole,
            since_whole,
        }
    }

    /// Returns whether it is not known if the session is still this process's own, or the store has no
    /// room for it. Then nothing may be accepted for it.
    #[must_use]
    pub const fn is_in_doubt(&self) -> bool {
        match self.state {
            State::Doubt { .. } | State::Full => true,
            State::Idle | State::Writing(_) => !self.is_confirmed,
            State::Over => false,
        }
    }

    /// Returns whether nothing more is written: the session is another process's, or over.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    /// Notes that records of `bytes` bytes wait, besides those of earlier calls.
    pub fn on_records(&mut self, bytes: usize) -> TenureActions {
        self.pending = self.pending.saturating_add(bytes);
        self.write_next()
    }

    /// Notes that the driver has dropped the pending records, because it has no memory for them: the
    /// next entry is a whole session.
    pub fn on_pending_dropped(&mut self) {
        self.pending = usize::MAX;
    }

    /// Closes the session in the store, or else hands it over, once nothing is in flight.
    pub fn end(&mut self, is_closed: bool) -> TenureActions {
        self.end = Some(if is_closed { EntryKind::Closed } else { EntryKind::Released });
        self.write_next()
    }

    /// Notes what became of the entry in flight, which has `bytes` bytes.
    pub fn on_answer(&mut self, outcome: WriteOutcome, bytes: usize) -> TenureActions {
        let State::Writing(kind) = self.state else { return TenureActions::new() };
        match outcome {
            WriteOutcome::Written => self.on_written(kind, bytes),
            WriteOutcome::Full if kind == EntryKind::Closed => {
                // The log is removed, which needs no room, unless it is another process's by now.
                self.is_removed = true;
                self.ask(Some(kind))
            }
            WriteOutcome::Full => {
                self.state = State::Full;
                self.is_confirmed = false;
                TenureActions::new()
            }
            WriteOutcome::Refused | WriteOutcome::Missing => self.ask(Some(kind)),
        }
    }

    /// Notes that there is no answer to the entry in flight, or that the lease of the process has
    /// expired.
    pub fn on_disconnect(&mut self) {
        self.state = match self.state {
            State::Idle | State::Full => State::Doubt { writing: None, is_asking: false },
            State::Writing(kind) => State::Doubt { writing: Some(kind), is_asking: false },
            State::Doubt { writing, .. } => State::Doubt { writing, is_asking: false },
            State::Over => State::Over,
        };
        self.is_confirmed = false;
    }

    /// Notes that the store can be reached again, and the lease of the process is valid.
    pub fn on_connect(&mut self) -> TenureActions {
        match self.state {
            State::Doubt { writing, is_asking: false } => self.ask(writing),
            State::Idle
            | State::Writing(_)
            | State::Doubt { is_asking: true, .. }
            | State::Full
            | State::Over => TenureActions::new(),
        }
    }

    /// Tries again to write to a store that had no room. The driver calls it after a delay.
    pub fn retry(&mut self) -> TenureActions {
        if self.state != State::Full {
            return TenureActions::new();
        }
        self.repair(false)
    }

    /// Decides a doubt by the last entry in the store, if there is one.
    ///
    /// `held_lease` says whether the lease of the process has been valid since the session was last
    /// known to be its own: then no other process can have taken the session over, or is about to.
    pub fn on_last_entry(&mut self, last: Option<LastEntry>, held_lease: bool) -> TenureActions {
        let State::Doubt { writing, is_asking: true } = self.state else {
            return TenureActions::new();
        };
        // The store has lost it: a session that another process has closed leaves an entry.
        let Some(last) = last else { return self.repair(true) };
        let is_written = last.is_own && Some(last.id) == self.sent_id();
        let is_earlier = if last.is_own {
            Some(last.id) < self.sent_id()
        } else {
            // The store has forgotten the claim, and nobody has gone on since.
            last.id.epoch < self.epoch && self.restored.is_some_and(|restored| last.id <= restored)
        };
        if is_written {
            return self.go_on(writing, held_lease);
        }
        if last.is_closed {
            return self.give_up(GiveUpReason::Closed);
        }
        if !is_earlier {
            return self.give_up(GiveUpReason::TakenOver);
        }
        // The entry was lost on the way, or the store has forgotten its last ones.
        if !held_lease {
            self.claim_again();
        }
        self.repair(false)
    }

    /// Goes on after a doubt, because the last entry is the one that was in flight, or there was none.
    fn go_on(&mut self, writing: Option<EntryKind>, held_lease: bool) -> TenureActions {
        self.state = State::Idle;
        let mut actions = TenureActions::new();
        if let Some(kind) = writing {
            // How many bytes it has is not known any more.
            actions = self.note_written(kind, 0);
        }
        if self.state == State::Over {
            return actions;
        }
        if held_lease {
            self.is_confirmed = true;
            actions.extend(self.write_next());
        } else {
            self.claim_again();
            let kind = self.next_kind();
            actions.extend(self.write(kind, false));
        }
        actions
    }

    /// Begins the next epoch. Another process, which has seen that there was no lease, may be about to
    /// claim it: the store accepts one of both.
    fn claim_again(&mut self) {
        self.epoch = self.epoch.saturating_add(1);
        self.sent = None;
        self.is_removed = false;
    }

    /// Writes what repairs the log of the session, whatever is missing in it.
    fn repair(&mut self, creates: bool) -> TenureActions {
        match self.end {
            Some(EntryKind::Closed) if creates || self.is_removed => {
                self.state = State::Over;
                let remove = self.is_removed.then_some(TenureAction::Remove);
                remove.into_iter().chain([TenureAction::Ended]).collect()
            }
            Some(EntryKind::Closed) => self.write(EntryKind::Closed, false),
            _ => self.write(EntryKind::Whole, creates),
        }
    }

    fn on_written(&mut self, kind: EntryKind, bytes: usize) -> TenureActions {
        self.state = State::Idle;
        self.is_confirmed = true;
        let mut actions = self.note_written(kind, bytes);
        actions.extend(self.write_next());
        actions
    }

    /// Notes that an entry is in the store.
    fn note_written(&mut self, kind: EntryKind, bytes: usize) -> TenureActions {
        let mut actions = TenureActions::from_iter([TenureAction::Committed]);
        match kind {
            EntryKind::Records => self.since_whole = self.since_whole.saturating_add(bytes),
            EntryKind::Whole => {
                (self.whole, self.since_whole) = (bytes, 0);
                // The first entry of a session has none before it.
                let is_first = |id: &EntryId| (id.epoch, id.number) == (FIRST_EPOCH, 0);
                let before = self.sent_id().filter(|id| !is_first(id));
                actions.extend(before.map(|before| TenureAction::Trim { before }));
            }
            // It was closed meanwhile, which any other process must learn.
            EntryKind::Released if self.end == Some(EntryKind::Closed) => {}
            EntryKind::Released => {
                self.state = State::Over;
                actions.push(TenureAction::Ended);
            }
            EntryKind::Closed => {
                self.state = State::Over;
                // A process that has had it before, and is paused, must find that it is closed.
                let stays = self.sent_id().filter(|id| id.epoch > FIRST_EPOCH);
                let trim = stays.map(|before| TenureAction::Trim { before });
                actions.extend([trim.unwrap_or(TenureAction::Remove), TenureAction::Ended]);
            }
        }
        actions
    }

    /// Writes the next entry, if nothing is in flight and there is something to write.
    fn write_next(&mut self) -> TenureActions {
        if self.state != State::Idle {
            return TenureActions::new();
        }
        if self.pending > 0 {
            let kind = self.next_kind();
            return self.write(kind, false);
        }
        self.end.map_or_else(TenureActions::new, |kind| self.write(kind, false))
    }

    /// Returns how pending records are written.
    fn next_kind(&self) -> EntryKind {
        let is_long = self.since_whole > RECORDS_BYTES_MAX.max(self.whole);
        let is_whole = is_long || self.pending > Self::PENDING_BYTES_MAX;
        if is_whole { EntryKind::Whole } else { EntryKind::Records }
    }

    fn write(&mut self, kind: EntryKind, creates: bool) -> TenureActions {
        let number = self.sent.map_or(0, |sent| sent.saturating_add(1));
        self.sent = Some(number);
        self.state = State::Writing(kind);
        self.pending = 0;
        let id = EntryId { epoch: self.epoch, number };
        TenureActions::from_iter([TenureAction::Write { id, kind, creates }])
    }

    fn ask(&mut self, writing: Option<EntryKind>) -> TenureActions {
        self.is_confirmed = false;
        self.state = State::Doubt { writing, is_asking: true };
        TenureActions::from_iter([TenureAction::Ask])
    }

    fn give_up(&mut self, reason: GiveUpReason) -> TenureActions {
        self.state = State::Over;
        TenureActions::from_iter([TenureAction::GiveUp { reason }])
    }

    fn sent_id(&self) -> Option<EntryId> {
        self.sent.map(|number| EntryId { epoch: self.epoch, number })
    }
}
