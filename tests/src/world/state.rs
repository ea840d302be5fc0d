//! The state of a world.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rejoin_core::{EventId, Instant, ProgressToken, RequestId, ValidConfig};

use super::agenda::{Agenda, ClientNo, Happening, LineNo, ReadingNo, Serial, ServerNo};
use super::chance::Chance;
use super::client::Client;
use super::faults::{Fault, Faults};
use super::knobs::Knobs;
use super::line::Line;
use super::messages::Messages;
use super::server::Server;
use super::tally::Tally;
use super::witness::{Chain, Outcome};

/// Everything there is.
#[derive(Debug)]
pub(super) struct World {
    pub(super) knobs: Knobs,
    pub(super) config: ValidConfig,
    /// What goes wrong now.
    pub(super) faults: Faults,
    pub(super) now: Instant,
    pub(super) agenda: Agenda,
    pub(super) clients: BTreeMap<ClientNo, Client>,
    pub(super) servers: Vec<Server>,
    pub(super) lines: BTreeMap<LineNo, Line>,
    pub(super) readings: BTreeMap<ReadingNo, Reading>,
    pub(super) requests: BTreeMap<Serial, Request>,
    pub(super) messages: Messages,
    pub(super) tally: Tally,
    /// Whether nothing goes wrong any more.
    pub(super) is_healed: bool,
    /// An event that some client saw in its session, for others to misuse.
    pub(super) seen: Option<(ServerNo, EventId)>,
    /// The session in which something was wrong.
    pub(super) suspect: Option<ServerNo>,
    /// How many events were sent, for sabotage.
    pub(super) sends: u64,
    /// The order of what happens at one instant.
    order: Chance,
    next_line: LineNo,
    next_reading: ReadingNo,
}

/// A request of a client.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each says one thing of its own")]
pub(super) struct Request {
    pub(super) client: ClientNo,
    pub(super) server: ServerNo,
    pub(super) id: RequestId,
    pub(super) token: Option<ProgressToken>,
    pub(super) reading: ReadingNo,
    pub(super) sent_at: Instant,
    /// Whether nothing went wrong any more when it was made, so that it must be answered.
    pub(super) is_due: bool,
    /// Whether the client, or the driver, has given it up.
    pub(super) is_given_up: bool,
    /// Whether the session has it.
    pub(super) is_accepted: bool,
    /// Whether it was sent a second time.
    pub(super) is_doubled: bool,
    pub(super) outcome: Option<Outcome>,
}

/// What a client reads, over all the lines on which it comes back to it.
#[derive(Clone, Debug)]
pub(super) struct Reading {
    pub(super) client: ClientNo,
    pub(super) server: ServerNo,
    pub(super) kind: Kind,
    pub(super) chain: Chain,
    pub(super) line: Option<LineNo>,
    /// When the server wants it to come back.
    pub(super) retry: Option<Duration>,
    /// Whether it ever saw an event id.
    pub(super) saw_id: bool,
}

/// What a client reads for.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// The answer to `initialize`.
    Enter,
    /// Answers to requests; those that are still to come.
    Requests { ids: BTreeSet<RequestId>, open: BTreeSet<Serial> },
    /// The standalone stream.
    Standalone,
    /// Nothing that it needs.
    Stray,
}

impl World {
    pub(super) fn new(knobs: Knobs, config: ValidConfig) -> Self {
        let clients = knobs.clients.iter().map(|no| (*no, Client::new(&knobs, *no))).collect();
        let mut world = Self {
            config,
            faults: knobs.faults.clone(),
            now: Instant::EPOCH,
            agenda: Agenda::default(),
            clients,
            servers: Vec::new(),
            lines: BTreeMap::new(),
            readings: BTreeMap::new(),
            requests: BTreeMap::new(),
            messages: Messages::default(),
            tally: Tally::default(),
            is_healed: false,
            seen: None,
            suspect: None,
            sends: 0,
            order: Chance::new(knobs.seed, 4, 0),
            next_line: 0,
            next_reading: 0,
            knobs,
        };
        for no in world.knobs.clients.clone() {
            world.later(Duration::ZERO, Happening::Act(no));
        }
        world
    }

    /// Has something happen after a while.
    pub(super) fn later(&mut self, delay: Duration, happening: Happening) {
        self.at(self.now.saturating_add(delay), happening);
    }

    /// Has something happen at a time.
    pub(super) fn at(&mut self, at: Instant, happening: Happening) {
        let turn = if self.order.strikes(self.faults.rate(Fault::Reorder)) {
            self.order.below(8)
        } else {
            0
        };
        self.agenda.enter(at, turn, happening);
    }

    /// Returns the time as a clock that may go back shows it.
    pub(super) fn shown_time(&mut self) -> Instant {
        if !self.order.strikes(self.faults.rate(Fault::Skew)) {
            return self.now;
        }
        let back = self.order.millis(1, 5);
        Instant::new(self.now.since_epoch().saturating_sub(back))
    }

    /// Notes what a client reads, and returns its number.
    pub(super) fn begin_reading(
        &mut self,
        (client, server): (ClientNo, ServerNo),
        kind: Kind,
        chain: Chain,
    ) -> ReadingNo {
        let no = self.next_reading;
        self.next_reading += 1;
        let line = None;
        let reading = Reading { client, server, kind, chain, line, retry: None, saw_id: false };
        self.readings.insert(no, reading);
        no
    }

    /// Adds a line, and returns its number.
    pub(super) fn add_line(&mut self, line: Line) -> LineNo {
        let no = self.next_line;
        self.next_line += 1;
        if let Some(reading) = self.readings.get_mut(&line.reading) {
            reading.line = Some(no);
        }
        self.lines.insert(no, line);
        no
    }
}
