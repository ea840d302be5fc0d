//! Servers: a session each, checked against the laws.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use rejoin_core::{
    Action, ConnectionId, Event, EventId, Input, Instant, ProtocolVersion, Session, StreamId,
    ValidConfig,
};

use super::backend::Backend;
use super::checker::check_forwarded;
use super::event_queue::LinkNo;
use super::lost_process::Stored;
use crate::kit::checker::GroundTruth;
use crate::kit::{Coverage, Fault, Rng};
use crate::laws::{Checker, ObservedSession, Step, View, last_record};

/// How many of the last steps a failure shows.
const STEPS_SHOWN: usize = 25;

/// A session, its backend, and the state of its driver.
#[derive(Debug)]
pub(super) struct Server {
    /// The revision that the backend will negotiate.
    pub(super) version: Option<ProtocolVersion>,
    pub(super) config: ValidConfig,
    pub(super) session: ObservedSession,
    pub(super) twin: ObservedSession,
    observer: Checker,
    /// The state of the session after the last step.
    pub(super) view: View,
    pub(super) ground_truth: GroundTruth,
    /// Since when a stream has been detached, and its client has been expected.
    pub(super) detached_since: BTreeMap<StreamId, Instant>,
    /// The last acknowledged index of each stream.
    pub(super) acknowledged: BTreeMap<StreamId, u64>,
    pub(super) backend: Backend,
    pub(super) rng: Rng,
    pub(super) limit_rng: Rng,
    /// Whether the limit of what the session keeps was ever lowered.
    pub(super) was_limited: bool,
    /// The connections that have not been reported as closed.
    pub(super) links: BTreeMap<ConnectionId, LinkNo>,
    next_connection: u64,
    /// When the next tick is scheduled.
    pub(super) timer: Option<Instant>,
    /// Number of accepted requests.
    pub(super) requests: usize,
    /// The number of its last record.
    pub(super) recorded: u64,
    pub(super) stored: Stored,
    /// When the session was opened.
    pub(super) started_at: Instant,
    /// Number of restores.
    pub(super) restores: u64,
    /// All inputs.
    pub(super) inputs: Vec<(Instant, Input<u64>)>,
    /// The last steps.
    pub(super) steps: VecDeque<Step>,
}

impl Server {
    pub(super) fn new(
        config: ValidConfig,
        now: Instant,
        (mut rng, limit_rng): (Rng, Rng),
        backend: Backend,
    ) -> Self {
        let session = || ObservedSession::new(Session::new(config.clone(), now), now);
        let (mut session, twin) = (session(), session());
        let view = session.view();
        let versions = ["2025-11-25", "2025-11-25", "2025-06-18", "2025-03-26"];
        let version = rng.choose(&versions).and_then(ProtocolVersion::new);
        Self {
            version,
            observer: Checker::new((*config).clone(), now, view.clone()),
            config,
            session,
            twin,
            view,
            ground_truth: GroundTruth::default(),
            detached_since: BTreeMap::new(),
            acknowledged: BTreeMap::new(),
            backend,
            rng,
            limit_rng,
            was_limited: false,
            links: BTreeMap::new(),
            next_connection: 1,
            timer: None,
            requests: 0,
            recorded: 0,
            stored: Stored::default(),
            started_at: now,
            restores: 0,
            inputs: Vec::new(),
            steps: VecDeque::new(),
        }
    }

    /// Notes that a stream is acknowledged up to an event.
    pub(super) fn note_acknowledged(&mut self, id: EventId) {
        let acknowledged = self.acknowledged.entry(id.stream).or_default();
        *acknowledged = id.index.max(*acknowledged);
    }

    /// Notes which streams are detached after a step, and since when their clients are expected.
    fn note_detached(&mut self, step: &Step) {
        let view = &self.view;
        if let (Input::Get { last_event_id: Some(id), .. }, Ok(())) = (&step.input, &step.result) {
            // The connection may have ended within the step.
            self.detached_since.remove(&id.stream);
        }
        let attached: BTreeSet<StreamId> =
            view.connections.iter().filter_map(|conn| conn.stream).collect();
        let is_detached = |stream: &StreamId| !attached.contains(stream);
        self.detached_since.retain(|stream, _| is_detached(stream) && view.log(*stream).is_some());
        for log in view.logs.iter().filter(|log| is_detached(&log.stream)) {
            let retry = sent_retry(step, log.stream).unwrap_or_default();
            self.detached_since.entry(log.stream).or_insert(step.now.saturating_add(retry));
        }
    }

    /// Allocates the connection id of a link.
    pub(super) fn connect(&mut self, link: LinkNo) -> ConnectionId {
        let connection = ConnectionId(self.next_connection);
        self.next_connection += 1;
        self.links.insert(connection, link);
        connection
    }

    /// Passes an input to the session and its twin, and checks the laws. Returns the step, and
    /// the client request that a backend message belongs to.
    pub(super) fn step(
        &mut self,
        now: Instant,
        input: Input<u64>,
        coverage: &mut Coverage,
    ) -> Result<(Step, Option<rejoin_core::RequestId>), String> {
        if self.inputs.last().is_some_and(|(last, _)| now < *last) {
            coverage.hit_fault(Fault::ClockBack);
        }
        self.inputs.push((now, input.clone()));
        let step = self.session.step(now, input.clone());
        let for_twin = if step.is_applied() { input } else { Input::Tick };
        let twin = self.twin.step(now, for_twin);
        self.check_step(step, Some(&twin), coverage)
    }

    /// Passes an input to the session but not to its twin.
    pub(super) fn step_without_twin(
        &mut self,
        now: Instant,
        input: Input<u64>,
        coverage: &mut Coverage,
    ) -> Result<Step, String> {
        self.inputs.push((now, input.clone()));
        let step = self.session.step(now, input);
        self.check_step(step, None, coverage).map(|(step, _)| step)
    }

    fn check_step(
        &mut self,
        step: Step,
        twin: Option<&Step>,
        coverage: &mut Coverage,
    ) -> Result<(Step, Option<rejoin_core::RequestId>), String> {
        coverage.stats.count(&step);
        if self.steps.len() == STEPS_SHOWN {
            self.steps.pop_front();
        }
        self.steps.push_back(step.clone());
        let checked = self.observer.check(&step, twin.unwrap_or(&step));
        checked.map_err(|violation| violation.to_string())?;
        check_forwarded(&step, |id| self.backend.server_requests.contains(id))?;
        let client_request =
            self.ground_truth.record_step(self.config.unrelated_routing, &self.view, &step)?;
        self.recorded = last_record(&step).unwrap_or(self.recorded);
        self.stored.follow(&step, self.session.session());
        self.view.clone_from(&step.after);
        self.note_detached(&step);
        Ok((step, client_request))
    }
}

/// Returns the reconnection delay that a step sends the client of a stream.
fn sent_retry(step: &Step, stream: StreamId) -> Option<Duration> {
    step.actions.iter().find_map(|action| {
        let Action::Send { id, event: Event::Priming { retry }, .. } = action else {
            return None;
        };
        retry.filter(|_| id.stream == stream)
    })
}
