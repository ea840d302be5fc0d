//! Processes that are lost with records that are not committed: another one restores the session
//! from the others, and clients come back to it.

use rejoin_core::{
    Action, Actions, Change, ClientFault, ConnectionId, Entry, Event, EventId, Input, Instant,
    Record, Rejection, Session, Snapshot, ValidConfig,
};

use super::Simulation;
use super::event_queue::ServerNo;
use crate::kit::checker::{GroundTruth, StreamChecker};
use crate::laws::Step;

/// The first connection to a session that is restored here.
const FIRST_CONNECTION: u64 = 1 << 40;

/// What the store of a session has: all records since the session was initialized.
#[derive(Debug, Default)]
pub(super) struct Stored {
    snapshot: Option<Snapshot<u64>>,
    records: Vec<Record<u64>>,
    committed: u64,
}

impl Stored {
    /// Notes what a step has recorded and committed.
    pub(super) fn follow(&mut self, step: &Step, session: &Session<u64>) {
        if !session.config().commits || session.initialized().is_none() {
            return;
        }
        if self.snapshot.is_none() {
            self.snapshot = Some(session.snapshot());
            return;
        }
        self.records.extend(step.actions.iter().filter_map(|action| {
            let Action::Commit(record) = action else { return None };
            Some((**record).clone())
        }));
        if let (Input::Committed { through }, Ok(())) = (&step.input, &step.result) {
            self.committed = self.committed.max(*through);
        }
    }

    /// Returns whether a number was taken that is not committed.
    fn has_uncommitted(&self) -> bool {
        let takes_number = |record: &&Record<u64>| record.change.takes_number();
        let last = self.records.iter().rev().find(takes_number);
        last.is_some_and(|last| last.sequence > self.committed)
    }

    /// Returns whether an action sends an event that a limit has evicted at once: that has no record,
    /// because the limits of another process may be higher.
    fn has_evicted(&self, ground_truth: &GroundTruth, action: &Action<u64>) -> bool {
        let Action::Send { id, event: Event::Message(sent), .. } = action else { return false };
        let is_logged = |record: &Record<u64>| {
            matches!(
                &record.change,
                Change::Logged { stream, index, entry: Entry::Message { body, .. } }
                    if (*stream, *index, body) == (id.stream, id.index, sent)
            )
        };
        ground_truth.at(id.stream, id.index).is_none() && self.records.iter().any(is_logged)
    }

    /// Restores the session from what is committed.
    fn restore(&self, config: &ValidConfig, now: Instant) -> Option<Result<Session<u64>, String>> {
        let snapshot = self.snapshot.clone()?;
        let committed = self.records.iter().take_while(|it| it.sequence <= self.committed);
        let (config, mut out) = (config.clone(), Actions::new());
        let records = committed.cloned();
        // Without a skip, an index that is not known is a loss.
        let session = Session::restore_with(snapshot, records, 0, config, now, &mut out);
        Some(session.map_err(|error| error.to_string()))
    }
}

impl Simulation {
    /// Restores a session as if its process were lost now, and checks that each client can come back,
    /// and gets what follows the last event that it has. The simulation goes on without it.
    pub(super) fn check_lost_process(&mut self, no: ServerNo) -> Result<(), String> {
        let Some(server) = self.servers.get(no).filter(|it| it.view.closed.is_none()) else {
            return Ok(());
        };
        let Some(restored) = server.stored.restore(&server.config, self.now) else {
            return Ok(());
        };
        let mut session = restored?;
        let readers = self.readers.values().filter(|reader| reader.server == no);
        let checkers = readers.map(|reader| reader.checker.clone()).collect::<Vec<_>>();
        for (connection, mut checker) in (FIRST_CONNECTION..).map(ConnectionId).zip(checkers) {
            let (Some(stream), Some(index)) = (checker.stream, checker.last) else { continue };
            // Priming events and gaps have no records.
            if server.ground_truth.at(stream, index).is_none() {
                continue;
            }
            let id = EventId::new(stream, index);
            let mut out = Actions::new();
            let get = Input::Get { connection, last_event_id: Some(id) };
            if let Err(rejected) = session.handle(self.now, get, &mut out)
                && let Rejection::Client(
                    fault @ (ClientFault::FutureEvent { .. } | ClientFault::UnknownStream(_)),
                ) = rejected.reason
            {
                return Err(format!("a client that has {id} comes back after a crash: {fault}"));
            }
            for action in out.drain() {
                if !server.stored.has_evicted(&server.ground_truth, &action) {
                    check_sent(&server.ground_truth, &mut checker, connection, &action)?;
                }
            }
        }
        if server.stored.has_uncommitted() {
            self.coverage.hit("restarts: with lost records");
        }
        Ok(())
    }
}

/// Checks an event that a client gets that has come back.
fn check_sent(
    ground_truth: &GroundTruth,
    checker: &mut StreamChecker,
    connection: ConnectionId,
    action: &Action<u64>,
) -> Result<(), String> {
    if let Action::Send { connection: on, id, event } = action
        && *on == connection
    {
        let result = checker.on_event(ground_truth, Some(*id), event);
        result.map_err(|error| format!("after a crash: {error}"))?;
    }
    Ok(())
}
