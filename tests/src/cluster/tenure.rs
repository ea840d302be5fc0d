//! How an owner writes a session to the store, by its tenure.

use std::sync::Arc;
use std::time::Duration;

use rejoin_core::Input;
use rejoin_core::cluster::{EntryId, EntryKind, Tenure, TenureAction, TenureActions, WriteOutcome};

use super::agenda::{Event, NodeEvent, Status};
use super::faults::Bug;
use super::names::{ExchangeNo, NodeNo, SessionNo};
use super::owned::InFlight;
use super::store::{Content, Entry, Operation};
use super::store_client::Pending;
use super::{Checked, Cluster};

/// Bytes of a session besides its logs, and of a record besides its event.
const OVERHEAD: usize = 100;

/// Bytes of pending records after which they are dropped: the next entry has them all.
const PENDING_BYTES_MAX: usize = 4 << 20;

/// Time after which an entry is written again for which there was no room.
const RETRY: Duration = Duration::from_secs(1);

impl Cluster {
    /// Changes the tenure of a session, and carries out what follows.
    pub(super) fn change_tenure(
        &mut self,
        no: NodeNo,
        session: SessionNo,
        change: impl FnOnce(&mut Tenure) -> TenureActions,
    ) -> Checked {
        let actions = self.owned(no, session).and_then(|owned| owned.tenure.as_mut()).map(change);
        self.act_on_tenure(no, session, &actions.unwrap_or_default())
    }

    /// Carries out actions of a tenure.
    pub(super) fn act_on_tenure(
        &mut self,
        no: NodeNo,
        session: SessionNo,
        actions: &TenureActions,
    ) -> Checked {
        for action in actions {
            match *action {
                TenureAction::Write { id, kind, creates } => {
                    self.write(no, session, id, kind, creates)?;
                }
                TenureAction::Committed => self.on_committed(no, session)?,
                TenureAction::Trim { before } => {
                    if let Some(owned) = self.owned(no, session) {
                        owned.has_lost_trim = false;
                    }
                    if !self.has(Bug::NeverTrims) {
                        self.ask(no, Pending::Other, Operation::Trim { session, before });
                    }
                }
                TenureAction::Ask => {
                    self.ask(no, Pending::Ask { session }, Operation::Last { session });
                }
                TenureAction::Remove => {
                    self.ask(no, Pending::Other, Operation::Remove { session });
                }
                TenureAction::Ended => self.on_ended(no, session),
                TenureAction::GiveUp { reason } => {
                    self.note(|| format!("node {no} gives {session} up: {reason:?}"));
                    self.coverage.hit("sessions: given up");
                    self.forget_session(no, session);
                }
            }
        }
        Ok(())
    }

    fn write(
        &mut self,
        no: NodeNo,
        session: SessionNo,
        id: EntryId,
        kind: EntryKind,
        creates: bool,
    ) -> Checked {
        if kind == EntryKind::Records {
            self.check_bounded(no, session)?;
        }
        let trims_early = self.has(Bug::TrimsEarly);
        let writer = self.nodes.get(no).map(|node| node.id);
        let Some((owned, writer)) = self.owned(no, session).zip(writer) else { return Ok(()) };
        let pending = std::mem::take(&mut owned.pending);
        let (content, bytes) = match kind {
            EntryKind::Whole => {
                let whole = owned.session.snapshot();
                let bytes = whole.logs.iter().map(|(_, log)| log.bytes()).sum::<usize>();
                (Content::Whole(Box::new(whole)), bytes + 5 * OVERHEAD)
            }
            EntryKind::Records => (Content::Records(pending), owned.pending_bytes),
            EntryKind::Released => (Content::Released, OVERHEAD),
            EntryKind::Closed => (Content::Closed, OVERHEAD),
        };
        owned.pending_bytes = 0;
        owned.largest_batch = owned.largest_batch.max(bytes);
        owned.in_flight = Some(InFlight { id, through: owned.recorded });
        let entry = Arc::new(Entry { owner: writer, content, bytes });
        self.ask(
            no,
            Pending::Write { session, id, bytes },
            Operation::Append { session, id, creates, entry },
        );
        if trims_early && kind == EntryKind::Whole && id.number > 0 {
            self.ask(no, Pending::Other, Operation::Trim { session, before: id });
        }
        Ok(())
    }

    /// Handles what has become of an entry.
    pub(super) fn on_written(
        &mut self,
        no: NodeNo,
        session: SessionNo,
        id: EntryId,
        outcome: WriteOutcome,
        bytes: usize,
    ) -> Checked {
        let ignores = self.has(Bug::IgnoresRefused) && outcome == WriteOutcome::Refused;
        let outcome = if ignores { WriteOutcome::Written } else { outcome };
        let now = self.time_at(no);
        let lapses = self.nodes.get(no).map_or(0, |node| node.lapses);
        let Some(owned) = self.owned(no, session) else { return Ok(()) };
        if owned.in_flight.is_none_or(|in_flight| in_flight.id != id) {
            return Ok(());
        }
        match outcome {
            WriteOutcome::Written => owned.confirmed_lapses = lapses,
            WriteOutcome::Full => {
                owned.retry_at = Some(now.saturating_add(RETRY));
                self.coverage.hit("entries: no room");
            }
            WriteOutcome::Refused | WriteOutcome::Missing => {
                self.coverage.hit("entries: refused or missing");
            }
        }
        self.change_tenure(no, session, |tenure| tenure.on_answer(outcome, bytes))?;
        self.serve_waiting(no, session)
    }

    /// Reports to a session what is committed.
    fn on_committed(&mut self, no: NodeNo, session: SessionNo) -> Checked {
        let writer = self.nodes.get(no).map(|node| node.id);
        let Some((owned, writer)) = self.owned(no, session).zip(writer) else { return Ok(()) };
        let Some(InFlight { id, through }) = owned.in_flight else { return Ok(()) };
        let initializing = owned.initializing.take();
        self.laws.one_writer.check_committed(session, id, writer)?;
        if let Some(exchange_no) = initializing {
            if let Some(exchange) = self.exchanges.get_mut(&exchange_no) {
                exchange.is_held = false;
            }
            self.wake_body(exchange_no);
        }
        if through == 0 {
            return Ok(());
        }
        let result = self.handle(no, session, Input::Committed { through })?;
        result.map_err(|rejection| format!("a commit was rejected: {rejection}"))
    }

    /// Notes that records wait.
    pub(super) fn on_records(&mut self, no: NodeNo, session: SessionNo, bytes: usize) -> Checked {
        self.change_tenure(no, session, |tenure| tenure.on_records(bytes))?;
        let Some(owned) = self.owned(no, session) else { return Ok(()) };
        if owned.pending_bytes > PENDING_BYTES_MAX {
            owned.pending.clear();
            owned.pending_bytes = 0;
            self.coverage.hit("records: dropped for a whole session");
        }
        Ok(())
    }

    /// Handles that a session was handed over, or is closed in the store.
    fn on_ended(&mut self, no: NodeNo, session: SessionNo) {
        let Some(owned) = self.owned(no, session) else { return };
        let deleting = std::mem::take(&mut owned.deleting);
        let is_closed = owned.is_closed;
        for exchange in deleting {
            self.send_status(no, exchange, Status::Deleted);
        }
        if !is_closed {
            self.coverage.hit("sessions: handed over");
        }
        self.forget_session(no, session);
        let is_done =
            self.nodes.get(no).is_some_and(|node| node.is_leaving && node.sessions.is_empty());
        if is_done {
            self.exit(no);
        }
    }

    /// Forgets a session: its connections break, and its backend ends.
    pub(super) fn forget_session(&mut self, no: NodeNo, session: SessionNo) {
        let Some(owned) = self.nodes.get_mut(no).and_then(|node| node.sessions.remove(&session))
        else {
            return;
        };
        if let Some(backend) = owned.backend {
            self.backends.remove(&backend);
        }
        for exchange in owned.waiting.into_iter().chain(owned.deleting) {
            self.send_status(no, exchange, Status::Unavailable);
        }
        let broken: Vec<ExchangeNo> = owned.exchanges.into_values().collect();
        for exchange_no in broken {
            // What was sent arrives.
            self.after(0, Event::Node(no, NodeEvent::Gone(exchange_no)));
            if let Some(exchange) = self.exchanges.get_mut(&exchange_no) {
                exchange.is_open_at_owner = false;
                let unsent = exchange.end.is_none() || !exchange.buffer.is_empty();
                let is_ingress_left = exchange.ingress != no;
                if unsent || exchange.is_held {
                    self.break_exchange(exchange_no, is_ingress_left);
                } else {
                    self.send_status(no, exchange_no, Status::Stream);
                    self.send_end(no, exchange_no, super::exchange::End::Closed);
                }
            }
        }
    }
}
