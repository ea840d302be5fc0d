//! The state of a simulation, and its virtual time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::time::Duration;

use rejoin_core::client::{Client, ExchangeId, Input, ValidClientConfig};
use rejoin_core::{Instant, Message, RequestId, StreamId};

use super::behavior::Request;
use super::delivery::Unnumbered;
use super::faults::{Credentials, client_config};
use super::link::Link;
use super::posts::OwnMessages;
use super::server::AppServer;
use super::sessions::Sessions;
use super::unsent::Unsent;
use crate::kit::checker::StreamChecker;
use crate::kit::{Coverage, Parameters, Rng};
use crate::simulation::message_log::MessageLog;

/// How many of the last events a failure shows.
const TRACE_MAX: usize = 60;
/// After this many events, a simulation counts as livelocked.
const EVENTS_MAX: u64 = 300_000;

/// The phase of a simulation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Faults,
    Quiet,
    Closing,
}

/// An event of the simulation.
#[derive(Clone, Debug)]
pub(super) enum Event {
    /// The application does its next step.
    Turn,
    /// The application sends a message.
    Send(Message<u64>),
    /// The HTTP request of an exchange arrives.
    Arrive(ExchangeId),
    /// The client reads the next item of a link.
    Read(ExchangeId),
    /// The client notices that a link has broken.
    Broken(ExchangeId),
    /// The server notices that a link has broken.
    Noticed(ExchangeId),
    /// A backend sends a message, for a request of the client.
    Backend(usize, Message<u64>, Option<RequestId>),
    /// The deadline of a session.
    SessionTick(usize),
    /// The deadline of the machine.
    MachineTick,
    /// A backend lets the client of a request poll.
    Disconnect(usize, RequestId, Option<Duration>),
    /// The server restarts, and loses its session.
    Crash,
    /// The operator drains the session.
    Drain,
    /// A session has drained for long enough.
    DrainTimeout(usize),
    /// The server cannot be reached for a while.
    Outage,
    /// The server wants other credentials.
    Expire,
    /// The application has other credentials.
    Renew,
}

pub(super) struct World {
    pub(super) parameters: Parameters,
    pub(super) phase: Phase,
    pub(super) now: Instant,
    pub(super) rng: Rng,
    events: BTreeMap<(Instant, u64), Event>,
    count: u64,
    trace: VecDeque<String>,
    pub(super) machine: Client<u64>,
    pub(super) config: ValidClientConfig,
    /// The session that the machine has, or is opening.
    pub(super) session: Option<usize>,
    pub(super) sessions: Sessions,
    pub(super) unsent: Unsent,
    /// The requests of that session that the application got, and has not answered.
    pub(super) server_requests: BTreeSet<RequestId>,
    /// Responses of the application, with the sessions whose requests they answer.
    pub(super) answers: BTreeMap<u64, (usize, RequestId)>,
    /// Cancellations of the application, with the bodies of their requests.
    pub(super) cancellations: BTreeMap<u64, u64>,
    pub(super) own: OwnMessages,
    /// The session that each message was last posted in.
    pub(super) posted: BTreeMap<u64, Option<usize>>,
    /// The rates of faults of this simulation, per thousand.
    pub(super) fault_rate: u32,
    /// Whether the servers have standalone streams.
    pub(super) has_standalone: bool,
    /// Until when the server cannot be reached.
    pub(super) down_until: Instant,
    /// From when on no fault is left.
    pub(super) calm_from: Instant,
    pub(super) credentials: Credentials,
    pub(super) machine_timer: Option<Instant>,
    pub(super) links: BTreeMap<ExchangeId, Link>,
    /// The number of links that the client has not ended.
    pub(super) open_links: usize,
    pub(super) servers: Vec<AppServer>,
    /// What the application got of each stream.
    pub(super) streams: BTreeMap<(usize, StreamId), StreamChecker>,
    pub(super) checkers: BTreeMap<ExchangeId, Unnumbered>,
    pub(super) messages: MessageLog,
    pub(super) requests: BTreeMap<RequestId, Request>,
    pub(super) requests_left: usize,
    pub(super) next_id: i64,
    pub(super) is_initialized: bool,
    /// How often each message reached a backend.
    pub(super) executed: BTreeMap<u64, u32>,
    /// Failures of sessions, as the messages that stand for them.
    pub(super) failures: BTreeMap<u64, RequestId>,
    pub(super) is_finished: bool,
    pub(super) coverage: Coverage,
}

impl World {
    pub(super) fn new(seed: u64) -> Result<Self, String> {
        let mut parameters = Parameters::draw(seed);
        let default = rejoin_core::Config::default();
        let config = &mut parameters.config;
        config.message_bytes_max = default.message_bytes_max;
        config.session_bytes_max = default.session_bytes_max;
        config.server_requests_max = default.server_requests_max;
        config.connections_max = default.connections_max;
        config.streams_max = default.streams_max;
        config.commits = false;
        config.clone().validate().map_err(|error| error.to_string())?;
        let mut rng = Rng::new(seed, 7, 0);
        let fault_rate = [0, 20, 100, 300];
        let fault_rate = rng.choose(&fault_rate).unwrap_or(0);
        let mut client_rng = Rng::new(seed, 7, 1);
        let client_config = client_config(&mut client_rng);
        let client_config = client_config.validate().map_err(|error| error.to_string())?;
        Ok(Self {
            parameters,
            phase: Phase::Faults,
            now: Instant::EPOCH,
            rng,
            events: BTreeMap::new(),
            count: 0,
            trace: VecDeque::new(),
            machine: Client::new(client_config.clone(), seed, Instant::EPOCH),
            config: client_config,
            session: None,
            sessions: Sessions::default(),
            unsent: Unsent::default(),
            server_requests: BTreeSet::new(),
            answers: BTreeMap::new(),
            cancellations: BTreeMap::new(),
            own: OwnMessages::default(),
            posted: BTreeMap::new(),
            fault_rate,
            has_standalone: client_rng.chance(850),
            down_until: Instant::EPOCH,
            calm_from: Instant::EPOCH,
            credentials: Credentials::default(),
            machine_timer: None,
            links: BTreeMap::new(),
            open_links: 0,
            servers: Vec::new(),
            streams: BTreeMap::new(),
            checkers: BTreeMap::new(),
            messages: MessageLog::default(),
            requests: BTreeMap::new(),
            requests_left: 20,
            next_id: 1,
            is_initialized: false,
            executed: BTreeMap::new(),
            failures: BTreeMap::new(),
            is_finished: false,
            coverage: Coverage::default(),
        })
    }

    pub(super) fn start(&mut self) {
        self.schedule(Duration::ZERO, Event::Turn);
        for event in [Event::Crash, Event::Drain, Event::Outage, Event::Expire] {
            let delay = self.rng.millis(1_000, 200_000);
            self.schedule(delay, event);
        }
    }

    /// Draws whether a fault happens.
    pub(super) fn is_fault(&mut self, share: u32) -> bool {
        let rate = self.fault_rate * share / 10;
        self.phase == Phase::Faults && self.rng.chance(rate)
    }

    pub(super) fn latency(&mut self) -> Duration {
        self.rng.millis(0, 20)
    }

    pub(super) fn schedule(&mut self, delay: Duration, event: Event) {
        self.schedule_at(self.now.saturating_add(delay), event);
    }

    pub(super) fn schedule_at(&mut self, at: Instant, event: Event) {
        self.count += 1;
        self.events.insert((at.max(self.now), self.count), event);
    }

    pub(super) fn note(&mut self, text: &dyn fmt::Display) {
        if self.trace.len() == TRACE_MAX {
            self.trace.pop_front();
        }
        self.trace.push_back(format!("{:?} {text}", self.now));
    }

    pub(super) fn trace(&self) -> String {
        self.trace.iter().flat_map(|line| [line, "\n"]).collect()
    }

    /// Runs up to a time, or until a condition holds.
    pub(super) fn run_until(
        &mut self,
        end: Instant,
        is_enough: impl Fn(&Self) -> bool,
    ) -> Result<(), String> {
        let mut dispatched = 0;
        while !is_enough(self) {
            let Some(entry) = self.events.first_entry().filter(|it| it.key().0 <= end) else {
                self.now = self.now.max(end);
                return Ok(());
            };
            self.now = self.now.max(entry.key().0);
            let event = entry.remove();
            self.dispatch(event)?;
            let exchanges = self.machine.exchanges();
            if self.phase != Phase::Closing && exchanges != self.open_links {
                let open = self.open_links;
                return Err(format!("{exchanges} exchanges have not ended, but {open} are open"));
            }
            dispatched += 1;
            if dispatched > EVENTS_MAX {
                return Err("the simulation is livelocked".to_owned());
            }
        }
        Ok(())
    }

    fn dispatch(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::Turn => self.turn(),
            Event::Send(message) => self.send_response(message),
            Event::Arrive(exchange) => self.arrive(exchange),
            Event::Read(exchange) => self.read(exchange),
            Event::Broken(exchange) => self.broken(exchange),
            Event::Noticed(exchange) => self.noticed(exchange),
            Event::Backend(server, message, related) => {
                self.backend_sends(server, message, related)
            }
            Event::SessionTick(server) => {
                self.session_input(server, rejoin_core::Input::Tick).map(drop)
            }
            Event::MachineTick => {
                self.machine_timer = None;
                self.feed(Input::Tick)
            }
            Event::Disconnect(server, request, retry) => self.disconnect(server, &request, retry),
            Event::Crash => {
                self.crash();
                Ok(())
            }
            Event::Drain => self.drain(),
            Event::DrainTimeout(server) => self.end_drain(server),
            Event::Outage => {
                self.outage();
                Ok(())
            }
            Event::Expire => {
                self.expire_credentials();
                Ok(())
            }
            Event::Renew => {
                self.credentials.renew();
                Ok(())
            }
        }
    }
}
