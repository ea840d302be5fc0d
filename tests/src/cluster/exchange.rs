//! Exchanges: an HTTP request of a client, and its response on the way from an owner to the client.

use std::collections::VecDeque;

use rejoin_core::{AnswerFormat, ConnectionId, Event as SseEvent, EventId, Instant, Message, Post};

use super::agenda::{Event, NodeEvent, Status};
use super::names::{ClientNo, ExchangeNo, NodeNo, ReaderNo, SessionNo};
use super::{Checked, Cluster};

/// An HTTP request of a client, and its response.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each says one thing of its own")]
pub(super) struct Exchange {
    pub(super) client: ClientNo,
    pub(super) session: Option<SessionNo>,
    /// The node that the client has sent it to.
    pub(super) ingress: NodeNo,
    /// The node that it was passed on to.
    pub(super) forwarded_to: Option<NodeNo>,
    /// The node that serves it.
    pub(super) owner: Option<(NodeNo, ConnectionId)>,
    pub(super) kind: Kind,
    /// What the client wants, until it is served.
    pub(super) call: Option<Call>,
    pub(super) reader: Option<ReaderNo>,
    pub(super) sent_at: Instant,
    /// What the owner has not sent yet.
    pub(super) buffer: VecDeque<Item>,
    pub(super) end: Option<End>,
    /// Whether the answer to `initialize` waits until the session is in the store.
    pub(super) is_held: bool,
    pub(super) is_pull_scheduled: bool,
    /// The last event that the owner has sent.
    pub(super) acknowledged: Option<u64>,
    pub(super) has_status: bool,
    /// Whether the status has arrived.
    pub(super) client_has_status: bool,
    pub(super) is_open_at_client: bool,
    pub(super) is_open_at_owner: bool,
    pub(super) is_broken: bool,
    /// When the last thing arrives at the ingress, and at the client.
    ingress_at: Instant,
    client_at: Instant,
}

/// What a client wants.
#[derive(Clone, Debug)]
pub(super) enum Call {
    Initialize(Message<u64>),
    Post { format: AnswerFormat, post: Post<u64> },
    Get { last_event_id: Option<EventId> },
    Delete,
}

/// The kind of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Initialize,
    Request,
    Message,
    Get,
    Delete,
}

/// An event of a response.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) id: Option<EventId>,
    pub(super) index: u64,
    pub(super) event: SseEvent<u64>,
}

/// The end of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It was sent to its end.
    Closed,
    /// The connection has broken, or could not be made.
    Broken,
}

impl Exchange {
    pub(super) fn new(
        client: ClientNo,
        ingress: NodeNo,
        kind: Kind,
        call: Call,
        now: Instant,
    ) -> Self {
        Self {
            client,
            session: None,
            ingress,
            forwarded_to: None,
            owner: None,
            kind,
            call: Some(call),
            reader: None,
            sent_at: now,
            buffer: VecDeque::new(),
            end: None,
            is_held: false,
            is_pull_scheduled: false,
            acknowledged: None,
            has_status: false,
            client_has_status: false,
            is_open_at_client: true,
            is_open_at_owner: false,
            is_broken: false,
            ingress_at: now,
            client_at: now,
        }
    }
}

/// Something on its way to a client.
#[derive(Clone, Debug)]
pub(super) enum Part {
    Status(Status),
    Item(Item),
    End(End),
}

impl Cluster {
    /// Sends a status from the node that answers.
    pub(super) fn send_status(&mut self, from: NodeNo, no: ExchangeNo, status: Status) {
        if let Some(exchange) = self.exchanges.get_mut(&no) {
            if exchange.has_status {
                return;
            }
            exchange.has_status = true;
            exchange.call = None;
        }
        self.send_part(from, no, Part::Status(status));
    }

    pub(super) fn send_item(&mut self, from: NodeNo, no: ExchangeNo, item: Item) {
        self.send_part(from, no, Part::Item(item));
    }

    pub(super) fn send_end(&mut self, from: NodeNo, no: ExchangeNo, end: End) {
        self.send_part(from, no, Part::End(end));
    }

    /// Sends a part of a response on towards the client.
    pub(super) fn send_part(&mut self, from: NodeNo, no: ExchangeNo, part: Part) {
        let delay = self.rng.millis(0, 3);
        let arrives = self.now.saturating_add(delay);
        let Some(exchange) = self.exchanges.get_mut(&no).filter(|it| !it.is_broken) else { return };
        let ingress = exchange.ingress;
        if from != ingress {
            exchange.ingress_at = exchange.ingress_at.max(arrives);
            let at = exchange.ingress_at;
            if !self.is_cut(from, ingress) {
                self.agenda.push(at, Event::Node(ingress, NodeEvent::Relay(no, part)));
            }
            return;
        }
        exchange.client_at = exchange.client_at.max(arrives);
        let at = exchange.client_at;
        let event = match part {
            Part::Status(status) => Event::Status(no, status),
            Part::Item(item) => Event::Item(no, item),
            Part::End(end) => Event::End(no, end),
        };
        self.agenda.push(at, event);
    }

    /// Schedules that the owner sends what waits.
    pub(super) fn wake_body(&mut self, no: ExchangeNo) {
        let Some(exchange) = self.exchanges.get_mut(&no) else { return };
        let Some((owner, _)) = exchange.owner else { return };
        let has_more = !exchange.buffer.is_empty() || exchange.end.is_some();
        if has_more && !exchange.is_held && !exchange.is_pull_scheduled && exchange.is_open_at_owner
        {
            exchange.is_pull_scheduled = true;
            self.after(1, Event::Node(owner, NodeEvent::Pull(no)));
        }
    }

    /// Sends what waits, and acknowledges it.
    pub(super) fn pull(&mut self, node: NodeNo, no: ExchangeNo) -> Checked {
        let Some(exchange) = self.exchanges.get_mut(&no) else { return Ok(()) };
        exchange.is_pull_scheduled = false;
        let (Some(session), Some((owner, connection))) = (exchange.session, exchange.owner) else {
            return Ok(());
        };
        if owner != node || !exchange.is_open_at_owner || exchange.is_held {
            return Ok(());
        }
        let items: Vec<Item> = exchange.buffer.drain(..).collect();
        let end = exchange.end;
        if let Some(last) = items.last() {
            exchange.acknowledged = Some(last.index);
        }
        let through = exchange.acknowledged;
        if !items.is_empty() || end == Some(End::Closed) {
            self.send_status(node, no, Status::Stream);
        }
        let is_some = !items.is_empty();
        for item in items {
            self.send_item(node, no, item);
        }
        if let Some(end) = end {
            self.send_end(node, no, end);
            self.close_at_owner(no);
            let input = rejoin_core::Input::ConnectionClosed { connection, through };
            return self.handle(node, session, input).map(drop);
        }
        if let Some(through) = through.filter(|_| is_some) {
            let input = rejoin_core::Input::Acknowledged { connection, through };
            return self.handle(node, session, input).map(drop);
        }
        Ok(())
    }

    fn close_at_owner(&mut self, no: ExchangeNo) {
        let Some(exchange) = self.exchanges.get_mut(&no) else { return };
        exchange.is_open_at_owner = false;
        if let (Some((node, connection)), Some(session)) = (exchange.owner, exchange.session)
            && let Some(owned) = self.owned(node, session)
        {
            owned.exchanges.remove(&connection);
        }
    }

    /// Notes at the owner that the client has gone.
    pub(super) fn gone(&mut self, node: NodeNo, no: ExchangeNo) -> Checked {
        let Some(exchange) = self.exchanges.get_mut(&no) else { return Ok(()) };
        let (Some(session), Some((owner, connection))) = (exchange.session, exchange.owner) else {
            return Ok(());
        };
        if owner != node || !exchange.is_open_at_owner {
            return Ok(());
        }
        let through = exchange.acknowledged;
        self.close_at_owner(no);
        let input = rejoin_core::Input::ConnectionClosed { connection, through };
        self.handle(node, session, input).map(drop)
    }

    /// Breaks a connection between the client and the owner; `is_ingress_left` is whether the node
    /// that the client has sent its request to can still answer.
    pub(super) fn break_exchange(&mut self, no: ExchangeNo, is_ingress_left: bool) {
        let Some(exchange) = self.exchanges.get_mut(&no).filter(|it| !it.is_broken) else { return };
        exchange.is_broken = true;
        let (has_status, owner) = (exchange.has_status, exchange.owner);
        exchange.has_status = true;
        exchange.call = None;
        self.note(|| format!("exchange {no} breaks (owner {owner:?})"));
        let event = if is_ingress_left && !has_status {
            Event::Status(no, Status::BadGateway)
        } else {
            Event::End(no, End::Broken)
        };
        let delay = self.rng.between(0, 30);
        self.after(delay, event);
        if let Some((owner, _)) = owner {
            self.after(delay, Event::Node(owner, NodeEvent::Gone(no)));
        }
    }
}
