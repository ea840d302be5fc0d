//! The history of a session, as recorded in its journal.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::time::Duration;

use rejoin_core::{
    Action, ConnectionId, CutReason, Event, EventId, Head, Input, Message, Notification, Rejection,
    Report, RequestId, SessionCloseReason, StreamId, UnrelatedRouting,
};
use rejoin_tests::kit::Coverage;
use rejoin_tests::kit::checker::GroundTruth;
use rejoin_tests::laws::{Step, View, posted, request_id};

use super::kept::{self, KeptChange};
use crate::backend::{ReceivedMessage, has_length_of};

/// What a session did.
#[derive(Debug, Default)]
pub(super) struct History {
    /// The messages on each stream.
    pub(super) ground_truth: GroundTruth,
    /// All messages, by body.
    messages: BTreeMap<u64, ReceivedMessage>,
    /// The backend's messages, by serial number.
    backend_messages: BTreeMap<u64, BackendMessage>,
    /// The first serial number of a message that may still be recorded.
    first_waiting: u64,
    /// When each event was sent, and sent again, since the session was opened.
    pub(super) sent: BTreeMap<EventId, Vec<Duration>>,
    /// The requests of each request stream.
    pub(super) streams: BTreeMap<StreamId, BTreeSet<RequestId>>,
    /// The messages that the backend must have received.
    pub(super) expected: Vec<ExpectedMessage>,
    /// Whether the backend receives an error for a refused request.
    pub(super) reports_refused_requests: bool,
    /// Number of accepted POSTs, and of the requests in them.
    pub(super) posts: u64,
    pub(super) requests: usize,
    pub(super) closed: Option<Closed>,
    /// Since when it accepts nothing: it is closed, or its backend has ended.
    pub(super) ended: Option<Closed>,
    /// Requests whose response was reported as evicted.
    pub(super) evicted: BTreeSet<RequestId>,
    /// Requests that were orphaned.
    pub(super) orphaned: BTreeSet<RequestId>,
    /// What it kept, whenever that changed.
    pub(super) kept: Vec<KeptChange>,
    /// Whether it has just given everything back, for a message that only fits alone.
    keeps_nothing: bool,
    /// Number of gaps.
    pub(super) gaps: usize,
    /// Number of connections that were cut as stalled.
    pub(super) stalled: usize,
    /// The longest time without an acknowledgement on a connection that was acknowledged later.
    pub(super) pause_max: Duration,
    /// Since when each connection with unacknowledged events has not been acknowledged.
    unacknowledged_since: BTreeMap<ConnectionId, rejoin_core::Instant>,
    started_at: Option<rejoin_core::Instant>,
}

/// A message of the backend.
#[derive(Clone, Copy, Debug)]
struct BackendMessage {
    body: u64,
    /// Whether it waits for room, to be sent again.
    waits: bool,
}

/// A message that a backend must have received, or at least its head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ExpectedMessage {
    pub(super) head: Head,
    pub(super) bytes: Option<usize>,
}

/// When and why a session closed, since it was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Closed {
    pub(super) reason: SessionCloseReason,
    pub(super) after: Duration,
}

impl History {
    /// Records a step.
    pub(super) fn record_step(
        &mut self,
        unrelated: UnrelatedRouting,
        before: &View,
        step: &Step,
        coverage: &mut Coverage,
    ) -> Result<(), String> {
        let started_at = *self.started_at.get_or_insert(step.now);
        for message in posted(&step.input) {
            self.add(message);
        }
        if let Input::BackendMessage { message, .. } = &step.input {
            let is_full = step.result == Err(Rejection::Full);
            self.add_backend_message(message, is_full);
            if is_full {
                coverage.hit("senders: waiting for room");
            }
            if self.reports_refused_requests
                && let Err(Rejection::Backend(_)) = &step.result
                && let Some(id) = request_id(&message.head)
            {
                self.expected.push(ExpectedMessage {
                    head: Head::Error { id: Some(id.clone()) },
                    bytes: None,
                });
            }
        }
        self.ground_truth.record_step(unrelated, before, step)?;
        let is_post = matches!(step.input, Input::Post { .. });
        if is_post && step.result.is_ok() {
            self.posts += 1;
            self.record_requests(step);
        }
        for action in &step.actions {
            self.record_action(action, coverage);
        }
        self.record_sent(step);
        self.record_pauses(step);
        self.kept.extend(KeptChange::of(before, step));
        kept::count(before, step, coverage);
        if mem::replace(&mut self.keeps_nothing, kept::is_emptied(step))
            && !matches!(step.input, Input::BackendMessage { .. })
        {
            coverage.hit("memory: sender waits for other sessions");
        }
        record_takeover(before, step, coverage);
        let after = step.now.since(started_at);
        if let Some(reason) = step.after.closed.filter(|_| self.closed.is_none()) {
            self.closed = Some(Closed { reason, after });
        }
        if step.input == Input::BackendLost {
            let reason = SessionCloseReason::BackendGone;
            self.ended.get_or_insert(Closed { reason, after });
        }
        self.ended = self.ended.or(self.closed);
        Ok(())
    }

    fn add(&mut self, message: &Message<u64>) {
        let received =
            ReceivedMessage { head: message.head.clone(), bytes: message.bytes, number: None };
        self.messages.insert(message.body, received);
    }

    /// Adds a message with the serial number that its length tells, unless it was added before: one
    /// that waited for room is sent again. Those that wait for the memory of other sessions are
    /// passed by later ones.
    fn add_backend_message(&mut self, message: &Message<u64>, waits: bool) {
        self.add(message);
        let known = &mut self.backend_messages;
        let is_open = |serial: &u64| known.get(serial).is_none_or(|known| known.waits);
        let mut serials = self.first_waiting..;
        let is_own = |serial: &u64| has_length_of(*serial, message.bytes) && is_open(serial);
        let Some(serial) = serials.find(is_own) else { return };
        known.insert(serial, BackendMessage { body: message.body, waits });
        while known.get(&self.first_waiting).is_some_and(|known| !known.waits) {
            self.first_waiting += 1;
        }
    }

    fn record_requests(&mut self, step: &Step) {
        for id in posted(&step.input).iter().filter_map(|message| request_id(&message.head)) {
            self.requests += 1;
            if let Some(stream) = step.after.stream_of(id) {
                self.streams.entry(stream).or_default().insert(id.clone());
            }
        }
    }

    fn record_sent(&mut self, step: &Step) {
        let now = self.time_of(step.now);
        for action in &step.actions {
            if let Action::Send { id, .. } = action {
                self.sent.entry(*id).or_default().push(now);
            }
        }
    }

    /// Records for how long connections are not acknowledged.
    fn record_pauses(&mut self, step: &Step) {
        if let Input::Acknowledged { connection, .. } = &step.input
            && let Some(since) = self.unacknowledged_since.remove(connection)
        {
            self.pause_max = self.pause_max.max(step.now.since(since));
        }
        for conn in &step.after.connections {
            if conn.cursor.is_some_and(|cursor| cursor.has_unacknowledged) {
                self.unacknowledged_since.entry(conn.connection).or_insert(step.now);
            } else {
                self.unacknowledged_since.remove(&conn.connection);
            }
        }
    }

    /// Returns a time since the session was opened.
    pub(super) fn time_of(&self, at: rejoin_core::Instant) -> Duration {
        self.started_at.map_or(Duration::ZERO, |started_at| at.since(started_at))
    }

    fn record_action(&mut self, action: &Action<u64>, coverage: &mut Coverage) {
        match action {
            Action::Forward { message } => {
                let known = self.messages.get(message);
                self.expected.extend(known.map(|ReceivedMessage { head, bytes, number: _ }| {
                    ExpectedMessage { head: head.clone(), bytes: Some(*bytes) }
                }));
            }
            Action::CancelRequest { id } => {
                self.orphaned.insert(id.clone());
                let head = Head::Notification(Notification::Cancelled { request: id.clone() });
                self.expected.push(ExpectedMessage { head, bytes: None });
            }
            Action::FailServerRequest { id, .. } => {
                coverage.hit("server requests: failed");
                let head = Head::Error { id: Some(id.clone()) };
                self.expected.push(ExpectedMessage { head, bytes: None });
            }
            Action::Cut { reason: CutReason::Replaced, .. } => {
                coverage.hit("takeovers: request stream");
            }
            Action::Discard { .. } => coverage.hit("takeovers: with events in flight"),
            Action::Cut { reason: CutReason::Stalled, .. } => {
                self.stalled += 1;
                coverage.hit("disconnects: stalled");
            }
            Action::Send { event: Event::Gap { .. }, .. } => self.gaps += 1,
            Action::Release { .. } => coverage.hit("senders: released"),
            Action::Report(Report::ResponseEvicted { id, .. }) => {
                self.evicted.insert(id.clone());
            }
            Action::Send { .. }
            | Action::Respond { .. }
            | Action::Hold { .. }
            | Action::Close { .. }
            | Action::SessionClosed { .. }
            | Action::Commit(_)
            | Action::Report(_) => {}
        }
    }

    /// Returns the backend's message with a serial number.
    pub(super) fn backend_message(&self, serial: u64) -> Option<u64> {
        self.backend_messages.get(&serial).map(|message| message.body)
    }

    /// Returns the message with a body.
    pub(super) fn message(&self, body: u64) -> Option<&ReceivedMessage> {
        self.messages.get(&body)
    }
}

fn record_takeover(before: &View, step: &Step, coverage: &mut Coverage) {
    let attached = |view: &View| {
        let mut connections = view.connections.iter();
        let conn = connections.find(|conn| conn.stream == Some(StreamId::Standalone))?;
        Some(conn.connection)
    };
    let (Some(old), Some(new)) = (attached(before), attached(&step.after)) else { return };
    if old != new {
        coverage.hit("takeovers: standalone stream");
    }
}

/// Returns the coverage counter of a close reason.
pub(super) fn end_kind(reason: SessionCloseReason) -> &'static str {
    match reason {
        SessionCloseReason::Deleted => "ends: deleted",
        SessionCloseReason::Idle => "ends: idle",
        SessionCloseReason::BackendGone => "ends: backend gone",
        SessionCloseReason::InitializeRejected
        | SessionCloseReason::InitializeUnacknowledged
        | SessionCloseReason::InitializeTimeout
        | SessionCloseReason::ExpectedInitialize => "ends: before initialized",
        SessionCloseReason::ServerShutdown
        | SessionCloseReason::Cancelled
        | SessionCloseReason::InternalError
        | SessionCloseReason::Exhausted
        | SessionCloseReason::Moved => "ends: other",
    }
}
