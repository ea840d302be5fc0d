//! Nodes: processes that have sessions.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use rejoin_core::Instant;
use rejoin_core::cluster::{
    LeaseAction, LeaseActions, LeaseConfig, NodeId, NodeLease, StoreId, Tenure, TenureActions,
};

use super::agenda::{Event, NodeEvent, Status};
use super::clock::Clock;
use super::exchange::{Call, Kind};
use super::faults::Bug;
use super::lookup::LookUp;
use super::names::{CallNo, ExchangeNo, NodeNo, SessionNo};
use super::owned::Owned;
use super::store::{Operation, STORE_TTL};
use super::store_client::Pending;
use super::{Checked, Cluster};

/// A process that has sessions.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each says one thing of its own")]
pub(super) struct Node {
    pub(super) id: NodeId,
    pub(super) slot: usize,
    pub(super) is_alive: bool,
    pub(super) died_at: Option<Instant>,
    pub(super) is_paused: bool,
    /// What has happened while it was paused.
    pub(super) backlog: VecDeque<NodeEvent>,
    /// Whether it hands its sessions over, and accepts nothing.
    pub(super) is_leaving: bool,
    /// Whether it cannot reach the store.
    pub(super) is_cut_off: bool,
    pub(super) clock: Clock,
    pub(super) lease: NodeLease,
    /// How often its lease was lost.
    pub(super) lapses: u64,
    /// How many sessions it has taken over.
    pub(super) takeovers: u64,
    /// Since when the store has its lease, in the time of the simulation.
    pub(super) leased_at: Option<Instant>,
    /// The start of the store that it is connected to.
    pub(super) connection: Option<u64>,
    pub(super) store: Option<StoreId>,
    /// Since when it has known the id of the store.
    pub(super) store_since: Instant,
    pub(super) calls: BTreeMap<CallNo, Pending>,
    /// When the last operation arrives at the store, and the last answer at the node.
    pub(super) store_at: Instant,
    pub(super) answer_at: Instant,
    pub(super) sessions: BTreeMap<SessionNo, Owned>,
    pub(super) lookups: BTreeMap<SessionNo, LookUp>,
    /// The owners of sessions that it has passed requests on to.
    pub(super) owners: BTreeMap<SessionNo, NodeNo>,
    pub(super) tick_at: Option<Instant>,
    /// Since when it has been connected to the store, in the time of the simulation.
    pub(super) connected_at: Option<Instant>,
}

/// Time that a request waits for the end of a doubt, in milliseconds.
const DOUBT_MILLIS: u64 = 1_000;

impl Cluster {
    /// Starts a node with an address.
    pub(super) fn start_node(&mut self, slot: usize) {
        let no = self.nodes.len();
        let drift = self.parameters.drift;
        let drift = if slot.is_multiple_of(2) { drift } else { -drift };
        let offset = self.rng.millis(0, 1_000_000);
        let id = NodeId(self.rng.below(u64::MAX));
        self.nodes.push(Node {
            id,
            slot,
            is_alive: true,
            died_at: None,
            is_paused: false,
            backlog: VecDeque::new(),
            is_leaving: false,
            is_cut_off: false,
            clock: Clock::new(offset, drift),
            lease: NodeLease::new(LeaseConfig::default()),
            lapses: 0,
            takeovers: 0,
            leased_at: None,
            connection: None,
            store: None,
            store_since: Instant::EPOCH,
            calls: BTreeMap::new(),
            store_at: self.now,
            answer_at: self.now,
            sessions: BTreeMap::new(),
            lookups: BTreeMap::new(),
            owners: BTreeMap::new(),
            tick_at: None,
            connected_at: None,
        });
        if let Some(in_slot) = self.slots.get_mut(slot) {
            *in_slot = no;
        }
        self.note(|| format!("node {no} ({id}) starts"));
        self.after(0, Event::Node(no, NodeEvent::Connect));
    }

    /// Handles something that happens at a node: later, if it is paused; never, if it has died.
    pub(super) fn dispatch_to_node(&mut self, no: NodeNo, event: NodeEvent) -> Checked {
        let Some(node) = self.nodes.get_mut(no) else { return Ok(()) };
        if !node.is_alive {
            if let NodeEvent::Request(exchange) = event {
                self.break_exchange(exchange, false);
            } else if let NodeEvent::Forwarded(exchange) = event {
                self.break_exchange(exchange, true);
            }
            return Ok(());
        }
        if node.is_paused {
            node.backlog.push_back(event);
            return Ok(());
        }
        self.on_node_event(no, event)?;
        self.arm(no);
        Ok(())
    }

    fn on_node_event(&mut self, no: NodeNo, event: NodeEvent) -> Checked {
        match event {
            NodeEvent::Tick => self.tick_node(no),
            NodeEvent::Request(exchange) => self.on_request(no, exchange, false),
            NodeEvent::Forwarded(exchange) => self.on_request(no, exchange, true),
            NodeEvent::NotHere(exchange) => self.on_not_here(no, exchange),
            NodeEvent::Unreachable(session, owner) => self.on_unreachable(no, session, owner),
            NodeEvent::Relay(exchange, part) => {
                self.end_forwarding(no, exchange);
                self.send_part(no, exchange, part);
                Ok(())
            }
            NodeEvent::Pull(exchange) => self.pull(no, exchange),
            NodeEvent::Gone(exchange) => self.gone(no, exchange),
            NodeEvent::Waited(exchange) => self.on_waited(no, exchange),
            NodeEvent::Answer(call, answer) => self.on_answer(no, call, answer),
            NodeEvent::NoAnswer(call) => self.on_no_answer(no, call),
            NodeEvent::StoreLost(starts) => {
                if self.nodes.get(no).is_some_and(|node| node.connection == Some(starts)) {
                    self.lose_store(no)?;
                }
                Ok(())
            }
            NodeEvent::Connect => {
                if self.nodes.get(no).is_some_and(|node| node.connection.is_none()) {
                    self.ask(no, Pending::Connect, Operation::Connect);
                }
                Ok(())
            }
            NodeEvent::Task(backend, task) => self.run_task(no, backend, task),
        }
    }

    /// Handles a request of a client, which another node may have passed on.
    fn on_request(&mut self, no: NodeNo, exchange_no: ExchangeNo, is_forwarded: bool) -> Checked {
        let Some(exchange) = self.exchanges.get(&exchange_no).filter(|it| !it.is_broken) else {
            return Ok(());
        };
        let (kind, session) = (exchange.kind, exchange.session);
        let now = self.time_at(no);
        let Some(node) = self.nodes.get(no) else { return Ok(()) };
        if kind == Kind::Initialize {
            if !self.is_valid(no) || node.connection.is_none() || node.is_leaving {
                self.send_status(no, exchange_no, Status::Unavailable);
                return Ok(());
            }
            return self.open(no, exchange_no);
        }
        let Some(session) = session else { return Ok(()) };
        if let Some(owned) = node.sessions.get(&session) {
            if node.is_leaving {
                self.send_status(no, exchange_no, Status::Unavailable);
                return Ok(());
            }
            if owned.is_in_doubt() || !self.is_valid(no) {
                if let Some(owned) = self.owned(no, session) {
                    owned.waiting.push(exchange_no);
                }
                self.after(DOUBT_MILLIS, Event::Node(no, NodeEvent::Waited(exchange_no)));
                return Ok(());
            }
            return self.serve(no, session, exchange_no);
        }
        if node.is_leaving {
            self.send_status(no, exchange_no, Status::Unavailable);
            return Ok(());
        }
        if !is_forwarded
            && let Some(owner) = node.owners.get(&session).copied()
            && node.lookups.get(&session).is_none_or(|lookup| lookup.is_forwarding)
            && self.is_reachable(no, owner)
        {
            self.forward(no, owner, exchange_no);
            return Ok(());
        }
        self.look_up(no, session, exchange_no, now)
    }

    /// Returns whether a node has a lease that it trusts.
    pub(super) fn is_valid(&self, no: NodeNo) -> bool {
        let now = self.time_at(no);
        self.nodes.get(no).is_some_and(|node| node.lease.is_valid(now))
    }

    /// Ends a look-up whose owner has answered.
    fn end_forwarding(&mut self, no: NodeNo, exchange: ExchangeNo) {
        if let Some(session) = self.exchanges.get(&exchange).and_then(|it| it.session)
            && let Some(node) = self.nodes.get_mut(no)
            && node.lookups.get(&session).is_some_and(|lookup| lookup.is_forwarding)
        {
            node.lookups.remove(&session);
        }
    }

    /// Handles that a request has waited for the end of a doubt, or of a DELETE.
    fn on_waited(&mut self, no: NodeNo, exchange_no: ExchangeNo) -> Checked {
        let session = self.exchanges.get(&exchange_no).and_then(|exchange| exchange.session);
        let Some(session) = session else { return Ok(()) };
        let Some(owned) = self.owned(no, session) else { return Ok(()) };
        let was_waiting = owned.waiting.contains(&exchange_no)
            || owned.deleting.contains(&exchange_no)
            || owned.initializing == Some(exchange_no);
        owned.waiting.retain(|other| *other != exchange_no);
        owned.deleting.retain(|other| *other != exchange_no);
        let is_initializing = owned.initializing.take_if(|it| *it == exchange_no).is_some();
        if was_waiting {
            self.coverage.hit("requests: waited in vain");
            self.send_status(no, exchange_no, Status::Unavailable);
        }
        if is_initializing {
            let reason = rejoin_core::SessionCloseReason::InternalError;
            let _ = self.handle(no, session, rejoin_core::Input::CloseSession { reason })?;
        }
        Ok(())
    }

    /// Serves the requests that have waited for the end of a doubt.
    pub(super) fn serve_waiting(&mut self, no: NodeNo, session: SessionNo) -> Checked {
        if !self.is_valid(no) {
            return Ok(());
        }
        let Some(owned) = self.owned(no, session).filter(|owned| !owned.is_in_doubt()) else {
            return Ok(());
        };
        for exchange in std::mem::take(&mut owned.waiting) {
            self.serve(no, session, exchange)?;
        }
        Ok(())
    }

    /// Handles what is due at a node.
    fn tick_node(&mut self, no: NodeNo) -> Checked {
        let now = self.time_at(no);
        let Some(node) = self.nodes.get_mut(no) else { return Ok(()) };
        // There may be an earlier one.
        if node.tick_at.take_if(|at| *at <= self.now).is_none() {
            return Ok(());
        }
        let actions = node.lease.tick(now);
        self.act_on_lease(no, &actions)?;
        let Some(node) = self.nodes.get_mut(no) else { return Ok(()) };
        for session in node.lookups.keys().copied().collect::<Vec<_>>() {
            self.tick_lookup(no, session, now)?;
        }
        let Some(node) = self.nodes.get_mut(no) else { return Ok(()) };
        for session in node.sessions.keys().copied().collect::<Vec<_>>() {
            let Some(owned) = self.owned(no, session) else { continue };
            if owned.keep_at <= now {
                owned.keep_at = now.saturating_add(STORE_TTL / 2);
                self.ask(no, Pending::Other, Operation::Keep { session });
            }
            let Some(owned) = self.owned(no, session) else { continue };
            if owned.retry_at.take_if(|at| *at <= now).is_some() {
                self.change_tenure(no, session, Tenure::retry)?;
            }
            let Some(owned) = self.owned(no, session) else { continue };
            if owned.session.deadline().is_some_and(|deadline| deadline <= now) {
                let _ = self.handle(no, session, rejoin_core::Input::Tick)?;
            }
        }
        Ok(())
    }

    /// Schedules the next tick of a node.
    fn arm(&mut self, no: NodeNo) {
        let Some(node) = self.nodes.get_mut(no).filter(|node| node.is_alive) else { return };
        let sessions = node.sessions.values();
        let sessions = sessions
            .flat_map(|owned| [owned.session.deadline(), Some(owned.keep_at), owned.retry_at]);
        let lookups = node.lookups.values().map(|lookup| lookup.resolve.deadline());
        let all = sessions.chain(lookups).chain([node.lease.deadline()]);
        let Some(deadline) = all.flatten().filter(|deadline| *deadline < Instant::MAX).min() else {
            return;
        };
        let at = node.clock.until(deadline).max(self.now);
        if node.tick_at.is_none_or(|armed| at < armed) {
            node.tick_at = Some(at);
            self.agenda.push(at, Event::Node(no, NodeEvent::Tick));
        }
    }

    /// Carries out actions of a lease.
    pub(super) fn act_on_lease(&mut self, no: NodeNo, actions: &LeaseActions) -> Checked {
        for action in actions {
            let sent_at = self.time_at(no);
            let Some(node) = self.nodes.get_mut(no) else { return Ok(()) };
            match action {
                LeaseAction::Renew => {
                    let Some(store) = node.store else { continue };
                    let ttl = LeaseConfig::default().ttl;
                    let renew = Operation::Renew { node: node.id, ttl, store };
                    self.ask(no, Pending::Renew { sent_at }, renew);
                }
                LeaseAction::Suspend => {
                    node.lapses += 1;
                    self.note(|| format!("node {no} suspends"));
                    self.doubt_all(no)?;
                }
                LeaseAction::DoubtAll => {
                    node.lapses += 1;
                    self.doubt_all(no)?;
                }
                // The doubts are decided after each renewal.
                LeaseAction::Resume => {}
                LeaseAction::CutAll => {
                    let own = self.exchanges.iter().filter(|(_, exchange)| {
                        exchange.ingress == no && exchange.is_open_at_client
                    });
                    let own: Vec<ExchangeNo> = own.map(|(exchange, _)| *exchange).collect();
                    for exchange in own {
                        self.break_exchange(exchange, false);
                    }
                }
            }
        }
        Ok(())
    }

    fn doubt_all(&mut self, no: NodeNo) -> Checked {
        self.change_all_tenures(no, |tenure| {
            tenure.on_disconnect();
            TenureActions::new()
        })
    }

    /// Decides all doubts, if the store can be reached and the lease is valid.
    pub(super) fn decide_doubts(&mut self, no: NodeNo) -> Checked {
        let is_connected = self.nodes.get(no).is_some_and(|node| node.connection.is_some());
        if is_connected && self.is_valid(no) {
            self.change_all_tenures(no, Tenure::on_connect)?;
        }
        Ok(())
    }

    /// Changes the tenures of all sessions of a node.
    pub(super) fn change_all_tenures(
        &mut self,
        no: NodeNo,
        change: impl Fn(&mut Tenure) -> TenureActions,
    ) -> Checked {
        let Some(node) = self.nodes.get(no) else { return Ok(()) };
        for session in node.sessions.keys().copied().collect::<Vec<_>>() {
            self.change_tenure(no, session, &change)?;
            self.serve_waiting(no, session)?;
        }
        Ok(())
    }

    /// Kills a node, and everything in it.
    pub(super) fn kill(&mut self, no: NodeNo) {
        let now = self.now;
        let Some(node) = self.nodes.get_mut(no).filter(|node| node.is_alive) else { return };
        (node.is_alive, node.died_at) = (false, Some(now));
        let (id, count) = (node.id, node.sessions.len());
        node.sessions.clear();
        node.lookups.clear();
        node.backlog.clear();
        self.laws.in_time.on_killed(id, now);
        self.backends.retain(|_, backend| backend.node != no);
        self.note(|| format!("node {no} ({id}) dies with {count} sessions"));
        let broken: Vec<(ExchangeNo, bool)> = self
            .exchanges
            .iter()
            .filter_map(|(exchange_no, exchange)| {
                let is_owner = exchange.owner.is_some_and(|(owner, _)| owner == no)
                    || exchange.forwarded_to == Some(no);
                let is_here = exchange.ingress == no || is_owner;
                is_here.then_some((*exchange_no, exchange.ingress != no))
            })
            .collect();
        for (exchange, is_ingress_left) in broken {
            self.break_or_retry(no, exchange, is_ingress_left);
        }
    }

    /// Breaks an exchange whose owner has died.
    fn break_or_retry(&mut self, dead: NodeNo, no: ExchangeNo, is_ingress_left: bool) {
        let retries = self.has(Bug::RetriesRequest);
        let Some(exchange) = self.exchanges.get_mut(&no).filter(|it| !it.is_broken) else { return };
        let ingress = exchange.ingress;
        if retries
            && is_ingress_left
            && exchange.kind == Kind::Request
            && !exchange.has_status
            && let Some((post, format)) = exchange
                .reader
                .and_then(|reader| self.readers.get(&reader).and_then(|reader| reader.sent.clone()))
            && ingress != dead
        {
            exchange.call = Some(Call::Post { format, post });
            (exchange.owner, exchange.forwarded_to) = (None, None);
            exchange.is_open_at_owner = false;
            self.after(2, Event::Node(ingress, NodeEvent::Request(no)));
            return;
        }
        self.break_exchange(no, is_ingress_left);
    }
}

/// Time that the node that a client has sent a request to tries to find its owner.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);
