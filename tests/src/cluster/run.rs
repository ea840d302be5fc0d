//! The phases of a simulated cluster: first with disturbances, then without.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use rejoin_core::Instant;

use super::agenda::Event;
use super::faults::{ClusterFault, Disturbance};
use super::parameters::ClusterParameters;
use super::store::STORE_TTL;
use super::{Checked, Cluster};
use crate::kit::{Coverage, failure_class};

/// The maximum duration of the phase with disturbances.
const DISTURBED_MAX: Duration = Duration::from_secs(90);

/// Time within which every request settles once nothing goes wrong: that of a lease, of a look-up, of
/// the resumption of a client, and of the plan of a backend.
const SETTLES: Duration = Duration::from_secs(40);

/// How many more requests a client makes once nothing goes wrong.
const HEALED_REQUESTS: usize = 2;

/// After this many events, a simulation counts as livelocked.
const EVENTS_MAX: u64 = 2_000_000;

/// The counters that many simulations must hit, besides those of the faults.
const EXPECTED: [&str; 28] = [
    "simulations",
    "sessions: opened",
    "sessions: taken over",
    "sessions: taken over in time",
    "sessions: given up",
    "sessions: handed over",
    "sessions: without a backend",
    "requests",
    "requests: answered",
    "requests: failed",
    "requests: given up by the client",
    "requests: refused",
    "requests: unreachable",
    "requests: session closed",
    "requests: forwarded",
    "requests: not here",
    "requests: unavailable",
    "requests: waited in vain",
    "requests: without a status in time",
    "entries: no room",
    "entries: refused or missing",
    "records: dropped for a whole session",
    "resumes",
    "gaps",
    "events received",
    "streams: disconnected",
    "server requests: answered",
    "deleted sessions: asked for",
];

/// Returns the counters that many simulations must hit.
#[must_use]
pub fn expected_counters() -> Vec<&'static str> {
    EXPECTED.into_iter().chain(ClusterFault::names()).collect()
}

/// A failed simulation.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Its parameters.
    pub parameters: ClusterParameters,
    /// What failed.
    pub message: String,
    /// The last steps.
    pub trace: Vec<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { parameters, message, trace } = self;
        writeln!(f, "{parameters:?}")?;
        for line in trace {
            writeln!(f, "    {line}")?;
        }
        write!(f, "seed {}: {message}", parameters.seed)
    }
}

/// Runs a simulation, and checks the laws throughout.
///
/// # Errors
///
/// The first law that is broken.
pub fn run(parameters: &ClusterParameters) -> Result<Coverage, Box<Failure>> {
    let fail = |message, trace| {
        let parameters = parameters.clone();
        Err(Box::new(Failure { parameters, message, trace }))
    };
    let config = match parameters.config.clone().validate() {
        Ok(config) => config,
        Err(error) => return fail(error.to_string(), Vec::new()),
    };
    let mut cluster = Cluster::new(parameters.clone(), config);
    let result = catch_unwind(AssertUnwindSafe(|| cluster.run_phases())).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
        Err(format!("panicked: {}", text.unwrap_or_default()))
    });
    match result {
        Ok(()) => {
            cluster.coverage.hit("simulations");
            Ok(cluster.coverage)
        }
        Err(message) => fail(message, cluster.trace.into()),
    }
}

impl Cluster {
    fn run_phases(&mut self) -> Checked {
        self.after(4_000, Event::Disturbance(Disturbance::Next));
        let end = Instant::EPOCH.saturating_add(DISTURBED_MAX);
        self.run_while(end, |cluster| {
            cluster.clients.values().any(|client| client.requests_left > 0)
        })?;
        self.heal()?;
        for client in self.clients.values_mut() {
            client.requests_left = client.requests_left.min(HEALED_REQUESTS);
        }
        self.run_while(self.now.saturating_add(SETTLES), |cluster| !cluster.is_settled())?;
        self.check_settled()?;
        for no in self.parameters.clients.clone() {
            let Some(client) = self.clients.get_mut(&no) else { continue };
            client.is_done = true;
            if let Some(session) = client.session {
                self.leave(no, session);
            }
        }
        let idle = self.config.idle_timeout.unwrap_or_default();
        let lapses = idle + self.config.retention.unwrap_or_default() + 2 * STORE_TTL;
        self.run_while(self.now.saturating_add(lapses), |_| true)?;
        self.check_nothing_left()
    }

    fn is_settled(&self) -> bool {
        let mut clients = self.clients.values();
        clients.all(|client| client.requests_left == 0 && client.pending.is_empty())
    }

    /// Dispatches events up to a time, while a condition holds.
    fn run_while(&mut self, end: Instant, should: impl Fn(&Self) -> bool) -> Checked {
        for _ in 0..EVENTS_MAX {
            if !should(self) {
                return Ok(());
            }
            let Some((at, event)) = self.agenda.pop_until(end) else {
                self.now = self.now.max(end);
                return Ok(());
            };
            self.now = self.now.max(at);
            self.dispatch(event)?;
        }
        Err("the simulation is livelocked".to_owned())
    }

    fn dispatch(&mut self, event: Event) -> Checked {
        match event {
            Event::Node(no, event) => self.dispatch_to_node(no, event),
            Event::Store { node, call, starts, operation } => {
                self.on_operation(node, call, starts, &operation)
            }
            Event::Turn(client) => {
                self.client_turn(client);
                Ok(())
            }
            Event::Status(exchange, status) => self.on_status(exchange, status),
            Event::Item(exchange, item) => self.on_item(exchange, item),
            Event::End(exchange, end) => self.on_end(exchange, end),
            Event::Impatient(exchange) => {
                self.on_impatient(exchange);
                Ok(())
            }
            Event::Resume(reader) => {
                self.resume(reader);
                Ok(())
            }
            Event::Cancel(serial) => {
                self.cancel(serial);
                Ok(())
            }
            Event::Cut(exchange) => {
                let is_open = self.exchanges.get(&exchange).is_some_and(|it| it.is_open_at_client);
                if is_open && !self.is_healed {
                    self.hit_fault(ClusterFault::CutClient);
                    self.break_exchange(exchange, false);
                }
                Ok(())
            }
            Event::Probe(client, session) => {
                self.probe(client, session);
                Ok(())
            }
            Event::Disturbance(disturbance) => self.disturb(disturbance),
        }
    }
}

/// Minimizes a failing simulation by removing clients, nodes, requests and faults.
#[must_use]
pub fn shrink(failure: Box<Failure>) -> Box<Failure> {
    let class = failure_class(&failure.message);
    let mut found = failure;
    let fails = |parameters: &ClusterParameters| {
        run(parameters).err().filter(|failure| failure_class(&failure.message) == class)
    };
    let try_with = |found: &mut Box<Failure>, change: &dyn Fn(&mut ClusterParameters)| {
        let mut parameters = found.parameters.clone();
        change(&mut parameters);
        if parameters == found.parameters || parameters.clients.is_empty() {
            return;
        }
        if let Some(failure) = fails(&parameters) {
            *found = failure;
        }
    };
    for fault in found.parameters.faults.present() {
        try_with(&mut found, &|parameters| parameters.faults.remove(fault));
    }
    for client in found.parameters.clients.clone() {
        try_with(&mut found, &|parameters| parameters.clients.retain(|other| *other != client));
    }
    for nodes in 2..found.parameters.nodes {
        try_with(&mut found, &|parameters| parameters.nodes = parameters.nodes.min(nodes));
    }
    for requests in [1, 2, 4, 8] {
        try_with(&mut found, &|parameters| parameters.requests = parameters.requests.min(requests));
    }
    try_with(&mut found, &|parameters| parameters.pending_max = 1);
    try_with(&mut found, &|parameters| parameters.drift = 0);
    found
}
