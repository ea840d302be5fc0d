//! Servers: a session each, and whoever must hold it to its laws.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rejoin_core::{
    ConnectionId, EventId, Input, Instant, ProtocolVersion, Session, StreamId, ValidConfig,
};

use super::agenda::LineNo;
use super::backend::Backend;
use super::chance::Chance;
use super::faults::Fault;
use super::tally::Tally;
use super::witness::{Truth, check_forwarded};
use crate::laws::{Checker, ObservedSession, Step, View};

/// How many steps are kept to be shown.
const SHOWN: usize = 25;

/// A session, its backend, and what a driver knows.
#[derive(Debug)]
pub(super) struct Server {
    /// What the backend will answer to `initialize`.
    pub(super) version: Option<ProtocolVersion>,
    pub(super) config: ValidConfig,
    pub(super) session: ObservedSession,
    pub(super) twin: ObservedSession,
    observer: Checker,
    /// What the session said of itself last.
    pub(super) view: View,
    pub(super) truth: Truth,
    /// Since when a stream has no connection.
    pub(super) alone: BTreeMap<StreamId, Instant>,
    /// What was taken of each stream.
    pub(super) taken: BTreeMap<StreamId, u64>,
    pub(super) backend: Backend,
    pub(super) luck: Chance,
    /// The connections that have not been reported as closed.
    pub(super) lines: BTreeMap<ConnectionId, LineNo>,
    next_connection: u64,
    /// When a tick is on the agenda.
    pub(super) armed: Option<Instant>,
    /// How many requests were accepted.
    pub(super) requests: usize,
    /// When it began.
    pub(super) began: Instant,
    /// How often it was restored.
    pub(super) restarts: u64,
    /// All that it was told.
    pub(super) inputs: Vec<(Instant, Input<u64>)>,
    /// The last steps.
    pub(super) steps: VecDeque<Step>,
}

impl Server {
    pub(super) fn new(
        config: ValidConfig,
        now: Instant,
        mut luck: Chance,
        backend: Backend,
    ) -> Self {
        let session = || ObservedSession::new(Session::new(config.clone(), now), now);
        let (mut session, twin) = (session(), session());
        let view = session.view();
        let versions = ["2025-11-25", "2025-11-25", "2025-06-18", "2025-03-26"];
        let version = luck.pick(&versions).and_then(ProtocolVersion::new);
        Self {
            version,
            observer: Checker::new((*config).clone(), now, view.clone()),
            config,
            session,
            twin,
            view,
            truth: Truth::default(),
            alone: BTreeMap::new(),
            taken: BTreeMap::new(),
            backend,
            luck,
            lines: BTreeMap::new(),
            next_connection: 1,
            armed: None,
            requests: 0,
            began: now,
            restarts: 0,
            inputs: Vec::new(),
            steps: VecDeque::new(),
        }
    }

    /// Notes that a stream was taken as far as an event.
    pub(super) fn note_taken(&mut self, id: EventId) {
        let taken = self.taken.entry(id.stream).or_default();
        *taken = id.index.max(*taken);
    }

    /// Notes which streams have no connection after a step, and since when.
    fn note_alone(&mut self, step: &Step) {
        let view = &self.view;
        if let (Input::Get { last_event_id: Some(id), .. }, Ok(_)) = (&step.input, &step.result) {
            // Its connection may have ended within the step.
            self.alone.remove(&id.stream);
        }
        let carried: BTreeSet<StreamId> =
            view.connections.iter().filter_map(|seat| seat.stream).collect();
        let is_alone = |stream: &StreamId| !carried.contains(stream);
        self.alone.retain(|stream, _| is_alone(stream) && view.log(*stream).is_some());
        for log in view.logs.iter().filter(|log| is_alone(&log.stream)) {
            self.alone.entry(log.stream).or_insert(step.now);
        }
    }

    /// Names a connection for a line.
    pub(super) fn connect(&mut self, line: LineNo) -> ConnectionId {
        let connection = ConnectionId(self.next_connection);
        self.next_connection += 1;
        self.lines.insert(connection, line);
        connection
    }

    /// Lets the session handle an input, and the laws judge it. Returns the step, and
    /// the pending request of the client that a message is about.
    pub(super) fn step(
        &mut self,
        now: Instant,
        input: Input<u64>,
        tally: &mut Tally,
    ) -> Result<(Step, Option<rejoin_core::RequestId>), String> {
        if self.inputs.last().is_some_and(|(last, _)| now < *last) {
            tally.struck(Fault::Skew);
        }
        self.inputs.push((now, input.clone()));
        let step = self.session.step(now, input.clone());
        let for_twin = if step.result.is_ok() { input } else { Input::Tick };
        let twin = self.twin.step(now, for_twin);
        self.judge(step, Some(&twin), tally)
    }

    /// Lets the session alone handle an input.
    pub(super) fn step_alone(
        &mut self,
        now: Instant,
        input: Input<u64>,
        tally: &mut Tally,
    ) -> Result<Step, String> {
        self.inputs.push((now, input.clone()));
        let step = self.session.step(now, input);
        self.judge(step, None, tally).map(|(step, _)| step)
    }

    fn judge(
        &mut self,
        step: Step,
        twin: Option<&Step>,
        tally: &mut Tally,
    ) -> Result<(Step, Option<rejoin_core::RequestId>), String> {
        tally.stats.count(&step);
        if self.steps.len() == SHOWN {
            self.steps.pop_front();
        }
        self.steps.push_back(step.clone());
        let lawful = self.observer.check(&step, twin.unwrap_or(&step));
        lawful.map_err(|broken| broken.to_string())?;
        check_forwarded(&step, |id| self.backend.asked.contains(id))?;
        let about = self.truth.note(self.config.unrelated_routing, &self.view, &step)?;
        self.view.clone_from(&step.after);
        self.note_alone(&step);
        Ok((step, about))
    }
}
