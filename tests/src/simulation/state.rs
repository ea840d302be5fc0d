//! The state of a simulation.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rejoin_core::{EventId, Instant, ProgressToken, RequestId, ValidConfig};

use super::client::Client;
use super::event_queue::{ClientNo, EventQueue, LinkNo, ReaderNo, Serial, ServerNo, SimEvent};
use super::link::Link;
use super::message_log::MessageLog;
use super::server::Server;
use crate::kit::checker::{Outcome, StreamChecker};
use crate::kit::{Coverage, Fault, Faults, Parameters, Rng};

/// All state of a simulation.
#[derive(Debug)]
pub(super) struct Simulation {
    pub(super) parameters: Parameters,
    pub(super) config: ValidConfig,
    /// The current fault rates.
    pub(super) faults: Faults,
    pub(super) now: Instant,
    pub(super) event_queue: EventQueue,
    pub(super) clients: BTreeMap<ClientNo, Client>,
    pub(super) servers: Vec<Server>,
    pub(super) links: BTreeMap<LinkNo, Link>,
    pub(super) readers: BTreeMap<ReaderNo, StreamReader>,
    pub(super) requests: BTreeMap<Serial, ClientRequest>,
    pub(super) messages: MessageLog,
    pub(super) coverage: Coverage,
    /// Whether the fault-free phase has begun.
    pub(super) is_fault_free: bool,
    /// An event id that some client received, for others to misuse.
    pub(super) foreign_event_id: Option<(ServerNo, EventId)>,
    /// The session in which something failed.
    pub(super) failed_session: Option<ServerNo>,
    /// Number of events sent, for deliberate bugs.
    pub(super) events_sent: u64,
    /// Draws the order of simultaneous events, and when clocks are set back.
    order_rng: Rng,
    pub(super) store_rng: Rng,
    next_link: LinkNo,
    next_reader: ReaderNo,
}

/// A request of a client.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each says one thing of its own")]
pub(super) struct ClientRequest {
    pub(super) client: ClientNo,
    pub(super) server: ServerNo,
    pub(super) id: RequestId,
    pub(super) token: Option<ProgressToken>,
    pub(super) reader: ReaderNo,
    pub(super) sent_at: Instant,
    /// Whether it was made in the fault-free phase, so that it must be answered.
    pub(super) must_be_answered: bool,
    /// Whether the client cancelled it, or the driver abandoned it.
    pub(super) is_cancelled: bool,
    /// Whether the session accepted it.
    pub(super) is_accepted: bool,
    /// Whether it was sent a second time.
    pub(super) is_duplicated: bool,
    pub(super) outcome: Option<Outcome>,
}

/// A client's reader of one stream, over all links on which it resumes it.
#[derive(Clone, Debug)]
pub(super) struct StreamReader {
    pub(super) client: ClientNo,
    pub(super) server: ServerNo,
    pub(super) kind: ReaderKind,
    pub(super) checker: StreamChecker,
    pub(super) link: Option<LinkNo>,
    /// The reconnect delay that the server requested.
    pub(super) retry: Option<Duration>,
    /// Whether it received an event id.
    pub(super) saw_id: bool,
}

/// What a client reads a stream for.
#[derive(Clone, Debug)]
pub(super) enum ReaderKind {
    /// The response to `initialize`.
    Initialize,
    /// Responses to requests; `open` are those that have not settled.
    Requests { ids: BTreeSet<RequestId>, open: BTreeSet<Serial> },
    /// The standalone stream.
    Standalone,
    /// Nothing: a spurious GET or a duplicate request.
    Spurious,
}

impl Simulation {
    pub(super) fn new(parameters: Parameters, config: ValidConfig) -> Self {
        let clients =
            parameters.clients.iter().map(|no| (*no, Client::new(&parameters, *no))).collect();
        let mut simulation = Self {
            config,
            faults: parameters.faults.clone(),
            now: Instant::EPOCH,
            event_queue: EventQueue::default(),
            clients,
            servers: Vec::new(),
            links: BTreeMap::new(),
            readers: BTreeMap::new(),
            requests: BTreeMap::new(),
            messages: MessageLog::default(),
            coverage: Coverage::default(),
            is_fault_free: false,
            foreign_event_id: None,
            failed_session: None,
            events_sent: 0,
            order_rng: Rng::new(parameters.seed, 4, 0),
            store_rng: Rng::new(parameters.seed, 12, 0),
            next_link: 0,
            next_reader: 0,
            parameters,
        };
        for no in simulation.parameters.clients.clone() {
            simulation.schedule_after(Duration::ZERO, SimEvent::ClientTurn(no));
        }
        simulation
    }

    /// Schedules an event after a delay.
    pub(super) fn schedule_after(&mut self, delay: Duration, event: SimEvent) {
        self.schedule_at(self.now.saturating_add(delay), event);
    }

    /// Schedules an event at a time.
    pub(super) fn schedule_at(&mut self, at: Instant, event: SimEvent) {
        let turn = if self.order_rng.chance(self.faults.rate(Fault::Reorder)) {
            self.order_rng.below(8)
        } else {
            0
        };
        self.event_queue.push(at, turn, event);
    }

    /// Returns the time on the driver's clock, which may be set back.
    pub(super) fn clock(&mut self) -> Instant {
        if !self.order_rng.chance(self.faults.rate(Fault::ClockBack)) {
            return self.now;
        }
        let back = self.order_rng.millis(1, 5);
        Instant::new(self.now.since_epoch().saturating_sub(back))
    }

    /// Adds a reader, and returns its number.
    pub(super) fn add_reader(
        &mut self,
        (client, server): (ClientNo, ServerNo),
        kind: ReaderKind,
        checker: StreamChecker,
    ) -> ReaderNo {
        let no = self.next_reader;
        self.next_reader += 1;
        let link = None;
        let reader =
            StreamReader { client, server, kind, checker, link, retry: None, saw_id: false };
        self.readers.insert(no, reader);
        no
    }

    /// Adds a link, and returns its number.
    pub(super) fn add_link(&mut self, link: Link) -> LinkNo {
        let no = self.next_link;
        self.next_link += 1;
        if let Some(reader) = self.readers.get_mut(&link.reader) {
            reader.link = Some(no);
        }
        self.links.insert(no, link);
        no
    }
}
