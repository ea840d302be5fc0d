//! The driver of a session: inputs, and the actions that follow.

use rejoin_core::cluster::Tenure;
use rejoin_core::{
    ANSWER_INDEX, Action, Actions, Answer, Change, ClientFault, ConnectionId, Entry as LogEntry,
    Event as SseEvent, EventId, Input, Post, Rejection, Session, SessionCloseReason,
};

use super::agenda::{Event, NodeEvent, Status};
use super::exchange::{Call, End, Item, Kind};
use super::faults::Bug;
use super::names::{ExchangeNo, NodeNo, SessionNo};
use super::owned::Owned;
use super::store::STORE_TTL;
use super::{Checked, Cluster};

/// Time that `initialize` and DELETE wait for the store, in milliseconds.
const STORE_MILLIS: u64 = 1_000;

/// Bytes of a record besides its event.
const RECORD_BYTES: usize = 60;

impl Cluster {
    /// Opens a session for a client.
    pub(super) fn open(&mut self, no: NodeNo, exchange_no: ExchangeNo) -> Checked {
        let now = self.time_at(no);
        let session = self.next_number();
        let config = self.config.clone();
        let Some(node) = self.nodes.get_mut(no) else { return Ok(()) };
        let mut owned = Owned::new(Session::new(config, now), now.saturating_add(STORE_TTL / 2));
        owned.confirmed_lapses = node.lapses;
        owned.initializing = Some(exchange_no);
        node.sessions.insert(session, owned);
        if let Some(exchange) = self.exchanges.get_mut(&exchange_no) {
            exchange.session = Some(session);
            exchange.is_held = true;
        }
        self.open_backend(no, session);
        self.coverage.hit("sessions: opened");
        self.note(|| format!("node {no} opens session {session}"));
        self.serve(no, session, exchange_no)
    }

    /// Serves a request at the owner of its session.
    pub(super) fn serve(
        &mut self,
        no: NodeNo,
        session: SessionNo,
        exchange_no: ExchangeNo,
    ) -> Checked {
        let Some(owned) = self.nodes.get_mut(no).and_then(|node| node.sessions.get_mut(&session))
        else {
            return self.look_up(no, session, exchange_no, self.time_at(no));
        };
        let Some(exchange) = self.exchanges.get_mut(&exchange_no).filter(|it| !it.is_broken) else {
            return Ok(());
        };
        let Some(call) = exchange.call.take() else { return Ok(()) };
        let connection = ConnectionId(owned.next_connection);
        owned.next_connection += 1;
        if exchange.kind == Kind::Request && owned.backend.is_none() && !owned.is_closed {
            return self.respond(no, exchange_no, Status::NotFound);
        }
        exchange.owner = Some((no, connection));
        let opens = matches!(exchange.kind, Kind::Initialize | Kind::Request | Kind::Get);
        if opens {
            exchange.is_open_at_owner = true;
            owned.exchanges.insert(connection, exchange_no);
        }
        let format = rejoin_core::AnswerFormat::Sse;
        let (input, resumed) = match call {
            Call::Initialize(message) => {
                let post = Post::Single(message);
                (Input::Post { connection, format, post }, None)
            }
            Call::Post { format, post } => (Input::Post { connection, format, post }, None),
            Call::Get { last_event_id } => {
                (Input::Get { connection, last_event_id }, last_event_id)
            }
            Call::Delete => (Input::Delete, None),
        };
        let kind = exchange.kind;
        self.note(|| {
            format!("node {no} serves exchange {exchange_no} ({kind:?}, {resumed:?}) of {session}")
        });
        let result = self.handle(no, session, input)?;
        match (result, kind) {
            (Ok(()), Kind::Initialize) => {
                self.after(STORE_MILLIS, Event::Node(no, NodeEvent::Waited(exchange_no)));
            }
            (Ok(()), Kind::Request) => self.wake_body(exchange_no),
            (Ok(()), Kind::Get) => {
                self.send_status(no, exchange_no, Status::Stream);
                self.wake_body(exchange_no);
            }
            (Ok(()), Kind::Message) => self.send_status(no, exchange_no, Status::Accepted),
            (Ok(()), Kind::Delete) => {
                if self.has(Bug::DeletesUnclosed) {
                    self.send_status(no, exchange_no, Status::Deleted);
                } else if let Some(owned) = self.owned(no, session) {
                    owned.deleting.push(exchange_no);
                    self.after(STORE_MILLIS, Event::Node(no, NodeEvent::Waited(exchange_no)));
                }
            }
            (Err(rejection), _) => {
                if let Some(owned) = self.owned(no, session) {
                    owned.exchanges.remove(&connection);
                }
                if let Some(exchange) = self.exchanges.get_mut(&exchange_no) {
                    exchange.is_open_at_owner = false;
                }
                let status = status_of(&rejection, resumed)?;
                self.respond(no, exchange_no, status)?;
            }
        }
        Ok(())
    }

    /// Passes an input to a session, and carries out its actions.
    pub(super) fn handle(
        &mut self,
        no: NodeNo,
        session: SessionNo,
        input: Input<u64>,
    ) -> Result<Result<(), Rejection>, String> {
        let now = self.time_at(no);
        let Some(owned) = self.owned(no, session) else {
            return Ok(Err(Rejection::Closed(SessionCloseReason::Cancelled)));
        };
        let mut actions = Actions::new();
        let result = owned.session.handle(now, input, &mut actions);
        let result = result.map_err(|rejected| rejected.reason);
        let actions: Vec<Action<u64>> = actions.drain().collect();
        let mut bytes = 0;
        for action in actions {
            bytes += self.carry_out(no, session, action)?;
        }
        if bytes > 0 {
            if self.has(Bug::SendsBeforeCommit)
                && let Some(through) = self.owned(no, session).map(|owned| owned.recorded)
            {
                let _ = self.handle(no, session, Input::Committed { through })?;
            }
            self.on_records(no, session, bytes)?;
        }
        self.close_if_vacant(no, session)?;
        Ok(result)
    }

    /// Closes a session without a backend, of which nothing is left that its client can get.
    fn close_if_vacant(&mut self, no: NodeNo, session: SessionNo) -> Checked {
        let Some(owned) = self.owned(no, session) else { return Ok(()) };
        let is_over = owned.backend.is_none() && owned.session.is_vacant();
        if is_over && owned.tenure.is_some() && !owned.is_closed {
            let reason = SessionCloseReason::BackendGone;
            self.handle(no, session, Input::CloseSession { reason })?
                .map_err(|it| it.to_string())?;
        }
        Ok(())
    }

    /// Carries out an action. Returns how many bytes of records wait more.
    fn carry_out(
        &mut self,
        no: NodeNo,
        session: SessionNo,
        action: Action<u64>,
    ) -> Result<usize, String> {
        match action {
            Action::Forward { message } => {
                self.laws.runs_once.check_forwarded(message)?;
                self.deliver_to_backend(no, session, message);
            }
            Action::Send { connection, id, event } => {
                self.laws.committed.check_sent(session, Some(id), &event)?;
                self.laws.one_event.check_sent(session, id, &event)?;
                let item = Item { id: Some(id), index: id.index, event };
                self.push(no, session, connection, item);
            }
            Action::Respond { connection, answer } => {
                let event = match answer {
                    Answer::Message(body) => SseEvent::Message(body),
                    Answer::Failure(failure) => SseEvent::Failure(failure),
                };
                let is_held = self
                    .owned(no, session)
                    .is_some_and(|owned| owned.tenure.is_none() && owned.initializing.is_some());
                let item = Item { id: None, index: ANSWER_INDEX, event };
                if is_held {
                    self.push(no, session, connection, item);
                    self.begin_tenure(no, session)?;
                } else {
                    self.laws.committed.check_sent(session, None, &item.event)?;
                    self.push(no, session, connection, item);
                }
            }
            Action::Close { connection, .. } => self.end(no, session, connection, End::Closed),
            Action::Cut { connection, .. } => {
                self.discard(no, session, connection);
                self.end(no, session, connection, End::Broken);
            }
            Action::Discard { connection } => self.discard(no, session, connection),
            Action::FailServerRequest { id, .. } => self.end_server_request(no, session, &id),
            Action::CancelRequest { id } => self.cancel_task(no, session, &id),
            Action::SessionClosed { reason, .. } => self.on_closed(no, session, reason)?,
            Action::Commit(record) => {
                self.laws.in_order.on_recorded(session, &record);
                let Some(owned) = self.owned(no, session) else { return Ok(0) };
                let event =
                    if let Change::Logged { entry: LogEntry::Message { bytes, .. }, .. } =
                        &record.change
                    {
                        *bytes
                    } else {
                        0
                    };
                let bytes = RECORD_BYTES + event;
                owned.recorded = record.sequence;
                owned.pending.push(*record);
                owned.pending_bytes += bytes;
                owned.largest_record = owned.largest_record.max(bytes);
                return Ok(bytes);
            }
            Action::Hold { .. } | Action::Release { .. } | Action::Report(_) => {}
        }
        Ok(0)
    }

    fn begin_tenure(&mut self, no: NodeNo, session: SessionNo) -> Checked {
        let Some(owned) = self.owned(no, session) else { return Ok(()) };
        let (tenure, actions) = Tenure::begin();
        owned.tenure = Some(tenure);
        // Nothing can be written while the store is away.
        let is_connected = self.nodes.get(no).is_some_and(|node| node.connection.is_some());
        if !is_connected {
            self.change_tenure(no, session, |tenure| {
                tenure.on_disconnect();
                rejoin_core::cluster::TenureActions::new()
            })?;
        }
        self.act_on_tenure(no, session, &actions)
    }

    fn on_closed(&mut self, no: NodeNo, session: SessionNo, reason: SessionCloseReason) -> Checked {
        self.laws.fates.of(session).is_closed = true;
        self.note(|| format!("session {session} closes at node {no}: {reason:?}"));
        let deletes_unclosed =
            self.has(Bug::DeletesUnclosed) && reason == SessionCloseReason::Deleted;
        let Some(owned) = self.owned(no, session) else { return Ok(()) };
        owned.is_closed = true;
        let (backend, has_tenure) = (owned.backend.take(), owned.tenure.is_some());
        if let Some(backend) = backend {
            self.backends.remove(&backend);
        }
        if !has_tenure || deletes_unclosed {
            self.forget_session(no, session);
            return Ok(());
        }
        self.change_tenure(no, session, |tenure| tenure.end(true))
    }

    fn exchange_of(
        &mut self,
        no: NodeNo,
        session: SessionNo,
        connection: ConnectionId,
    ) -> Option<ExchangeNo> {
        self.owned(no, session)?.exchanges.get(&connection).copied()
    }

    fn push(&mut self, no: NodeNo, session: SessionNo, connection: ConnectionId, item: Item) {
        let Some(exchange_no) = self.exchange_of(no, session, connection) else { return };
        if let Some(exchange) = self.exchanges.get_mut(&exchange_no) {
            exchange.buffer.push_back(item);
        }
        self.wake_body(exchange_no);
    }

    fn end(&mut self, no: NodeNo, session: SessionNo, connection: ConnectionId, end: End) {
        let Some(exchange_no) = self.exchange_of(no, session, connection) else { return };
        if let Some(exchange) = self.exchanges.get_mut(&exchange_no) {
            exchange.end = Some(end);
        }
        self.wake_body(exchange_no);
    }

    fn discard(&mut self, no: NodeNo, session: SessionNo, connection: ConnectionId) {
        let exchange_no = self.exchange_of(no, session, connection);
        let exchange = exchange_no.and_then(|exchange_no| self.exchanges.get_mut(&exchange_no));
        if let Some(exchange) = exchange {
            exchange.buffer.clear();
        }
    }
}

/// Returns the status of a rejected request, which may have resumed after an event.
fn status_of(rejection: &Rejection, resumed: Option<EventId>) -> Result<Status, String> {
    Ok(match (rejection, resumed) {
        (Rejection::Closed(_), _) => Status::NotFound,
        (
            Rejection::Client(ClientFault::ExpiredStream(_) | ClientFault::CancelledStream(_)),
            Some(id),
        ) => Status::Expired(id),
        (
            Rejection::Client(ClientFault::FutureEvent { .. } | ClientFault::UnknownStream(_)),
            Some(id),
        ) => Status::Unknown(id),
        (Rejection::Client(_), _) => Status::Rejected,
        (Rejection::Draining, _) => Status::Unavailable,
        (Rejection::Backend(_) | Rejection::ApiMisuse(_) | Rejection::Full, _) => {
            return Err(format!("a request of a client was rejected: {rejection}"));
        }
    })
}
