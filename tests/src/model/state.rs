//! The state of the model, and its getters.

use std::{ops::Range, time::Duration};

use rejoin_core::{
    Action, Config, ConnectionId, Event, Initialized, Instant, Priming, Profile, ProgressToken,
    RequestId, SessionCloseReason, StreamId,
};

use super::{
    backpressure::Held,
    case::Case,
    connection::Connection,
    requests::ReservedId,
    retention::Tombstone,
    server_requests::ServerRequest,
    stream::{Phase, Stream},
    table::Table,
};

/// One session, as the behaviour page describes it.
#[derive(Clone, Debug)]
pub struct Model {
    pub(super) config: Config,
    pub(super) now: Instant,
    /// How many stamps were issued.
    pub(super) stamps: u64,
    pub(super) created: Stamp,
    pub(super) idle_since: Instant,
    /// Whether the client used the session once it was initialized.
    pub(super) was_used: bool,
    pub(super) stage: Stage,
    /// What the backend's response has said.
    pub(super) initialized: Option<Initialized>,
    pub(super) closed: Option<SessionCloseReason>,
    /// The limit of the kept bytes.
    pub(super) limit: usize,
    /// Whether the session shrinks to it.
    pub(super) is_shrinking: bool,
    /// While the session drains: the retry of the last `Drain`.
    pub(super) draining: Option<Duration>,
    /// The standalone stream and the request streams, but no tombstones.
    pub(super) streams: Table<Stream>,
    /// The next stream number.
    pub(super) next_number: u64,
    /// The oldest first.
    pub(super) tombstones: Vec<Tombstone>,
    /// The known connections.
    pub(super) connections: Table<Connection>,
    /// The unanswered server requests, by arrival.
    pub(super) server_requests: Vec<ServerRequest>,
    /// The progress tokens of tasks, by creation.
    pub(super) tasks: Vec<ProgressToken>,
    /// The ids of cancelled requests, by reservation.
    pub(super) reserved_ids: Vec<ReservedId>,
    /// The last number of the sequence, and the highest one that was committed.
    pub(super) last_number: u64,
    pub(super) committed: u64,
    /// The streams that hold their senders.
    pub(super) held: Vec<Held>,
    /// When connections were last cut, and senders released, as far as necessary.
    pub(super) settled_at: Instant,
    /// Whether a stream still waited for room then.
    pub(super) lacked_room: bool,
    /// The actions of the input that is being handled.
    pub(super) actions: Vec<Action<u64>>,
    /// The cases that were reached.
    pub(super) cases: Vec<Case>,
}

/// The stage of `initialize`.
#[derive(Clone, Debug)]
pub(super) enum Stage {
    /// The client must send `initialize`.
    Expected,
    /// The backend must answer `initialize`.
    Unanswered { id: RequestId, connection: ConnectionId },
    /// The backend answered by a response.
    Initialized(&'static Profile),
}

/// When something began, and its place among what began at the same time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stamp {
    pub(super) at: Instant,
    pub(super) order: u64,
}

impl Stamp {
    /// Returns when `timeout` ends; `None` is never.
    pub(super) fn deadline(self, timeout: Option<Duration>) -> Option<Instant> {
        let due = self.at.saturating_add(timeout?);
        (due < Instant::MAX).then_some(due)
    }
}

impl Model {
    /// Creates a session at `now`. The configuration must be valid.
    #[must_use]
    pub fn new(config: Config, now: Instant) -> Self {
        let mut streams = Table::new();
        streams.push(Stream::new(StreamId::Standalone, Phase::Standalone));
        Self {
            limit: config.session_bytes_max,
            is_shrinking: false,
            draining: None,
            config,
            now,
            stamps: 0,
            created: Stamp { at: now, order: 0 },
            idle_since: now,
            was_used: false,
            stage: Stage::Expected,
            initialized: None,
            closed: None,
            streams,
            next_number: 0,
            tombstones: Vec::new(),
            connections: Table::new(),
            server_requests: Vec::new(),
            tasks: Vec::new(),
            reserved_ids: Vec::new(),
            last_number: 0,
            committed: 0,
            held: Vec::new(),
            settled_at: now,
            lacked_room: false,
            actions: Vec::new(),
            cases: Vec::new(),
        }
    }

    /// Creates a session at `now` that replaces an earlier one.
    #[must_use]
    pub fn replacing(config: Config, now: Instant, origin: u64) -> Self {
        let mut model = Self::new(config, now);
        let standalone = &mut model.streams[StreamId::Standalone];
        standalone.last = origin;
        standalone.acknowledged = origin;
        standalone.missed = origin;
        standalone.skipped_below = origin;
        model.next_number = origin;
        model
    }

    /// Returns the events of `stream` in `range`, by index.
    #[must_use]
    pub fn logged_events(&self, stream: StreamId, range: Range<u64>) -> Vec<(u64, Event<u64>)> {
        let log = self.streams.get(stream).into_iter().flat_map(|it| it.logged_from(range.start));
        log.filter(|it| range.contains(&it.index)).map(|it| (it.index, it.to_event())).collect()
    }

    /// Returns why the session is closed, or `None` if it is open.
    #[must_use]
    pub fn close_reason(&self) -> Option<SessionCloseReason> {
        self.closed
    }

    /// Returns how many requests of the client are pending, while the session is open.
    #[must_use]
    pub fn pending_requests(&self) -> usize {
        self.streams.iter().map(|stream| stream.pending().len()).sum()
    }

    /// Returns the known connections, by id.
    #[must_use]
    pub fn connections(&self) -> Vec<ConnectionId> {
        let mut ids: Vec<_> = self.connections.iter().map(|connection| connection.id).collect();
        ids.sort();
        ids
    }

    /// Returns the highest acknowledged index of a known connection, if there is one.
    #[must_use]
    pub fn acknowledged(&self, connection: ConnectionId) -> Option<u64> {
        self.connections.get(connection)?.acknowledged
    }

    /// Issues a stamp for something that begins now.
    pub(super) fn stamp(&mut self) -> Stamp {
        self.stamps += 1;
        Stamp { at: self.now, order: self.stamps }
    }

    /// Issues a stamp for something that begins when the client of `stream` is expected.
    pub(super) fn stamp_when_expected(&mut self, stream: StreamId) -> Stamp {
        let at = self.now.max(self.streams[stream].retry_at);
        Stamp { at, ..self.stamp() }
    }

    pub(super) fn emit(&mut self, action: Action<u64>) {
        self.actions.push(action);
    }

    /// Returns whether priming is on.
    pub(super) fn is_priming_on(&self) -> bool {
        match (self.config.priming, &self.stage) {
            (Priming::Always, _) => true,
            (Priming::ByRevision, Stage::Initialized(profile)) => profile.priming,
            (Priming::ByRevision, Stage::Expected | Stage::Unanswered { .. })
            | (Priming::Never, _) => false,
        }
    }
}
