//! Look-ups: who serves a session that a node does not have.

use rejoin_core::Instant;
use rejoin_core::cluster::{EntryId, NodeId, Resolve, ResolveAction};
use std::sync::Arc;

use super::agenda::{Event, NodeEvent, Status};
use super::exchange::Kind;
use super::faults::Bug;
use super::names::{ExchangeNo, NodeNo, SessionNo};
use super::store::{Content, Entry, Operation};
use super::store_client::Pending;
use super::{Checked, Cluster};

/// A look-up, and the requests that wait for it.
#[derive(Debug)]
pub(super) struct LookUp {
    pub(super) resolve: Resolve,
    pub(super) waiting: Vec<ExchangeNo>,
    /// The last owner that was found.
    pub(super) owner: Option<NodeId>,
    /// Whether the session was claimed, and is being read.
    pub(super) is_reading: bool,
    /// Whether its requests were passed on, and none has come back.
    pub(super) is_forwarding: bool,
    pub(super) began_at: Instant,
}

impl Cluster {
    /// Looks up who serves the session of a request.
    pub(super) fn look_up(
        &mut self,
        no: NodeNo,
        session: SessionNo,
        exchange: ExchangeNo,
        now: Instant,
    ) -> Checked {
        let Some(node) = self.nodes.get_mut(no) else { return Ok(()) };
        let lookup = node.lookups.get_mut(&session).filter(|lookup| !lookup.is_forwarding);
        if let Some(lookup) = lookup {
            lookup.waiting.push(exchange);
            return Ok(());
        }
        let (resolve, action) = Resolve::begin(node.id, now);
        let waiting = vec![exchange];
        let (owner, is_reading, is_forwarding) = (None, false, false);
        let lookup = LookUp { resolve, waiting, owner, is_reading, is_forwarding, began_at: now };
        node.lookups.insert(session, lookup);
        self.act_on_lookup(no, session, action)
    }

    /// Changes a look-up, and carries out what follows.
    pub(super) fn change_lookup(
        &mut self,
        no: NodeNo,
        session: SessionNo,
        change: impl FnOnce(&mut Resolve) -> Option<ResolveAction>,
    ) -> Checked {
        let lookup = self.nodes.get_mut(no).and_then(|node| node.lookups.get_mut(&session));
        match lookup.and_then(|lookup| change(&mut lookup.resolve)) {
            Some(action) => self.act_on_lookup(no, session, action),
            None => Ok(()),
        }
    }

    /// Handles the deadline of a look-up.
    pub(super) fn tick_lookup(&mut self, no: NodeNo, session: SessionNo, now: Instant) -> Checked {
        self.change_lookup(no, session, |resolve| resolve.tick(now))
    }

    /// Handles that the store is away.
    pub(super) fn lose_lookup(&mut self, no: NodeNo, session: SessionNo) -> Checked {
        let denies = self.has(Bug::DeniesSession);
        let lookup = self.nodes.get_mut(no).and_then(|node| node.lookups.get_mut(&session));
        if lookup.is_some_and(|lookup| lookup.is_reading) {
            return self.end_lookup(no, session, Status::Unavailable);
        }
        self.change_lookup(no, session, |resolve| {
            let action = resolve.on_disconnect();
            action.map(|action| if denies { ResolveAction::NotFound } else { action })
        })
    }

    fn act_on_lookup(&mut self, no: NodeNo, session: SessionNo, action: ResolveAction) -> Checked {
        let is_connected = self.nodes.get(no).is_some_and(|node| node.connection.is_some());
        match action {
            ResolveAction::AskStore
            | ResolveAction::AskLease(_)
            | ResolveAction::Claim { .. }
            | ResolveAction::Restore { .. }
                if !is_connected =>
            {
                self.lose_lookup(no, session)
            }
            ResolveAction::AskStore => {
                self.ask(no, Pending::Last { session }, Operation::Last { session });
                Ok(())
            }
            ResolveAction::AskLease(owner) => {
                self.set_owner(no, session, owner);
                self.ask(no, Pending::Lease { session }, Operation::Lease { node: owner });
                Ok(())
            }
            ResolveAction::Forward(owner) => {
                self.forward_waiting(no, session, owner);
                Ok(())
            }
            ResolveAction::Claim { epoch } => {
                let Some(node) = self.nodes.get(no) else { return Ok(()) };
                let entry =
                    Arc::new(Entry { owner: node.id, content: Content::Claimed, bytes: 50 });
                let id = EntryId { epoch, number: 0 };
                let claim = Operation::Append { session, id, creates: false, entry };
                self.ask(no, Pending::Claim { session, epoch }, claim);
                Ok(())
            }
            ResolveAction::Restore { epoch } => {
                let lookup = self.nodes.get_mut(no).and_then(|node| node.lookups.get_mut(&session));
                if let Some(lookup) = lookup {
                    lookup.is_reading = true;
                }
                self.ask(no, Pending::Read { session, epoch }, Operation::Read { session });
                Ok(())
            }
            ResolveAction::Wait => Ok(()),
            ResolveAction::NotFound => self.end_lookup(no, session, Status::NotFound),
            ResolveAction::Unavailable => self.end_lookup(no, session, Status::Unavailable),
        }
    }

    fn set_owner(&mut self, no: NodeNo, session: SessionNo, owner: NodeId) {
        let lookup = self.nodes.get_mut(no).and_then(|node| node.lookups.get_mut(&session));
        if let Some(lookup) = lookup {
            lookup.owner = Some(owner);
        }
    }

    /// Ends a look-up with the same status for all requests that wait.
    pub(super) fn end_lookup(&mut self, no: NodeNo, session: SessionNo, status: Status) -> Checked {
        let lookup = self.nodes.get_mut(no).and_then(|node| node.lookups.remove(&session));
        for exchange in lookup.into_iter().flat_map(|lookup| lookup.waiting) {
            self.respond(no, exchange, status)?;
        }
        Ok(())
    }

    /// Answers a request without a session.
    pub(super) fn respond(
        &mut self,
        no: NodeNo,
        exchange_no: ExchangeNo,
        status: Status,
    ) -> Checked {
        let Some(exchange) = self.exchanges.get(&exchange_no) else { return Ok(()) };
        let (kind, session, is_broken) = (exchange.kind, exchange.session, exchange.is_broken);
        if status == Status::NotFound
            && !is_broken
            && let Some(session) = session
        {
            let is_stored = self.store.last(session).is_some();
            let has_forgotten = self.laws.forgot_at.is_some();
            let is_request = kind == Kind::Request;
            self.laws.fates.check_not_found(
                session,
                is_request,
                is_stored,
                has_forgotten,
                self.now,
            )?;
        }
        if status == Status::Unavailable {
            self.coverage.hit("requests: unavailable");
        }
        self.send_status(no, exchange_no, status);
        Ok(())
    }

    /// Handles that the owner of a session cannot be reached.
    pub(super) fn on_unreachable(
        &mut self,
        no: NodeNo,
        session: SessionNo,
        owner: NodeId,
    ) -> Checked {
        let now = self.time_at(no);
        let node = self.nodes.get(no).and_then(|node| node.lookups.get(&session));
        if node.is_some_and(|lookup| lookup.owner == Some(owner)) {
            return self.change_lookup(no, session, |resolve| resolve.on_not_forwarded(false, now));
        }
        Ok(())
    }

    /// Returns whether a node can connect to another.
    pub(super) fn is_reachable(&self, no: NodeNo, owner: NodeNo) -> bool {
        self.nodes.get(owner).is_some_and(|node| node.is_alive) && !self.is_cut(no, owner)
    }

    /// Passes the waiting requests on to the owner, or learns that it cannot be reached.
    fn forward_waiting(&mut self, no: NodeNo, session: SessionNo, owner: NodeId) {
        let owner_no = self.nodes.iter().position(|node| node.id == owner);
        let Some(owner_no) = owner_no.filter(|owner| self.is_reachable(no, *owner)) else {
            let delay = self.rng.between(1, 200);
            self.after(delay, Event::Node(no, NodeEvent::Unreachable(session, owner)));
            return;
        };
        let Some(node) = self.nodes.get_mut(no) else { return };
        node.owners.insert(session, owner_no);
        let Some(lookup) = node.lookups.get_mut(&session) else { return };
        lookup.is_forwarding = true;
        let waiting = std::mem::take(&mut lookup.waiting);
        for exchange in waiting {
            let is_forwarded =
                self.exchanges.get(&exchange).is_some_and(|exchange| exchange.ingress != no);
            if is_forwarded {
                self.send_not_here(no, exchange);
            } else {
                self.forward(no, owner_no, exchange);
            }
        }
    }
}
