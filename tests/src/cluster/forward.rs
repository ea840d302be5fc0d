//! Requests that are passed on to the owner of their session.

use super::agenda::{Event, NodeEvent, Status};
use super::names::{ExchangeNo, NodeNo};
use super::node::PATIENCE;
use super::{Checked, Cluster};

impl Cluster {
    /// Passes a request on.
    pub(super) fn forward(&mut self, no: NodeNo, owner: NodeNo, exchange_no: ExchangeNo) {
        let delay = self.rng.between(0, 3);
        if let Some(exchange) = self.exchanges.get_mut(&exchange_no).filter(|it| !it.is_broken) {
            exchange.forwarded_to = Some(owner);
            self.coverage.hit("requests: forwarded");
            self.note(|| format!("node {no} forwards exchange {exchange_no} to node {owner}"));
            self.after(delay, Event::Node(owner, NodeEvent::Forwarded(exchange_no)));
        }
    }

    /// Tells the node that has passed a request on that its session is not here.
    pub(super) fn send_not_here(&mut self, no: NodeNo, exchange_no: ExchangeNo) {
        let delay = self.rng.between(0, 3);
        let Some(exchange) = self.exchanges.get_mut(&exchange_no) else { return };
        exchange.forwarded_to = None;
        let ingress = exchange.ingress;
        if !self.is_cut(no, ingress) {
            self.coverage.hit("requests: not here");
            self.after(delay, Event::Node(ingress, NodeEvent::NotHere(exchange_no)));
        }
    }

    /// Handles that an owner does not have a session: the request has not begun, and is tried again.
    pub(super) fn on_not_here(&mut self, no: NodeNo, exchange_no: ExchangeNo) -> Checked {
        let Some(exchange) = self.exchanges.get(&exchange_no).filter(|it| !it.is_broken) else {
            return Ok(());
        };
        let Some(session) = exchange.session else { return Ok(()) };
        let is_late = self.now >= exchange.sent_at.saturating_add(PATIENCE);
        let now = self.time_at(no);
        let Some(node) = self.nodes.get_mut(no) else { return Ok(()) };
        node.owners.remove(&session);
        if is_late {
            return self.respond(no, exchange_no, Status::Unavailable);
        }
        let Some(lookup) = node.lookups.get_mut(&session) else {
            return self.look_up(no, session, exchange_no, now);
        };
        lookup.waiting.push(exchange_no);
        lookup.is_forwarding = false;
        self.change_lookup(no, session, |resolve| resolve.on_not_forwarded(true, now))
    }
}
