//! The world outside of a session: what everybody there knows.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rejoin_core::{
    Config, ConnectionId, EndReason, EventId, Input, Instant, Profile, ProgressToken,
    ProtocolVersion, RequestId, StreamId,
};

use super::{Op, Setup, What, ids};

/// How many of the things that are over are remembered.
pub(super) const MEMORY: usize = 24;

/// The client, the backend, the network and the clock of one session.
#[derive(Clone, Debug)]
pub struct World {
    pub(super) config: Config,
    pub(super) version: Option<ProtocolVersion>,
    pub(super) profile: Option<&'static Profile>,
    pub(super) phase: Phase,
    pub(super) now: Instant,
    pub(super) deadline: Option<Instant>,
    pub(super) luck: u8,
    /// What the driver made up so far, which it never does again.
    pub(super) connections_made: u64,
    pub(super) bodies_made: u64,
    pub(super) ids_made: u64,
    /// The connections, until their end is reported.
    pub(super) lines: BTreeMap<ConnectionId, Line>,
    /// How many connections the session knows.
    pub(super) known: usize,
    /// The request streams that are known to be in use, and those of late.
    pub(super) in_use: BTreeSet<StreamId>,
    pub(super) recent: VecDeque<StreamId>,
    pub(super) streams_seen: u64,
    /// Those that lost a connection that had more to say.
    pub(super) lost: VecDeque<StreamId>,
    /// Those that cannot be resumed.
    pub(super) dead: BTreeSet<StreamId>,
    /// The last event that the client saw of each stream.
    pub(super) seen: BTreeMap<StreamId, u64>,
    /// The client's requests that the backend works on, and those that are over.
    pub(super) flights: Vec<Flight>,
    pub(super) answered: VecDeque<RequestId>,
    pub(super) cancelled: VecDeque<RequestId>,
    pub(super) tokens_used: VecDeque<ProgressToken>,
    /// The backend's requests that the client works on, and those that are over.
    pub(super) asked: Vec<RequestId>,
    pub(super) settled: VecDeque<RequestId>,
    /// How many inputs came after the end.
    pub(super) steps_after_end: u8,
}

/// How far the session is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    New,
    Waiting(RequestId),
    Ready,
    Over,
}

/// A connection and its channel.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) origin: Origin,
    pub(super) stream: Option<StreamId>,
    pub(super) channel: VecDeque<(u64, Option<EventId>)>,
    pub(super) taken: Option<u64>,
    pub(super) ended: Option<EndReason>,
    /// Whether its client has an id to resume from.
    pub(super) resumable: bool,
}

/// What opened a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    Initialize,
    Reserve,
    Request,
    Get,
}

/// A request of the client at the backend.
#[derive(Clone, Debug)]
pub(super) struct Flight {
    pub(super) id: RequestId,
    pub(super) token: Option<ProgressToken>,
}

impl World {
    /// Returns the world of the `nth` session of a history, which begins at `now`.
    #[must_use]
    pub fn new(setup: &Setup, nth: usize, now: Instant) -> Self {
        Self {
            config: setup.config.clone(),
            version: setup.negotiated(nth),
            profile: None,
            phase: Phase::New,
            now,
            deadline: None,
            luck: 0,
            connections_made: 0,
            bodies_made: 0,
            ids_made: 0,
            lines: BTreeMap::new(),
            known: 0,
            in_use: BTreeSet::new(),
            recent: VecDeque::new(),
            streams_seen: 0,
            lost: VecDeque::new(),
            dead: BTreeSet::new(),
            seen: BTreeMap::new(),
            flights: Vec::new(),
            answered: VecDeque::new(),
            cancelled: VecDeque::new(),
            tokens_used: VecDeque::new(),
            asked: Vec::new(),
            settled: VecDeque::new(),
            steps_after_end: 0,
        }
    }

    /// Returns the time up to which this world has come.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Returns whether the session is closed, and has heard enough after that.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.steps_after_end > 3
    }

    /// Makes an input of an op.
    #[must_use]
    pub fn next(&mut self, op: Op) -> (Instant, Input<u64>) {
        self.luck = op.luck;
        let now = self.time(op.wait, op.luck);
        let input = self.urgent().unwrap_or_else(|| self.input(op.what));
        // An id is used twice only to be rejected, so its connection must not be
        // cut before.
        let now = if self.is_used(&input) { self.now } else { now };
        (now, input)
    }

    fn is_used(&self, input: &Input<u64>) -> bool {
        match input {
            Input::Reserve { connection }
            | Input::Request { connection, .. }
            | Input::Get { connection, .. } => self.lines.contains_key(connection),
            Input::Message { .. }
            | Input::Acknowledged { .. }
            | Input::ConnectionClosed { .. }
            | Input::Abandon { .. }
            | Input::Delete
            | Input::CloseSession { .. }
            | Input::BackendMessage { .. }
            | Input::Disconnect { .. }
            | Input::BackendGone
            | Input::Tick => false,
        }
    }

    /// Returns what mostly has to come before anything else.
    fn urgent(&mut self) -> Option<Input<u64>> {
        match &self.phase {
            Phase::New => (self.luck > 19).then(|| self.initialize()),
            Phase::Waiting(id) => {
                let id = id.clone();
                (self.luck > 70).then(|| self.answer_initialize(id))
            }
            Phase::Ready => {
                let (connection, line) = self.lines.first_key_value()?;
                let (index, _) = line.channel.front()?;
                let is_urgent = line.origin == Origin::Initialize && self.luck > 15;
                is_urgent
                    .then_some(Input::Acknowledged { connection: *connection, through: *index })
            }
            Phase::Over => None,
        }
    }

    fn input(&mut self, what: What) -> Input<u64> {
        match what {
            What::Pass => Input::Tick,
            What::Take { which, far } => self.take(which, far),
            What::Post { shape, which, size, count, fault } => {
                self.post(shape, which, size, count, fault)
            }
            What::Answer { which, how, size, fault } => self.answer(which, how, size, fault),
            What::Notify { what, which, size, related, fault } => {
                self.notify(what, which, size, related, fault)
            }
            What::Leave { which, far } => self.leave(which, far),
            What::Break { which, far } => self.break_off(which, far),
            What::Get { how, which, index, fault } => self.get(how, which, index, fault),
            What::Tell { what, which, size, count, fault } => {
                self.tell(what, which, size, count, fault)
            }
            What::Ask { which, size, related, fault } => self.ask(which, size, related, fault),
            What::Withdraw { which, fault } => self.withdraw(which, fault),
            What::Reserve { which, fault } => self.reserve(which, fault),
            What::Abandon { which, fault } => self.abandon(which, fault),
            What::CloseStream { which, retry, fault } => self.close_stream(which, retry, fault),
            What::End { how, sure } => self.end(how, sure),
        }
    }

    /// Returns whether nothing but a few deadlines keeps the session from its end.
    pub(super) fn is_on_the_brink(&self) -> bool {
        match self.phase {
            Phase::New | Phase::Waiting(_) => true,
            Phase::Ready => {
                let unsettled =
                    |line: &Line| line.origin == Origin::Initialize && line.taken.is_none();
                self.known == 0 && self.flights.is_empty() || self.lines.values().any(unsettled)
            }
            Phase::Over => false,
        }
    }

    /// Returns a connection id that was never used.
    pub(super) fn new_connection(&mut self) -> ConnectionId {
        self.connections_made += 1;
        ConnectionId(self.connections_made)
    }

    /// Returns a body that no other message has.
    pub(super) fn new_body(&mut self) -> u64 {
        self.bodies_made += 1;
        self.bodies_made
    }

    /// Returns a size that is allowed.
    pub(super) fn size(&self, selector: u8) -> usize {
        let limits = [
            self.config.stream_bytes_max,
            self.config.session_bytes_max,
            self.config.message_bytes_max,
        ];
        ids::size(selector, self.config.message_bytes_max, limits)
    }

    /// Returns a size that is not allowed.
    pub(super) fn excess(&self, selector: u8) -> usize {
        match selector % 2 {
            0 => self.config.message_bytes_max.saturating_add(1),
            _ => usize::MAX,
        }
    }

    /// Returns a selected connection that the session should know.
    pub(super) fn known_line(&self, selector: u8) -> Option<ConnectionId> {
        self.line(selector, |line| line.ended.is_none_or(EndReason::drains))
    }

    /// Returns a selected connection of some kind.
    pub(super) fn line(
        &self,
        selector: u8,
        is_meant: impl Fn(&Line) -> bool,
    ) -> Option<ConnectionId> {
        let meant = self.lines.iter().filter(|(_, line)| is_meant(line));
        let meant: Vec<ConnectionId> = meant.map(|(connection, _)| *connection).collect();
        ids::pick(&meant, selector).copied()
    }
}

/// Remembers something, and forgets the oldest if there is too much.
pub(super) fn remember<T: PartialEq>(memory: &mut VecDeque<T>, item: T) {
    memory.retain(|known| *known != item);
    memory.push_back(item);
    if memory.len() > MEMORY {
        memory.pop_front();
    }
}
