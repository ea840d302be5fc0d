//! Servers: sessions that are checked against the laws, and their backends.

#![expect(clippy::indexing_slicing, reason = "servers are never removed")]

use std::time::Duration;

use rejoin_core::client::ExchangeId;
use rejoin_core::{
    ANSWER_INDEX, Action, AnswerFormat, ClientFault, ConnectionId, Head, Initialized, Input,
    Message, Method, Notification, Overflow, Post, Rejection, RequestId,
};

use super::link::{HttpRequest, Item};
use super::world::{Event, World};
use crate::kit::Rng;
use crate::laws::event_of;
use crate::simulation::backend::Backend;
use crate::simulation::invalid_input::CONNECTION;
use crate::simulation::server::Server;

/// A server, and what has become of its session.
pub(super) struct AppServer {
    pub(super) server: Server,
    pub(super) is_lost: bool,
    pub(super) is_draining: bool,
    pub(super) next_server_request: i64,
}

/// The result of an input, and its actions.
type Stepped = (Result<(), Rejection>, Vec<Action<u64>>);

impl AppServer {
    /// Returns whether its session is open.
    pub(super) fn is_open(&self) -> bool {
        self.server.view.closed.is_none()
    }
}

impl World {
    /// Handles that the request of an exchange arrives.
    pub(super) fn arrive(&mut self, exchange: ExchangeId) -> Result<(), String> {
        if let Some(status) = self.refusal(exchange) {
            self.respond(exchange, status);
            return Ok(());
        }
        let Some(link) = self.links.get(&exchange) else { return Ok(()) };
        match link.request.clone() {
            HttpRequest::Post { session, message } => self.arrive_post(exchange, session, message),
            HttpRequest::Get { session, last_event_id } => {
                let Some(no) = self.known(session) else {
                    self.respond(exchange, 404);
                    return Ok(());
                };
                let connection = self.connect(exchange, no);
                let input = Input::Get { connection, last_event_id };
                self.respond_to(exchange, no, input, 200)
            }
            HttpRequest::Delete { session } => {
                let Some(no) = self.known(session) else {
                    self.respond(exchange, 404);
                    return Ok(());
                };
                // It may be closed already.
                let _ = self.session_input(no, Input::Delete)?;
                self.respond(exchange, 204);
                Ok(())
            }
        }
    }

    fn arrive_post(
        &mut self,
        exchange: ExchangeId,
        session: Option<usize>,
        message: Message<u64>,
    ) -> Result<(), String> {
        let is_initialize =
            matches!(message.head, Head::Request { method: Method::Initialize { .. }, .. });
        let is_request = message.head.is_request();
        let post = Post::Single(message);
        if is_initialize {
            let no = self.add_server()?;
            let connection = self.connect(exchange, no);
            let input = Input::Post { connection, format: AnswerFormat::Sse, post };
            return self.respond_to(exchange, no, input, 200);
        }
        let Some(no) = self.known(session) else {
            self.respond(exchange, 404);
            return Ok(());
        };
        if !is_request {
            let input = Input::Post { connection: CONNECTION, format: AnswerFormat::Sse, post };
            return self.respond_to(exchange, no, input, 202);
        }
        let connection = self.connect(exchange, no);
        let is_json = self.rng.chance(150);
        let format = if is_json { AnswerFormat::Json } else { AnswerFormat::Sse };
        self.respond_to(exchange, no, Input::Post { connection, format, post }, 200)
    }

    fn known(&self, session: Option<usize>) -> Option<usize> {
        session.filter(|no| self.servers.get(*no).is_some_and(|server| !server.is_lost))
    }

    fn connect(&mut self, exchange: ExchangeId, no: usize) -> ConnectionId {
        let connection = self.servers[no].server.connect(exchange.0);
        if let Some(link) = self.links.get_mut(&exchange) {
            link.server = Some(no);
            link.connection = Some(connection);
        }
        connection
    }

    fn add_server(&mut self) -> Result<usize, String> {
        let nth = u64::try_from(self.servers.len()).unwrap_or(0);
        let seed = self.parameters.seed;
        let config = self.parameters.config.clone().validate().map_err(|it| it.to_string())?;
        let rngs = (Rng::new(seed, 8, nth), Rng::new(seed, 9, nth));
        let server = Server::new(config, self.now, rngs, Backend::new(Rng::new(seed, 10, nth)));
        let (is_lost, is_draining) = (false, false);
        self.servers.push(AppServer { server, is_lost, is_draining, next_server_request: 0 });
        let no = self.servers.len() - 1;
        self.arm(no);
        Ok(no)
    }

    /// Sends the head of a response without a body.
    fn respond(&mut self, exchange: ExchangeId, status: u16) {
        let retry_after = self.retry_after(status);
        self.push_item(exchange, Item::Head { status, session: None, retry_after });
        self.push_item(exchange, Item::End);
    }

    /// Passes an input to a session, and sends the head of the response.
    fn respond_to(
        &mut self,
        exchange: ExchangeId,
        no: usize,
        input: Input<u64>,
        success: u16,
    ) -> Result<(), String> {
        // The head comes first, whatever the session sends within the step.
        let (result, actions) = self.step(no, input)?;
        match result {
            Ok(()) => {
                let (status, session) = (success, Some(no));
                self.push_item(exchange, Item::Head { status, session, retry_after: None });
                if success == 202 {
                    self.push_item(exchange, Item::End);
                } else if let Some(link) = self.links.get_mut(&exchange) {
                    link.is_open_at_server = true;
                }
            }
            Err(rejection) => {
                if rejection == Rejection::Draining {
                    self.coverage.hit("refused: draining");
                }
                self.respond(exchange, status_of(&rejection));
            }
        }
        self.apply(no, actions)?;
        let is_gone = self.links.get(&exchange).is_some_and(|link| !link.is_open_at_client);
        if is_gone { self.noticed(exchange) } else { Ok(()) }
    }

    /// Passes an input to a session, and carries out its actions.
    pub(super) fn session_input(
        &mut self,
        no: usize,
        input: Input<u64>,
    ) -> Result<Result<(), Rejection>, String> {
        if self.servers[no].is_lost {
            return Ok(Ok(()));
        }
        let (result, actions) = self.step(no, input)?;
        self.apply(no, actions)?;
        Ok(result)
    }

    fn step(&mut self, no: usize, input: Input<u64>) -> Result<Stepped, String> {
        self.note(&format_args!("session {no} <- {input:?}"));
        let was_open = self.servers[no].is_open();
        self.servers[no].is_draining |= matches!(input, Input::Drain { .. });
        let (step, _) = self.servers[no].server.step(self.now, input, &mut self.coverage)?;
        if was_open && !self.servers[no].is_open() {
            self.coverage.hit("sessions: closed");
        }
        self.arm(no);
        Ok((step.result, step.actions))
    }

    fn arm(&mut self, no: usize) {
        let server = &mut self.servers[no].server;
        if let Some(deadline) = server.view.deadline
            && server.timer.is_none_or(|timer| deadline < timer || timer <= self.now)
        {
            server.timer = Some(deadline);
            self.schedule_at(deadline, Event::SessionTick(no));
        }
    }

    fn apply(&mut self, no: usize, actions: Vec<Action<u64>>) -> Result<(), String> {
        let mut reports = Vec::new();
        for action in actions {
            match action {
                Action::Forward { message } => self.execute(no, message)?,
                Action::Send { connection, id, event } => {
                    self.send(no, connection, Item::Event { id: Some(id), event });
                    reports.push(Input::Acknowledged { connection, through: id.index });
                }
                Action::Respond { connection, answer } => {
                    let event = event_of(&answer);
                    self.send(no, connection, Item::Event { id: None, event });
                    reports.push(Input::Acknowledged { connection, through: ANSWER_INDEX });
                }
                Action::Close { connection, .. } => {
                    self.end_at_server(no, connection);
                    reports.push(Input::ConnectionClosed { connection, through: None });
                }
                Action::Cut { connection, .. } => self.end_at_server(no, connection),
                Action::FailServerRequest { id, .. } => {
                    self.servers[no].server.backend.server_requests.remove(&id);
                }
                Action::SessionClosed { .. } => {
                    self.servers[no].server.backend.server_requests.clear();
                }
                Action::CancelRequest { .. }
                | Action::Discard { .. }
                | Action::Hold { .. }
                | Action::Release { .. }
                | Action::Commit(_)
                | Action::Report(_) => {}
            }
        }
        for input in reports {
            self.session_input(no, input)?.map_err(|rejection| rejection.to_string())?;
        }
        Ok(())
    }

    fn send(&mut self, no: usize, connection: ConnectionId, item: Item) {
        if let Some(exchange) = self.servers[no].server.links.get(&connection).copied() {
            self.push_item(ExchangeId(exchange), item);
        }
    }

    fn end_at_server(&mut self, no: usize, connection: ConnectionId) {
        if let Some(exchange) = self.servers[no].server.links.remove(&connection) {
            let exchange = ExchangeId(exchange);
            if let Some(link) = self.links.get_mut(&exchange) {
                link.is_open_at_server = false;
            }
            self.push_item(exchange, Item::End);
        }
    }

    /// Handles that the server notices that a link has broken.
    pub(super) fn noticed(&mut self, exchange: ExchangeId) -> Result<(), String> {
        let Some(link) = self.links.get_mut(&exchange) else { return Ok(()) };
        let was_open = std::mem::take(&mut link.is_open_at_server);
        if let (Some(no), Some(connection), true) = (link.server, link.connection, was_open) {
            self.servers[no].server.links.remove(&connection);
            let input = Input::ConnectionClosed { connection, through: None };
            self.session_input(no, input)?.map_err(|rejection| rejection.to_string())?;
        }
        Ok(())
    }

    /// Handles a message that reaches a backend.
    fn execute(&mut self, no: usize, body: u64) -> Result<(), String> {
        let sent = self.messages.get(body).cloned().ok_or("an unknown message")?;
        let is_initialize =
            matches!(sent.head, Head::Request { method: Method::Initialize { .. }, .. });
        let count = self.executed.entry(body).or_default();
        *count += 1;
        // The machine repeats `initialize`, in other sessions.
        if *count > 1 && !is_initialize {
            return Err(format!("message {body} was executed {count} times"));
        }
        match sent.head {
            Head::Request { id, .. } if is_initialize => {
                let version = self.servers[no].server.version;
                let initialized = Initialized { version, logging: true };
                let head = Head::Response { id, initialized, creates_task: false };
                let message = self.messages.create(no, head, 100);
                let delay = self.rng.millis(0, 100);
                self.schedule(delay, Event::Backend(no, message, None));
            }
            Head::Request { id, .. } => self.plan(no, &id),
            Head::Response { id, .. } | Head::Error { id: Some(id) } => {
                self.servers[no].server.backend.server_requests.remove(&id);
            }
            Head::Notification(_) | Head::Error { id: None } => {}
        }
        Ok(())
    }

    /// Plans what a backend sends for a request.
    fn plan(&mut self, no: usize, id: &RequestId) {
        let mut delay = Duration::ZERO;
        if self.rng.chance(100) {
            let choices = [None, Some(0), Some(10), Some(1_000), Some(5_000)];
            let retry = self.rng.choose(&choices).flatten().map(Duration::from_millis);
            let delay = self.rng.millis(0, 4_000);
            self.schedule(delay, Event::Disconnect(no, id.clone(), retry));
        }
        for _ in 0..self.rng.below(5) {
            delay += self.rng.millis(0, 1_500);
            let related = self.rng.chance(800).then(|| id.clone());
            let head = if self.rng.chance(150) {
                let server = &mut self.servers[no];
                server.next_server_request += 1;
                let id = RequestId::from(server.next_server_request);
                Head::Request { id, method: Method::Other, progress_token: None }
            } else {
                Head::Notification(Notification::Other)
            };
            let message = self.messages.create(no, head, 100);
            self.schedule(delay, Event::Backend(no, message, related));
        }
        delay += self.rng.millis(0, 2_000);
        let initialized = Initialized::default();
        let head = Head::Response { id: id.clone(), initialized, creates_task: false };
        let message = self.messages.create(no, head, 100);
        self.schedule(delay, Event::Backend(no, message, None));
    }

    pub(super) fn backend_sends(
        &mut self,
        no: usize,
        message: Message<u64>,
        related: Option<RequestId>,
    ) -> Result<(), String> {
        let server = &mut self.servers[no];
        if server.is_lost || !server.is_open() {
            return Ok(());
        }
        if let Head::Request { id, .. } = &message.head {
            server.server.backend.server_requests.insert(id.clone());
        }
        let input = Input::BackendMessage { message, related, overflow: Overflow::Evict };
        // It may be too late.
        self.session_input(no, input).map(drop)
    }
}

/// Returns the status of a rejection.
fn status_of(rejection: &Rejection) -> u16 {
    match rejection {
        Rejection::Draining => 503,
        Rejection::Closed(_) => 404,
        Rejection::Client(ClientFault::StandaloneConflict) => 409,
        Rejection::Client(
            ClientFault::TooManyRequests { .. }
            | ClientFault::TooManyCancelled { .. }
            | ClientFault::TooManyStreams { .. }
            | ClientFault::TooManyConnections { .. },
        ) => 429,
        Rejection::Client(ClientFault::CancelledStream(_)) => 204,
        Rejection::Client(_)
        | Rejection::Backend(_)
        | Rejection::ApiMisuse(_)
        | Rejection::Full => 400,
    }
}
