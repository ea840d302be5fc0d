//! Links: the HTTP exchanges of the machine, which break.

#![expect(clippy::indexing_slicing, reason = "servers are never removed")]

use std::collections::VecDeque;
use std::time::Duration;

use rejoin_core::client::{self, ExchangeId, Input, Response};
use rejoin_core::{ConnectionId, EventId, Head, Message};

use super::world::{Event, World};
use crate::kit::checker::StreamChecker;

/// The HTTP request of a link.
#[derive(Clone, Debug)]
pub(super) enum HttpRequest {
    Post { session: Option<usize>, message: Message<u64> },
    Get { session: Option<usize>, last_event_id: Option<EventId> },
    Delete { session: Option<usize> },
}

/// What a client reads.
#[derive(Clone, Debug)]
pub(super) enum Item {
    Head { status: u16, session: Option<usize> },
    Event { id: Option<EventId>, event: rejoin_core::Event<u64> },
    End,
}

/// How a link fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// No connection can be made.
    Unsent,
    /// The request is lost.
    BeforeRequest,
    /// Everything after this many items is lost.
    AfterItems(usize),
}

/// An HTTP exchange.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each says one thing of its own")]
pub(super) struct Link {
    pub(super) request: HttpRequest,
    fault: Fault,
    pub(super) server: Option<usize>,
    pub(super) connection: Option<ConnectionId>,
    items: VecDeque<Item>,
    items_read: usize,
    has_head: bool,
    pub(super) is_open_at_client: bool,
    pub(super) is_open_at_server: bool,
    is_read_scheduled: bool,
}

/// Checks a request stream until its number is known.
#[derive(Debug, Default)]
pub(super) struct Unnumbered(Option<StreamChecker>);

impl World {
    /// Opens a link, and sends its request.
    pub(super) fn open_link(&mut self, exchange: ExchangeId, request: HttpRequest) {
        let fault = if self.is_fault(3) {
            Fault::Unsent
        } else if self.is_fault(1) {
            Fault::BeforeRequest
        } else if self.is_fault(8) {
            Fault::AfterItems(self.rng.size(0, 6))
        } else {
            Fault::None
        };
        let link = Link {
            request,
            fault,
            server: None,
            connection: None,
            items: VecDeque::new(),
            items_read: 0,
            has_head: false,
            is_open_at_client: true,
            is_open_at_server: false,
            is_read_scheduled: false,
        };
        self.links.insert(exchange, link);
        let delay = self.latency();
        match fault {
            Fault::Unsent | Fault::BeforeRequest => {
                self.coverage.hit("cut: before the request arrives");
                self.schedule(delay, Event::Broken(exchange));
            }
            Fault::AfterItems(_) | Fault::None => self.schedule(delay, Event::Arrive(exchange)),
        }
    }

    /// Removes the faults of all links.
    pub(super) fn heal(&mut self) {
        let exchanges: Vec<ExchangeId> = self.links.keys().copied().collect();
        for exchange in exchanges {
            if let Some(link) = self.links.get_mut(&exchange) {
                link.fault = Fault::None;
            }
            self.wake(exchange);
        }
    }

    /// Adds an item, unless the link has broken.
    pub(super) fn push_item(&mut self, exchange: ExchangeId, item: Item) {
        if let Some(link) = self.links.get_mut(&exchange).filter(|link| link.is_open_at_client) {
            link.items.push_back(item);
            self.wake(exchange);
        }
    }

    fn wake(&mut self, exchange: ExchangeId) {
        let Some(link) = self.links.get_mut(&exchange) else { return };
        if !link.is_read_scheduled && !link.items.is_empty() {
            link.is_read_scheduled = true;
            let delay = self.latency();
            self.schedule(delay, Event::Read(exchange));
        }
    }

    /// Ends a link at the client; the server notices that later.
    pub(super) fn close_at_client(&mut self, exchange: ExchangeId) {
        let Some(link) = self.links.get_mut(&exchange) else { return };
        link.is_open_at_client = false;
        link.items.clear();
        let delay = if self.is_fault(5) {
            self.coverage.hit("cut: half open at the server");
            self.rng.millis(500, 10_000)
        } else {
            self.latency()
        };
        self.schedule(delay, Event::Noticed(exchange));
    }

    /// Performs a read of the client.
    pub(super) fn read(&mut self, exchange: ExchangeId) -> Result<(), String> {
        let Some(link) = self.links.get_mut(&exchange) else { return Ok(()) };
        link.is_read_scheduled = false;
        if !link.is_open_at_client {
            return Ok(());
        }
        if link.fault == Fault::AfterItems(link.items_read) {
            let has_head = link.has_head;
            self.coverage.hit(if has_head {
                "cut: within the events"
            } else {
                "cut: before the head arrives"
            });
            return self.broken(exchange);
        }
        let Some(item) = link.items.pop_front() else { return Ok(()) };
        link.items_read += 1;
        link.has_head = true;
        let server = link.server;
        match item {
            Item::Head { status, session } => {
                let mut response = Response::new(status);
                response.session_id = session.map(|session| format!("s{session}").into());
                if !(200..300).contains(&status) {
                    self.close_at_client(exchange);
                    self.coverage.hit(match status {
                        404 => "refused: 404",
                        429 => "refused: 429",
                        _ => "refused: other",
                    });
                }
                self.feed(Input::Response { exchange, response })?;
            }
            Item::Event { id, event } => {
                let Some(server) = server else { return Ok(()) };
                self.receive(exchange, server, id, &event)?;
            }
            Item::End => {
                self.close_at_client(exchange);
                self.feed(Input::Ended { exchange })?;
            }
        }
        self.wake(exchange);
        Ok(())
    }

    /// Passes an event to the machine. What that does not drop is checked as delivered.
    fn receive(
        &mut self,
        exchange: ExchangeId,
        server: usize,
        id: Option<EventId>,
        event: &rejoin_core::Event<u64>,
    ) -> Result<(), String> {
        let mut input =
            client::Event { id: id.map(|id| id.to_string().into()), ..Default::default() };
        match event {
            rejoin_core::Event::Priming { retry } => input.retry = *retry,
            // A comment, which the machine does not see.
            rejoin_core::Event::Gap { first } => {
                if let Some(id) = id {
                    let checker = self.checker(exchange, server, Some(id));
                    // What was delivered may have been evicted since.
                    let next = checker.last.map_or(0, |last| last + 1);
                    if next <= id.index {
                        checker.on_gap(next.max(*first)..=id.index)?;
                    }
                }
                return Ok(());
            }
            rejoin_core::Event::Failure(failure) => {
                let head = Head::Error { id: Some(failure.id.clone()) };
                let message = self.messages.create(server, head, 80);
                self.failures.insert(message.body, failure.id.clone());
                input.messages.push(message);
            }
            rejoin_core::Event::Message(body) => {
                let sent = self.messages.get(*body).ok_or("an unknown message was sent")?;
                input.messages.push(Message { head: sent.head.clone(), body: *body, bytes: 100 });
            }
        }
        let is_duplicate = self.feed_event(exchange, input)?;
        if is_duplicate {
            self.coverage.hit("duplicate: dropped");
            return Ok(());
        }
        let mut checker = self.checker(exchange, server, id).clone();
        let ground_truth = &self.servers[server].server.ground_truth;
        let is_priming = matches!(event, rejoin_core::Event::Priming { .. });
        let is_old = id.is_some_and(|id| {
            checker.stream.is_some() && checker.last.is_some_and(|last| id.index <= last)
        });
        if !(is_priming && is_old) {
            checker.on_event(ground_truth, id, event)?;
        }
        *self.checker(exchange, server, id) = checker;
        Ok(())
    }

    /// Returns the checker of the stream that an event belongs to.
    fn checker(
        &mut self,
        exchange: ExchangeId,
        server: usize,
        id: Option<EventId>,
    ) -> &mut StreamChecker {
        let own = &mut self.checkers.entry(exchange).or_default().0;
        match id {
            None => own.get_or_insert_with(StreamChecker::from_start),
            Some(EventId { stream: rejoin_core::StreamId::Standalone, .. }) => self
                .streams
                .entry((server, rejoin_core::StreamId::Standalone))
                .or_insert_with(StreamChecker::standalone),
            Some(EventId { stream, .. }) => {
                let own = own.take();
                self.streams
                    .entry((server, stream))
                    .or_insert_with(|| own.unwrap_or_else(StreamChecker::from_start))
            }
        }
    }

    /// Handles that the client notices that a link has broken.
    pub(super) fn broken(&mut self, exchange: ExchangeId) -> Result<(), String> {
        let Some(link) = self.links.get(&exchange).filter(|link| link.is_open_at_client) else {
            return Ok(());
        };
        let (has_head, was_sent) = (link.has_head, link.fault != Fault::Unsent);
        self.close_at_client(exchange);
        self.feed(if has_head {
            Input::Ended { exchange }
        } else {
            Input::Failed { exchange, was_sent }
        })
    }

    /// Returns a delay in which the client notices a restart.
    pub(super) fn restart_delay(&mut self) -> Duration {
        self.rng.millis(0, 500)
    }
}
