//! The state of a simulated cluster.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use rejoin_core::{Head, Instant, Message, RequestId, ValidConfig};

use super::agenda::{Agenda, Event};
use super::backend::Backend;
use super::client::{Client, Request};
use super::exchange::Exchange;
use super::faults::{Bug, ClusterFault};
use super::laws::Laws;
use super::names::{BackendNo, ClientNo, ExchangeNo, NodeNo, ReaderNo, Serial, SessionNo};
use super::node::Node;
use super::owned::Owned;
use super::parameters::ClusterParameters;
use super::reader::Reader;
use super::store::Store;
use crate::kit::{Coverage, Rng};

/// How many of the last steps a failure shows.
const TRACE_MAX: usize = 120;

/// All state of a simulated cluster.
#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) parameters: ClusterParameters,
    pub(super) config: ValidConfig,
    pub(super) now: Instant,
    pub(super) agenda: Agenda,
    pub(super) store: Store,
    /// All nodes that ever were.
    pub(super) nodes: Vec<Node>,
    /// The node that has each address.
    pub(super) slots: Vec<NodeNo>,
    /// Pairs of nodes that cannot reach each other.
    pub(super) cut_nodes: BTreeSet<(NodeNo, NodeNo)>,
    pub(super) clients: BTreeMap<ClientNo, Client>,
    pub(super) exchanges: BTreeMap<ExchangeNo, Exchange>,
    pub(super) readers: BTreeMap<ReaderNo, Reader>,
    pub(super) requests: BTreeMap<Serial, Request>,
    pub(super) backends: BTreeMap<BackendNo, Backend>,
    messages: Vec<(SessionNo, Head)>,
    pub(super) laws: Laws,
    pub(super) coverage: Coverage,
    pub(super) trace: VecDeque<String>,
    /// Whether nothing goes wrong any more.
    pub(super) is_healed: bool,
    pub(super) is_store_slow: bool,
    pub(super) rng: Rng,
    pub(super) fault_rng: Rng,
    pub(super) store_rng: Rng,
    pub(super) balanced: usize,
    last_number: u64,
}

impl Cluster {
    pub(super) fn new(parameters: ClusterParameters, config: ValidConfig) -> Self {
        let seed = parameters.seed;
        let clients = parameters.clients.iter();
        let mut cluster = Self {
            config,
            now: Instant::EPOCH,
            agenda: Agenda::default(),
            store: Store::new(),
            nodes: Vec::new(),
            slots: Vec::new(),
            cut_nodes: BTreeSet::new(),
            clients: clients.map(|no| (*no, Client::new(&parameters, *no))).collect(),
            exchanges: BTreeMap::new(),
            readers: BTreeMap::new(),
            requests: BTreeMap::new(),
            backends: BTreeMap::new(),
            messages: Vec::new(),
            laws: Laws::default(),
            coverage: Coverage::default(),
            trace: VecDeque::new(),
            is_healed: false,
            is_store_slow: false,
            rng: Rng::new(seed, 41, 0),
            fault_rng: Rng::new(seed, 42, 0),
            store_rng: Rng::new(seed, 43, 0),
            balanced: 0,
            last_number: 0,
            parameters,
        };
        for slot in 0..cluster.parameters.nodes {
            cluster.slots.push(slot);
            cluster.start_node(slot);
        }
        for no in cluster.parameters.clients.clone() {
            cluster.after(500, Event::Turn(no));
        }
        cluster
    }

    /// Schedules an event after some milliseconds.
    pub(super) fn after(&mut self, millis: u64, event: Event) {
        self.agenda.push(self.now.saturating_add(Duration::from_millis(millis)), event);
    }

    /// Returns a number that was not used before.
    pub(super) fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    /// Creates a message; its body tells it from all others.
    pub(super) fn message(&mut self, session: SessionNo, head: Head, bytes: usize) -> Message<u64> {
        let body = u64::try_from(self.messages.len()).unwrap_or(u64::MAX);
        self.messages.push((session, head.clone()));
        Message { head, body, bytes }
    }

    /// Returns the session and the head of the message with a body.
    pub(super) fn sent(&self, body: u64) -> Option<(SessionNo, Head)> {
        self.messages.get(usize::try_from(body).ok()?).cloned()
    }

    /// Returns a session at its owner.
    pub(super) fn owned(&mut self, node: NodeNo, session: SessionNo) -> Option<&mut Owned> {
        self.nodes.get_mut(node)?.sessions.get_mut(&session)
    }

    /// Returns the time at a node.
    pub(super) fn time_at(&self, node: NodeNo) -> Instant {
        self.nodes.get(node).map_or(Instant::EPOCH, |node| node.clock.at(self.now))
    }

    /// Returns the rate of a fault now.
    pub(super) fn rate(&self, fault: ClusterFault) -> u32 {
        if self.is_healed { 0 } else { self.parameters.faults.rate(fault) }
    }

    pub(super) fn hit_fault(&mut self, fault: ClusterFault) {
        self.coverage.hit(fault.name());
    }

    pub(super) fn has(&self, bug: Bug) -> bool {
        self.parameters.bug == Some(bug)
    }

    /// Returns whether two nodes cannot reach each other.
    pub(super) fn is_cut(&self, one: NodeNo, other: NodeNo) -> bool {
        self.cut_nodes.contains(&(one.min(other), one.max(other)))
    }

    /// Notes a line for the trace of a failure.
    pub(super) fn note(&mut self, line: impl FnOnce() -> String) {
        if self.trace.len() == TRACE_MAX {
            self.trace.pop_front();
        }
        let at = self.now.since_epoch();
        self.trace.push_back(format!("{at:?}: {}", line()));
    }
}

/// Returns the serial number of a client's request, which is its id.
pub(super) fn serial_of(id: &RequestId) -> Option<Serial> {
    match id.value() {
        rejoin_core::IdValue::Integer(integer) => u64::try_from(*integer).ok(),
        rejoin_core::IdValue::Text(text) => text.parse().ok(),
    }
}
