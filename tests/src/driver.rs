//! A session that checks its driver.
//!
//! [`CheckedSession`] replaces [`Session`] in the tests of a driver. Give the driver a type
//! parameter or an alias for its session, run any scenario, call
//! [`received`](CheckedSession::received) for what each client got, and get all faults from
//! [`finish`](CheckedSession::finish). The example `check_driver` has a driver with
//! mistakes that are found.

use std::{
    cell::Cell,
    collections::{BTreeMap, VecDeque},
    fmt,
    time::Duration,
};

use rejoin_core::{
    ANSWER_INDEX, Action, Actions, ConnectionId, Input, Instant, Rejected, Session,
    SessionCloseReason, ValidConfig,
};

use crate::laws::{Checker, ObservedSession, Violation};

/// A fault of the session or of its driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The session broke a law.
    Session(Violation),
    /// The driver made a mistake.
    Driver(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Session(violation) => violation.fmt(f),
            Self::Driver(mistake) => write!(f, "driver: {mistake}"),
        }
    }
}

/// A session that checks every call against the laws, and the driver that makes it.
///
/// It records what the checks need, without a limit, so it is for tests only.
#[derive(Debug)]
pub struct CheckedSession<M> {
    session: Session<M>,
    laws: LawCheck,
    now: Instant,
    /// How late the driver may be at a deadline.
    lateness: Duration,
    connections: BTreeMap<ConnectionId, Delivery>,
    faults: Vec<Fault>,
}

/// The events of a connection.
#[derive(Clone, Debug, Default)]
struct Delivery {
    /// The indexes that its client has not received yet, in order.
    expected: VecDeque<u64>,
    /// The highest index that was sent.
    sent: u64,
    /// The highest acknowledged index: the event is on its way to the client.
    acknowledged: u64,
    is_closing: bool,
    is_reported: bool,
}

impl<M: Clone> CheckedSession<M> {
    /// Creates a session whose driver may be late by `lateness` at deadlines.
    #[must_use]
    pub fn new(config: ValidConfig, now: Instant, lateness: Duration) -> Self {
        Self {
            laws: LawCheck::new(&config, now),
            session: Session::new(config, now),
            now,
            lateness,
            connections: BTreeMap::new(),
            faults: Vec::new(),
        }
    }

    /// Same as [`Session::handle`].
    ///
    /// # Errors
    ///
    /// The session rejected the input.
    pub fn handle(
        &mut self,
        now: Instant,
        input: Input<M>,
        out: &mut Actions<M>,
    ) -> Result<(), Box<Rejected<M>>> {
        let known = opened_connection(&input).map(|id| (id, self.connections.get(&id).cloned()));
        self.check_call(now, &input);
        let violation = self.laws.check(now, &input);
        self.faults.extend(violation.map(Fault::Session));
        let before = out.len();
        let result = self.session.handle(now, input, out);
        if let (Err(_), Some((connection, known))) = (&result, known) {
            match known {
                Some(known) => self.connections.insert(connection, known),
                None => self.connections.remove(&connection),
            };
        }
        for action in out.iter().skip(before) {
            self.follow(action);
        }
        result
    }

    /// Same as [`Session::deadline`].
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.session.deadline()
    }

    /// Same as [`Session::close_reason`].
    #[must_use]
    pub fn close_reason(&self) -> Option<SessionCloseReason> {
        self.session.close_reason()
    }

    /// Reports that a client received the event with this index on a connection.
    pub fn received(&mut self, connection: ConnectionId, index: u64) {
        let delivery = self.connections.entry(connection).or_default();
        match delivery.expected.pop_front() {
            Some(next) if next == index => {}
            Some(next) => {
                self.report(format!(
                    "connection {connection} received event {index} before event {next}"
                ));
            }
            None => self.report(format!(
                "connection {connection} received event {index}, which was not sent"
            )),
        }
    }

    /// Finishes the check at `now`, and returns all faults.
    #[must_use]
    pub fn finish(mut self, now: Instant) -> Vec<Fault> {
        self.check_time(now);
        if self.close_reason().is_none() {
            let is_unreported = |delivery: &Delivery| delivery.is_closing && !delivery.is_reported;
            let unreported =
                self.connections.iter().filter(|(_, delivery)| is_unreported(delivery));
            let unreported: Vec<_> = unreported.map(|(id, _)| *id).collect();
            for id in unreported {
                self.report(format!(
                    "connection {id} was closed by the session, but `Input::ConnectionClosed` never came"
                ));
            }
        }
        self.faults
    }

    fn check_call(&mut self, now: Instant, input: &Input<M>) {
        self.check_time(now);
        match input {
            Input::Post { connection, post, .. } => {
                if post.has_request() {
                    self.open_connection(*connection);
                }
            }
            Input::Get { connection, .. } => self.open_connection(*connection),
            Input::Acknowledged { connection, through } => {
                self.check_acknowledged(*connection, Some(*through));
            }
            Input::ConnectionClosed { connection, through } => {
                self.check_acknowledged(*connection, *through);
                let delivery = self.connections.entry(*connection).or_default();
                if std::mem::replace(&mut delivery.is_reported, true) {
                    self.report(format!("connection {connection} was reported as closed twice"));
                }
            }
            Input::Abandon { .. }
            | Input::Delete
            | Input::CloseSession { .. }
            | Input::BackendMessage { .. }
            | Input::Disconnect { .. }
            | Input::BackendGone
            | Input::BackendLost
            | Input::Committed { .. }
            | Input::LimitBytes { .. }
            | Input::Drain { .. }
            | Input::Tick => {}
        }
    }

    fn check_time(&mut self, now: Instant) {
        if now < self.now {
            self.report(format!("time went back from {:?} to {now:?}", self.now));
        }
        self.now = self.now.max(now);
        if let Some(deadline) = self.deadline()
            && now > deadline.saturating_add(self.lateness)
        {
            let late = now.since(deadline);
            self.report(format!("no tick at the deadline, {late:?} before {now:?}"));
        }
    }

    fn check_acknowledged(&mut self, connection: ConnectionId, through: Option<u64>) {
        let delivery = self.connections.get_mut(&connection);
        let sent = delivery.map(|delivery| {
            delivery.acknowledged = delivery.acknowledged.max(through.unwrap_or(0));
            delivery.sent
        });
        match (sent, through) {
            (None, _) => self.report(format!("connection {connection} was never opened")),
            (Some(sent), Some(through)) if through > sent => {
                self.report(format!(
                    "connection {connection} acknowledged event {through}, but was sent only {sent}"
                ));
            }
            (Some(_), _) => {}
        }
    }

    fn open_connection(&mut self, connection: ConnectionId) {
        if self.connections.insert(connection, Delivery::default()).is_some() {
            self.report(format!("connection id {connection} is reused"));
        }
    }

    fn follow(&mut self, action: &Action<M>) {
        match action {
            Action::Send { connection, id, .. } => self.expect(*connection, id.index),
            Action::Respond { connection, .. } => self.expect(*connection, ANSWER_INDEX),
            Action::Discard { connection } => {
                self.connections.entry(*connection).or_default().discard();
            }
            Action::Close { connection, .. } => {
                self.connections.entry(*connection).or_default().is_closing = true;
            }
            Action::Cut { connection, .. } => {
                let delivery = self.connections.entry(*connection).or_default();
                delivery.is_closing = false;
                delivery.discard();
            }
            Action::Forward { .. }
            | Action::FailServerRequest { .. }
            | Action::CancelRequest { .. }
            | Action::Hold { .. }
            | Action::Release { .. }
            | Action::SessionClosed { .. }
            | Action::Commit(_)
            | Action::Report(_) => {}
        }
    }

    /// Notes that an event was sent.
    fn expect(&mut self, connection: ConnectionId, index: u64) {
        let delivery = self.connections.entry(connection).or_default();
        delivery.expected.push_back(index);
        delivery.sent = delivery.sent.max(index);
    }

    fn report(&mut self, text: String) {
        self.faults.push(Fault::Driver(text));
    }
}

impl Delivery {
    /// Drops the events that the body has not pulled.
    fn discard(&mut self) {
        self.expected.retain(|index| *index <= self.acknowledged);
    }
}

/// Returns the connection that an input opens.
fn opened_connection<M>(input: &Input<M>) -> Option<ConnectionId> {
    match input {
        Input::Get { connection, .. } => Some(*connection),
        Input::Post { connection, post, .. } => post.has_request().then_some(*connection),
        Input::Acknowledged { .. }
        | Input::ConnectionClosed { .. }
        | Input::Abandon { .. }
        | Input::Delete
        | Input::CloseSession { .. }
        | Input::BackendMessage { .. }
        | Input::Disconnect { .. }
        | Input::BackendGone
        | Input::BackendLost
        | Input::Committed { .. }
        | Input::LimitBytes { .. }
        | Input::Drain { .. }
        | Input::Tick => None,
    }
}

/// The laws, checked on a copy of the session, and its twin, whose bodies are numbers.
#[derive(Debug)]
struct LawCheck {
    session: ObservedSession,
    twin: ObservedSession,
    /// `None` once a law was broken: later steps cannot be checked.
    checker: Option<Checker>,
    bodies: Cell<u64>,
}

impl LawCheck {
    fn new(config: &ValidConfig, now: Instant) -> Self {
        let new_session = || ObservedSession::new(Session::new(config.clone(), now), now);
        let mut session = new_session();
        let checker = Checker::new((**config).clone(), now, session.view());
        Self { session, twin: new_session(), checker: Some(checker), bodies: Cell::default() }
    }

    fn check<M: Clone>(&mut self, now: Instant, input: &Input<M>) -> Option<Violation> {
        let number = || self.bodies.replace(self.bodies.get() + 1);
        let input = input.map(|_, _| number(), |_, _| number());
        let step = self.session.step(now, input.clone());
        let for_twin = if step.is_applied() { input } else { Input::Tick };
        let twin = self.twin.step(now, for_twin);
        let result = self.checker.as_mut()?.check(&step, &twin);
        if result.is_err() {
            self.checker = None;
        }
        result.err()
    }
}

#[cfg(test)]
mod tests {
    use rejoin_core::{
        AnswerFormat, Config, EventId, Head, Message, Method, Notification, Overflow, Post,
        StreamId,
    };

    use super::*;

    fn request(connection: u64, id: i64, method: Method) -> Input<u64> {
        let head = Head::Request { id: id.into(), method, progress_token: None };
        let post = Post::Single(Message { head, body: 0, bytes: 10 });
        Input::Post { connection: ConnectionId(connection), format: AnswerFormat::Sse, post }
    }

    fn backend(head: Head) -> Input<u64> {
        Input::BackendMessage {
            message: Message { head, body: 0, bytes: 10 },
            related: None,
            overflow: Overflow::Hold,
        }
    }

    /// Returns an initialized session whose driver has made no mistake.
    fn initialized() -> CheckedSession<u64> {
        let config = Config::default().validate().unwrap();
        let mut session = CheckedSession::new(config, Instant::EPOCH, Duration::ZERO);
        let response = rejoin_core::Initialized { version: None, logging: false };
        let response = Head::Response { id: 0.into(), initialized: response, creates_task: false };
        for input in [request(0, 0, Method::Initialize { version: None }), backend(response)] {
            handle(&mut session, input);
        }
        session.received(ConnectionId(0), 1);
        handle(
            &mut session,
            Input::ConnectionClosed { connection: ConnectionId(0), through: Some(1) },
        );
        session
    }

    fn handle(session: &mut CheckedSession<u64>, input: Input<u64>) {
        let _ = session.handle(Instant::EPOCH, input, &mut Actions::new());
    }

    fn get(connection: u64, last_event_id: Option<EventId>) -> Input<u64> {
        Input::Get { connection: ConnectionId(connection), last_event_id }
    }

    #[test]
    fn events_pulled_before_a_discard_may_still_be_received() {
        let mut session = initialized();
        handle(&mut session, get(1, None));
        for _ in 0..2 {
            handle(&mut session, backend(Head::Notification(Notification::Other)));
        }
        handle(&mut session, Input::Acknowledged { connection: ConnectionId(1), through: 1 });
        handle(&mut session, get(2, Some(EventId::new(StreamId::Standalone, 0))));
        session.received(ConnectionId(1), 1);
        session.received(ConnectionId(2), 1);
        session.received(ConnectionId(2), 2);
        assert_eq!(session.finish(Instant::EPOCH), []);
    }
}
