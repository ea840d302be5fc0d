//! Histories: what a session did, as its journal says.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rejoin_core::{
    Action, CloseReason, ConnectionId, EndReason, EventId, Head, Input, Message, Notification,
    Rejection, Report, RequestId, StreamId, UnrelatedRouting,
};
use rejoin_tests::laws::{Step, View, posted, request_id};
use rejoin_tests::world::Tally;
use rejoin_tests::world::witness::Truth;

use crate::backend::Heard;

/// What a session did.
#[derive(Debug, Default)]
pub(super) struct History {
    /// What stood where on which stream.
    pub(super) truth: Truth,
    /// Every message, by its number.
    messages: BTreeMap<u64, Heard>,
    /// The numbers of what the backend said, in order.
    said: Vec<u64>,
    /// When each place of a stream was sent, and sent again, counted from the beginning.
    pub(super) sent: BTreeMap<EventId, Vec<Duration>>,
    /// The requests that each stream opened with.
    pub(super) streams: BTreeMap<StreamId, BTreeSet<RequestId>>,
    /// What the backend was to hear.
    pub(super) mail: Vec<Mail>,
    /// Whether the backend hears that a request of its own was refused.
    pub(super) hears_refusals: bool,
    /// How many POSTs were accepted, and how many requests they had.
    pub(super) posts: u64,
    pub(super) requests: usize,
    pub(super) closed: Option<Closed>,
    /// The requests whose answers were reported to be let go of.
    pub(super) evicted: BTreeSet<RequestId>,
    /// The requests that were cancelled at the backend, for lack of a connection.
    pub(super) orphaned: BTreeSet<RequestId>,
    /// How many gaps there were to be told of.
    pub(super) gaps: usize,
    /// How many connections were cut because nothing was taken on them.
    pub(super) stalled: usize,
    /// For how long nothing was taken at most on a connection on which something was later.
    pub(super) pause_max: Duration,
    /// Since when nothing was taken on each connection that held something.
    silent: BTreeMap<ConnectionId, rejoin_core::Instant>,
    began: Option<rejoin_core::Instant>,
}

/// What a backend was to hear: a message, or at least its head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mail {
    pub(super) head: Head,
    pub(super) bytes: Option<usize>,
}

/// When a session closed, counted from its beginning, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Closed {
    pub(super) reason: CloseReason,
    pub(super) after: Duration,
}

impl History {
    /// Notes what a step did.
    pub(super) fn note(
        &mut self,
        unrelated: UnrelatedRouting,
        before: &View,
        step: &Step,
        tally: &mut Tally,
    ) -> Result<(), String> {
        let began = *self.began.get_or_insert(step.now);
        for message in posted(&step.input) {
            self.add(message);
        }
        if let Input::BackendMessage { message, .. } = &step.input {
            self.add(message);
            self.said.push(message.body);
            if self.hears_refusals
                && let Err(Rejection::Backend(_)) = &step.result
                && let Some(id) = request_id(&message.head)
            {
                self.mail.push(Mail { head: Head::Error { id: Some(id.clone()) }, bytes: None });
            }
        }
        self.truth.note(unrelated, before, step)?;
        let is_post = matches!(step.input, Input::Request { .. } | Input::Message { .. });
        if is_post && step.result.is_ok() {
            self.posts += 1;
            self.open(step);
        }
        for action in &step.actions {
            self.carry_out(action, tally);
        }
        self.send(step);
        self.follow(step);
        tally_takeover(before, step, tally);
        if let Some(reason) = step.after.closed.filter(|_| self.closed.is_none()) {
            self.closed = Some(Closed { reason, after: step.now.since(began) });
        }
        Ok(())
    }

    fn add(&mut self, message: &Message<u64>) {
        let heard = Heard { head: message.head.clone(), bytes: message.bytes, told: None };
        self.messages.insert(message.body, heard);
    }

    fn open(&mut self, step: &Step) {
        for id in posted(&step.input).iter().filter_map(|message| request_id(&message.head)) {
            self.requests += 1;
            if let Some(stream) = step.after.stream_of(id) {
                self.streams.entry(stream).or_default().insert(id.clone());
            }
        }
    }

    fn send(&mut self, step: &Step) {
        let now = self.time_of(step.now);
        let mut replays = step.replays.iter();
        for action in &step.actions {
            if let Action::Send { id: Some(id), .. } = action {
                self.sent.entry(*id).or_default().push(now);
            } else if let Action::Replay { stream, .. } = action {
                for (index, _) in replays.next().into_iter().flatten() {
                    self.sent.entry(EventId::new(*stream, *index)).or_default().push(now);
                }
            }
        }
    }

    /// Notes for how long readers take nothing.
    fn follow(&mut self, step: &Step) {
        if let Input::Acknowledged { connection, .. } = &step.input
            && let Some(since) = self.silent.remove(connection)
        {
            self.pause_max = self.pause_max.max(step.now.since(since));
        }
        for seat in &step.after.connections {
            if seat.cursor.is_some_and(|cursor| cursor.has_unacknowledged()) {
                self.silent.entry(seat.connection).or_insert(step.now);
            } else {
                self.silent.remove(&seat.connection);
            }
        }
    }

    /// Returns a time as counted from the beginning of the session.
    pub(super) fn time_of(&self, at: rejoin_core::Instant) -> Duration {
        self.began.map_or(Duration::ZERO, |began| at.since(began))
    }

    fn carry_out(&mut self, action: &Action<u64>, tally: &mut Tally) {
        match action {
            Action::Forward { message } => {
                let known = self.messages.get(message);
                self.mail.extend(known.map(|Heard { head, bytes, told: _ }| Mail {
                    head: head.clone(),
                    bytes: Some(*bytes),
                }));
            }
            Action::CancelRequest { id } => {
                self.orphaned.insert(id.clone());
                let head = Head::Notification(Notification::Cancelled { request: id.clone() });
                self.mail.push(Mail { head, bytes: None });
            }
            Action::FailServerRequest { id, .. } => {
                tally.add("questions: failed");
                let head = Head::Error { id: Some(id.clone()) };
                self.mail.push(Mail { head, bytes: None });
            }
            Action::Replay { .. } => tally.add("replays"),
            Action::Close { reason: EndReason::Replaced, .. } => {
                tally.add("takeovers: request stream");
            }
            Action::Discard { .. } => tally.add("takeovers: with events under way"),
            Action::Close { reason: EndReason::Stalled, .. } => {
                self.stalled += 1;
                tally.add("drops: stalled");
            }
            Action::Gap { .. } => self.gaps += 1,
            Action::Release { .. } => tally.add("senders: let go on"),
            Action::Report(Report::ResponseEvicted { id, .. }) => {
                self.evicted.insert(id.clone());
            }
            Action::Send { .. }
            | Action::Close { .. }
            | Action::SessionClosed { .. }
            | Action::Report(_) => {}
        }
    }

    /// Returns what the backend said as its so manyth message.
    pub(super) fn said(&self, serial: u64) -> Option<u64> {
        self.said.get(usize::try_from(serial).ok()?).copied()
    }

    /// Returns a message by its number.
    pub(super) fn message(&self, body: u64) -> Option<&Heard> {
        self.messages.get(&body)
    }
}

fn tally_takeover(before: &View, step: &Step, tally: &mut Tally) {
    let carrier = |view: &View| {
        let mut seats = view.connections.iter();
        let seat = seats.find(|seat| seat.stream == Some(StreamId::Standalone))?;
        Some(seat.connection)
    };
    let (Some(old), Some(new)) = (carrier(before), carrier(&step.after)) else { return };
    if old != new {
        tally.add("takeovers: standalone stream");
    }
}

/// Returns how the end of a session is counted.
pub(super) fn end_kind(reason: CloseReason) -> &'static str {
    match reason {
        CloseReason::Deleted => "ends: deleted",
        CloseReason::Idle => "ends: idle",
        CloseReason::BackendGone => "ends: backend gone",
        CloseReason::InitializeRejected
        | CloseReason::InitializeUnacknowledged
        | CloseReason::InitializeTimeout
        | CloseReason::ExpectedInitialize => "ends: before it began",
        CloseReason::ServerShutdown | CloseReason::Cancelled | CloseReason::Exhausted => {
            "ends: otherwise"
        }
    }
}
