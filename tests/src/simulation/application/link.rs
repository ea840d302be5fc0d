//! Links: the HTTP exchanges of the machine, which break.

use std::collections::VecDeque;
use std::time::Duration;

use rejoin_core::client::{ExchangeFailure, ExchangeId, Input, Response};
use rejoin_core::{ConnectionId, EventId, Head, Message, Method, StreamId};

use super::world::{Event, World};

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
    Head { status: u16, session: Option<usize>, retry_after: Option<Duration> },
    Event { id: Option<EventId>, event: rejoin_core::Event<u64> },
    End,
}

/// How a link fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// No connection can be made.
    Unsent,
    /// No connection can be made, because the server is not trusted.
    Untrusted,
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
    /// The credentials that it has.
    pub(super) credential: u64,
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

impl Link {
    /// Returns whether it opens the standalone stream.
    pub(super) fn is_standalone(&self) -> bool {
        let HttpRequest::Get { last_event_id, .. } = &self.request else { return false };
        last_event_id.is_none_or(|id| id.stream == StreamId::Standalone)
    }

    /// Returns whether its request is `initialize`.
    pub(super) fn opens_session(&self) -> bool {
        let HttpRequest::Post { message, .. } = &self.request else { return false };
        matches!(message.head, Head::Request { method: Method::Initialize { .. }, .. })
    }
}

impl World {
    /// Opens a link, and sends its request.
    pub(super) fn open_link(&mut self, exchange: ExchangeId, request: HttpRequest) {
        let fault = if self.is_down() || self.is_fault(3) {
            if self.rng.chance(100) { Fault::Untrusted } else { Fault::Unsent }
        } else if self.is_fault(1) {
            Fault::BeforeRequest
        } else if self.is_fault(8) {
            Fault::AfterItems(self.rng.size(0, 6))
        } else {
            Fault::None
        };
        let link = Link {
            request,
            credential: self.credentials.present,
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
        self.open_links += 1;
        let delay = if self.is_fault(3) {
            self.coverage.hit("delayed");
            self.rng.millis(500, 20_000)
        } else {
            self.latency()
        };
        match fault {
            Fault::Unsent | Fault::Untrusted | Fault::BeforeRequest => {
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
            if let Some(link) = self.links.get_mut(&exchange)
                && matches!(link.fault, Fault::AfterItems(_))
            {
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
        self.open_links -= usize::from(std::mem::take(&mut link.is_open_at_client));
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
            Item::Head { status, session, retry_after } => {
                let mut response = Response::new(status);
                response.session_id = session.map(|session| format!("s{session}").into());
                response.retry_after = retry_after;
                response.credentials_changed = link.credential != self.credentials.present;
                if status == 400
                    && let HttpRequest::Get { session: Some(session), .. } = link.request
                    && link.is_standalone()
                {
                    // The machine begins anew, and may miss events.
                    let stream = (session, StreamId::Standalone);
                    if let Some(checker) = self.streams.get_mut(&stream) {
                        checker.is_strict = false;
                    }
                }
                self.sessions.on_response(link, status);
                if !(200..300).contains(&status) {
                    self.close_at_client(exchange);
                    self.coverage.hit(match status {
                        401 => "refused: 401",
                        404 => "refused: 404",
                        429 => "refused: 429",
                        503 => "refused: 503",
                        _ => "refused: other",
                    });
                    if retry_after.is_some() {
                        self.coverage.hit("refused: with Retry-After");
                    }
                } else if status == 204 {
                    self.close_at_client(exchange);
                } else if link.opens_session() {
                    self.session = session;
                    self.sessions.on_opened(session);
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

    /// Handles that the client notices that a link has broken.
    pub(super) fn broken(&mut self, exchange: ExchangeId) -> Result<(), String> {
        let Some(link) = self.links.get(&exchange).filter(|link| link.is_open_at_client) else {
            return Ok(());
        };
        let has_head = link.has_head;
        let failure = match link.fault {
            Fault::Untrusted => ExchangeFailure::Permanent { reason: "not trusted".into() },
            Fault::Unsent => ExchangeFailure::Unreachable,
            Fault::None | Fault::BeforeRequest | Fault::AfterItems(_) => {
                ExchangeFailure::ConnectionLost
            }
        };
        self.close_at_client(exchange);
        self.feed(if has_head {
            Input::Ended { exchange }
        } else {
            Input::Failed { exchange, failure }
        })
    }

    /// Returns a delay in which the client notices a restart.
    pub(super) fn restart_delay(&mut self) -> Duration {
        self.rng.millis(0, 500)
    }
}
