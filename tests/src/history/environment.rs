//! The environment of a session: the state of its client, backend, network and clock.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rejoin_core::{
    CloseReason, Config, ConnectionId, EventId, Input, Instant, Profile, ProgressToken,
    ProtocolVersion, RequestId, StreamId,
};

use super::{Op, OpKind, Setup, ids};

/// Maximum number of finished items of each kind that are remembered.
pub(super) const FINISHED_MAX: usize = 24;

/// The client, the backend, the network and the clock of one session.
#[derive(Clone, Debug)]
pub struct Environment {
    pub(super) config: Config,
    pub(super) version: Option<ProtocolVersion>,
    pub(super) profile: Option<&'static Profile>,
    pub(super) phase: Phase,
    pub(super) now: Instant,
    pub(super) deadline: Option<Instant>,
    pub(super) chance: u8,
    /// Counters of connection ids, bodies and request ids.
    pub(super) connections_made: u64,
    pub(super) bodies_made: u64,
    pub(super) ids_made: u64,
    /// What the session keeps.
    pub(super) kept_bytes: usize,
    /// Whether the session drains.
    pub(super) is_draining: bool,
    /// The connections that were not reported as closed.
    pub(super) connections: BTreeMap<ConnectionId, Connection>,
    /// How many connections the session knows.
    pub(super) known_connections: usize,
    /// The request streams in use, and the recent ones.
    pub(super) in_use: BTreeSet<StreamId>,
    pub(super) recent: VecDeque<StreamId>,
    pub(super) streams_seen: u64,
    /// Streams whose connection was closed before everything was delivered.
    pub(super) detached: VecDeque<StreamId>,
    /// Streams that cannot be resumed.
    pub(super) unresumable: BTreeSet<StreamId>,
    /// The last event that the client saw of each stream.
    pub(super) last_seen: BTreeMap<StreamId, u64>,
    /// The client's requests: pending and finished ones.
    pub(super) pending: Vec<PendingRequest>,
    pub(super) answered: VecDeque<RequestId>,
    pub(super) cancelled: VecDeque<RequestId>,
    pub(super) used_tokens: VecDeque<ProgressToken>,
    /// The server requests: unanswered and finished ones.
    pub(super) server_requests: Vec<RequestId>,
    pub(super) finished_server_requests: VecDeque<RequestId>,
    /// The messages that the session had no room for, with the stream that holds their sender.
    pub(super) refused: VecDeque<(StreamId, Input<u64>)>,
    /// Those whose sender was released: they are sent again.
    pub(super) released: VecDeque<Input<u64>>,
    /// The last number that the session has recorded, and the last one that was committed.
    pub(super) recorded: u64,
    pub(super) committed: u64,
    /// How many inputs came after the close.
    pub(super) steps_after_close: u8,
}

/// The phase of the session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    New,
    Initializing(RequestId),
    Ready,
    Closed,
}

/// A connection and its buffer.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    pub(super) origin: Origin,
    pub(super) stream: Option<StreamId>,
    pub(super) buffer: VecDeque<(u64, Option<EventId>)>,
    pub(super) acknowledged: Option<u64>,
    pub(super) close_reason: Option<CloseReason>,
    pub(super) is_cut: bool,
    /// Whether its client has an event id to resume after.
    pub(super) is_resumable: bool,
}

/// What opened a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    Initialize,
    Request,
    Get,
}

/// A pending request of the client.
#[derive(Clone, Debug)]
pub(super) struct PendingRequest {
    pub(super) id: RequestId,
    pub(super) token: Option<ProgressToken>,
}

impl Environment {
    /// Creates the environment of the `nth` session of a history, created at `now`.
    #[must_use]
    pub fn new(setup: &Setup, nth: usize, now: Instant) -> Self {
        Self {
            config: setup.config.clone(),
            version: setup.negotiated(nth),
            profile: None,
            phase: Phase::New,
            now,
            deadline: None,
            chance: 0,
            connections_made: 0,
            bodies_made: 0,
            ids_made: 0,
            kept_bytes: 0,
            is_draining: false,
            connections: BTreeMap::new(),
            known_connections: 0,
            in_use: BTreeSet::new(),
            recent: VecDeque::new(),
            streams_seen: 0,
            detached: VecDeque::new(),
            unresumable: BTreeSet::new(),
            last_seen: BTreeMap::new(),
            pending: Vec::new(),
            answered: VecDeque::new(),
            cancelled: VecDeque::new(),
            used_tokens: VecDeque::new(),
            server_requests: Vec::new(),
            finished_server_requests: VecDeque::new(),
            refused: VecDeque::new(),
            released: VecDeque::new(),
            recorded: 0,
            committed: 0,
            steps_after_close: 0,
        }
    }

    /// Returns the current time.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Returns the last number that the session has recorded.
    #[must_use]
    pub fn recorded(&self) -> u64 {
        self.recorded
    }

    /// Returns whether the session is closed, and had enough inputs after that.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.steps_after_close > 3
    }

    /// Turns an op into an input.
    #[must_use]
    pub fn next_input(&mut self, op: Op) -> (Instant, Input<u64>) {
        self.chance = op.chance;
        let now = self.next_time(op.wait, op.chance);
        let input = self.priority_input(op.wait).unwrap_or_else(|| self.input(op.kind));
        // A connection id is reused only to be rejected, so its connection must not be cut
        // before.
        let now = if self.reuses_connection(&input) { self.now } else { now };
        (now, input)
    }

    fn reuses_connection(&self, input: &Input<u64>) -> bool {
        match input {
            Input::Post { connection, .. } | Input::Get { connection, .. } => {
                self.connections.contains_key(connection)
            }
            Input::Acknowledged { .. }
            | Input::ConnectionClosed { .. }
            | Input::Abandon { .. }
            | Input::Delete
            | Input::CloseSession { .. }
            | Input::BackendMessage { .. }
            | Input::Disconnect { .. }
            | Input::BackendGone
            | Input::BackendLost
            | Input::Committed { .. }
            | Input::LimitBytes { .. }
            | Input::Drain { .. }
            | Input::Tick => false,
        }
    }

    /// Returns the input that mostly has to come first.
    fn priority_input(&mut self, selector: u8) -> Option<Input<u64>> {
        match &self.phase {
            Phase::New => (self.chance > 19).then(|| self.initialize()),
            Phase::Initializing(id) => {
                let id = id.clone();
                (self.chance > 70).then(|| self.initialize_response(id))
            }
            Phase::Ready => {
                let committed = self.initialize_acknowledgement().or_else(|| self.commit(selector));
                committed.or_else(|| self.released_message())
            }
            Phase::Closed => None,
        }
    }

    fn initialize_acknowledgement(&self) -> Option<Input<u64>> {
        let (connection, it) = self.connections.first_key_value()?;
        let (index, _) = it.buffer.front()?;
        let is_urgent = it.origin == Origin::Initialize && self.chance > 15;
        is_urgent.then_some(Input::Acknowledged { connection: *connection, through: *index })
    }

    /// Returns a message that is sent again, after its sender was released.
    fn released_message(&mut self) -> Option<Input<u64>> {
        if self.chance > 60 { self.released.pop_front() } else { None }
    }

    fn input(&mut self, kind: OpKind) -> Input<u64> {
        match kind {
            OpKind::Tick => Input::Tick,
            OpKind::Acknowledge { which, through_selector } => {
                self.acknowledge(which, through_selector)
            }
            // A session that drains would reject it.
            OpKind::Post { which, size, shape, .. } if self.is_draining && self.chance > 40 => {
                self.response(which, shape, size, 255)
            }
            OpKind::Post { shape, which, size, count, fault } => {
                self.post(shape, which, size, count, fault)
            }
            OpKind::Answer { which, how, size, fault } => self.response(which, how, size, fault),
            OpKind::Notify { what, which, size, related, fault } => {
                self.notify(what, which, size, related, fault)
            }
            OpKind::ReportClosed { which, through_selector } => {
                self.report_closed(which, through_selector)
            }
            OpKind::DropConnection { which, through_selector } => {
                self.drop_connection(which, through_selector)
            }
            OpKind::Get { how, which, index, fault } => self.get(how, which, index, fault),
            OpKind::PostMessages { what, which, size, count, fault } => {
                self.post_messages(what, which, size, count, fault)
            }
            OpKind::ServerRequest { which, size, related, fault } => {
                self.server_request(which, size, related, fault)
            }
            OpKind::CancelServerRequest { which, fault } => {
                self.cancel_server_request(which, fault)
            }
            OpKind::Abandon { which, fault } => self.abandon(which, fault),
            OpKind::Disconnect { which, retry, fault } => self.disconnect(which, retry, fault),
            OpKind::LoseBackend { confirm } => self.lose_backend(confirm),
            OpKind::CloseSession { how, confirm } => self.close_session(how, confirm),
            OpKind::LimitBytes { how, size } => self.limit_bytes(how, size),
            OpKind::Drain { retry, confirm } => self.drain(retry, confirm),
        }
    }

    /// Returns whether the next deadline may close the session.
    pub(super) fn is_near_close(&self) -> bool {
        match self.phase {
            Phase::New | Phase::Initializing(_) => true,
            Phase::Ready => {
                let is_unacknowledged =
                    |it: &Connection| it.origin == Origin::Initialize && it.acknowledged.is_none();
                self.known_connections == 0 && self.pending.is_empty()
                    || self.connections.values().any(is_unacknowledged)
            }
            Phase::Closed => false,
        }
    }

    /// Returns an unused connection id.
    pub(super) fn new_connection(&mut self) -> ConnectionId {
        self.connections_made += 1;
        ConnectionId(self.connections_made)
    }

    /// Returns an unused body.
    pub(super) fn new_body(&mut self) -> u64 {
        self.bodies_made += 1;
        self.bodies_made
    }

    /// Returns an allowed size in bytes.
    pub(super) fn size(&self, selector: u8) -> usize {
        let limits = [
            self.config.stream_bytes_max,
            self.config.session_bytes_max,
            self.config.message_bytes_max,
        ];
        ids::size(selector, self.config.message_bytes_max, limits)
    }

    /// Returns a size in bytes over the limit.
    pub(super) fn excess(&self, selector: u8) -> usize {
        match selector % 2 {
            0 => self.config.message_bytes_max.saturating_add(1),
            _ => usize::MAX,
        }
    }

    /// Returns the selected one of the connections that the session should know.
    pub(super) fn pick_known_connection(&self, selector: u8) -> Option<ConnectionId> {
        self.pick_connection(selector, |it| !it.is_cut)
    }

    /// Returns the selected one of the connections that match.
    pub(super) fn pick_connection(
        &self,
        selector: u8,
        matches: impl Fn(&Connection) -> bool,
    ) -> Option<ConnectionId> {
        let matching = self.connections.iter().filter(|(_, it)| matches(it));
        let matching: Vec<ConnectionId> = matching.map(|(connection, _)| *connection).collect();
        ids::pick(&matching, selector).copied()
    }
}

/// Remembers an item, and forgets the oldest over the limit.
pub(super) fn remember<T: PartialEq>(finished: &mut VecDeque<T>, item: T) {
    finished.retain(|known| *known != item);
    finished.push_back(item);
    if finished.len() > FINISHED_MAX {
        finished.pop_front();
    }
}
