//! All that a session knows, and what can be asked of it.

use std::{ops::Range, time::Duration};

use rejoin_core::{
    Action, CloseReason, Config, ConnectionId, Event, Instant, Priming, Profile, ProgressToken,
    RequestId, StreamId,
};

use super::{
    connection::Connection,
    questions::Question,
    requests::ReservedId,
    retention::Tombstone,
    stream::{Phase, Stream},
    table::Table,
};

/// One session, as the behaviour page has it.
#[derive(Clone, Debug)]
pub struct Model {
    pub(super) config: Config,
    pub(super) now: Instant,
    /// How many things have begun: stamps the order.
    pub(super) begun: u64,
    pub(super) created: Begun,
    pub(super) idle_since: Instant,
    /// Whether the client used the session once it was initialized.
    pub(super) was_used: bool,
    pub(super) stage: Stage,
    pub(super) closed: Option<CloseReason>,
    /// The standalone stream and the request streams, but no tombstones.
    pub(super) streams: Table<Stream>,
    /// How many stream numbers were given out.
    pub(super) numbers: u64,
    /// By burial.
    pub(super) tombstones: Vec<Tombstone>,
    /// The known ones.
    pub(super) connections: Table<Connection>,
    /// The requests of the backend that wait, by arrival.
    pub(super) questions: Vec<Question>,
    /// The progress tokens of tasks, by creation.
    pub(super) tasks: Vec<ProgressToken>,
    /// The ids of cancelled requests, by reservation.
    pub(super) reserved_ids: Vec<ReservedId>,
    /// The streams for which a `Hold` was answered that was not released.
    pub(super) held: Vec<StreamId>,
    /// Whether an event was sent for which there was no room.
    pub(super) is_crowded: bool,
    /// The actions of the input that is being handled.
    pub(super) out: Vec<Action<u64>>,
}

/// How far the session has got with `initialize`.
#[derive(Clone, Debug)]
pub(super) enum Stage {
    /// The client must send it.
    Expected,
    /// The backend must answer it.
    Unanswered { id: RequestId, connection: ConnectionId },
    /// It was answered by a response.
    Initialized(&'static Profile),
}

/// When something began, also among what began at the same time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Begun {
    pub(super) at: Instant,
    pub(super) order: u64,
}

impl Begun {
    /// When it is due; `None` is never.
    pub(super) fn due(self, timeout: Option<Duration>) -> Option<Instant> {
        let due = self.at.saturating_add(timeout?);
        (due < Instant::MAX).then_some(due)
    }
}

impl Model {
    /// Begins a session at `now`. The configuration must be valid.
    #[must_use]
    pub fn new(config: Config, now: Instant) -> Self {
        let mut streams = Table::new();
        streams.push(Stream::new(StreamId::Standalone, Phase::Standing));
        Self {
            config,
            now,
            begun: 0,
            created: Begun { at: now, order: 0 },
            idle_since: now,
            was_used: false,
            stage: Stage::Expected,
            closed: None,
            streams,
            numbers: 0,
            tombstones: Vec::new(),
            connections: Table::new(),
            questions: Vec::new(),
            tasks: Vec::new(),
            reserved_ids: Vec::new(),
            held: Vec::new(),
            is_crowded: false,
            out: Vec::new(),
        }
    }

    /// Returns the events of `stream` in `range`, by index.
    #[must_use]
    pub fn replay(&self, stream: StreamId, range: Range<u64>) -> Vec<(u64, Event<u64>)> {
        let log = self.streams.get(stream).into_iter().flat_map(|it| it.logged_from(range.start));
        log.filter(|it| range.contains(&it.index)).map(|it| (it.index, it.event())).collect()
    }

    /// Returns why the session is closed, if it is.
    #[must_use]
    pub fn closed(&self) -> Option<CloseReason> {
        self.closed
    }

    /// Returns how many requests of the client are pending, while the session is open.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.streams.iter().map(|stream| stream.pending().len()).sum()
    }

    /// Returns what all logs cost together, in bytes, while the session is open.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.streams.iter().map(Stream::bytes).sum()
    }

    /// Returns the known connections, by id.
    #[must_use]
    pub fn connections(&self) -> Vec<ConnectionId> {
        let mut ids: Vec<_> = self.connections.iter().map(|connection| connection.id).collect();
        ids.sort();
        ids
    }

    /// Returns the highest index that was taken on a known connection, if any was.
    #[must_use]
    pub fn taken(&self, connection: ConnectionId) -> Option<u64> {
        self.connections.get(connection)?.taken
    }

    /// Something begins now.
    pub(super) fn begin(&mut self) -> Begun {
        self.begun += 1;
        Begun { at: self.now, order: self.begun }
    }

    /// Something begins once the client of `stream` is to be back.
    pub(super) fn begin_when_expected(&mut self, stream: StreamId) -> Begun {
        let at = self.now.max(self.streams[stream].retry_at);
        Begun { at, ..self.begin() }
    }

    pub(super) fn act(&mut self, action: Action<u64>) {
        self.out.push(action);
    }

    /// Whether priming is on.
    pub(super) fn primes(&self) -> bool {
        match (self.config.priming, &self.stage) {
            (Priming::Always, _) => true,
            (Priming::ByRevision, Stage::Initialized(profile)) => profile.priming,
            (Priming::ByRevision, Stage::Expected | Stage::Unanswered { .. })
            | (Priming::Never, _) => false,
        }
    }
}
