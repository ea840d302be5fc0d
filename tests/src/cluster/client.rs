//! Clients: initialize a session, and make requests until all of them have settled.

use std::collections::BTreeSet;

use rejoin_core::{AnswerFormat, Head, Message, Method, Notification, Post, ProgressToken};

use super::agenda::{Event, NodeEvent, Status};
use super::exchange::{Call, Exchange, Kind};
use super::faults::ClusterFault;
use super::names::{ClientNo, ExchangeNo, ReaderNo, Serial, SessionNo};
use super::parameters::ClusterParameters;
use super::reader::Reader;
use super::{Checked, Cluster};
use crate::kit::{Rng, request_id};

/// The range of serial numbers that each client has.
const SERIALS: u64 = 1_000_000;

/// Time that a client waits for the status of a response, in milliseconds.
const STATUS_MILLIS: u64 = 15_000;

/// Time that a client waits for the response to a request, in milliseconds.
const REQUEST_MILLIS: u64 = 120_000;

/// A client.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) rng: Rng,
    pub(super) session: Option<SessionNo>,
    /// The exchange of `initialize`, until it has settled.
    pub(super) initializing: Option<ExchangeNo>,
    /// Number of requests that it has still to make.
    pub(super) requests_left: usize,
    pub(super) pending: BTreeSet<Serial>,
    standalone: Option<ReaderNo>,
    /// Whether it begins a new session once its requests have settled.
    pub(super) is_leaving: bool,
    pub(super) is_done: bool,
    next_serial: Serial,
}

/// A request of a client.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) session: SessionNo,
    pub(super) reader: ReaderNo,
    pub(super) outcome: Option<Outcome>,
}

/// How a request ended for its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Answered,
    Failed,
    Cancelled,
    /// It was not accepted, and was made again.
    Refused,
    /// The connection broke before there was an event id.
    Unreachable,
    Expired,
    Closed,
}

impl Outcome {
    fn name(self) -> &'static str {
        match self {
            Self::Answered => "requests: answered",
            Self::Failed => "requests: failed",
            Self::Cancelled => "requests: given up by the client",
            Self::Refused => "requests: refused",
            Self::Unreachable => "requests: unreachable",
            Self::Expired => "requests: expired",
            Self::Closed => "requests: session closed",
        }
    }
}

impl Client {
    pub(super) fn new(parameters: &ClusterParameters, no: ClientNo) -> Self {
        let nth = u64::try_from(no).unwrap_or(0);
        Self {
            rng: Rng::new(parameters.seed, 45, nth),
            session: None,
            initializing: None,
            requests_left: parameters.requests,
            pending: BTreeSet::new(),
            standalone: None,
            is_leaving: false,
            is_done: false,
            next_serial: nth * SERIALS + 1,
        }
    }
}

impl Cluster {
    /// Performs the next step of a client.
    pub(super) fn client_turn(&mut self, no: ClientNo) {
        let (delete, cancel) = (self.rate(ClusterFault::Delete), self.rate(ClusterFault::Cancel));
        let pending_max = self.parameters.pending_max;
        let Some(client) = self.clients.get_mut(&no).filter(|client| !client.is_done) else {
            return;
        };
        let delay = client.rng.between(10, 3_000);
        let may_request = client.requests_left > 0 && client.pending.len() < pending_max;
        match (client.session, client.initializing) {
            (None, Some(_)) => {}
            (None, None) => {
                if client.requests_left > 0 {
                    self.initialize(no);
                }
            }
            (Some(session), _) if client.is_leaving => {
                if client.pending.is_empty() {
                    self.leave(no, session);
                }
            }
            (Some(session), _) => {
                let deletes = client.rng.chance(delete);
                let cancelled = client.rng.chance(cancel);
                let cancelled = client.pending.first().copied().filter(|_| cancelled);
                if deletes {
                    self.hit_fault(ClusterFault::Delete);
                    self.send(no, Kind::Delete, Call::Delete, Some(session), None);
                } else if let Some(serial) = cancelled {
                    self.hit_fault(ClusterFault::Cancel);
                    self.cancel(serial);
                } else if may_request {
                    self.send_request(no, session);
                }
            }
        }
        self.after(delay, Event::Turn(no));
    }

    fn initialize(&mut self, no: ClientNo) {
        let method = Method::Initialize { version: None };
        let head = Head::Request { id: 0.into(), method, progress_token: None };
        let message = self.message(0, head, 100);
        let exchange = self.send(no, Kind::Initialize, Call::Initialize(message), None, None);
        if let Some(client) = self.clients.get_mut(&no) {
            client.initializing = Some(exchange);
        }
    }

    fn send_request(&mut self, no: ClientNo, session: SessionNo) {
        let Some(client) = self.clients.get_mut(&no) else { return };
        client.requests_left -= 1;
        let serial = client.next_serial;
        client.next_serial += 1;
        client.pending.insert(serial);
        let is_json = client.rng.chance(150);
        let format = if is_json { AnswerFormat::Json } else { AnswerFormat::Sse };
        let id = request_id(serial);
        let token = ProgressToken::from(i64::try_from(serial).unwrap_or(0));
        let head = Head::Request { id, method: Method::Other, progress_token: Some(token) };
        let post = Post::Single(self.message(session, head, 100));
        let reader = self.next_number();
        let mut opened = Reader::new(no, session);
        opened.open.insert(serial);
        opened.sent = Some((post.clone(), format));
        self.readers.insert(reader, opened);
        self.requests.insert(serial, Request { session, reader, outcome: None });
        self.coverage.hit("requests");
        self.send(no, Kind::Request, Call::Post { format, post }, Some(session), Some(reader));
        self.after(REQUEST_MILLIS, Event::Cancel(serial));
    }

    /// Gives up a request.
    pub(super) fn cancel(&mut self, serial: Serial) {
        let Some(request) = self.requests.get(&serial).filter(|it| it.outcome.is_none()) else {
            return;
        };
        if self.is_healed {
            // Every request settles without this.
            return;
        }
        let (session, reader) = (request.session, request.reader);
        let client = self.readers.get(&reader).map(|reader| reader.client);
        let request = request_id(serial);
        let head = Head::Notification(Notification::Cancelled { request });
        let message = self.message(session, head, 60);
        if let Some(client) = client {
            self.send_message(client, session, message);
        }
        let _ = self.settle(serial, Outcome::Cancelled);
        self.close_reader(reader);
    }

    pub(super) fn send_message(&mut self, no: ClientNo, session: SessionNo, message: Message<u64>) {
        let (format, post) = (AnswerFormat::Sse, Post::Single(message));
        self.send(no, Kind::Message, Call::Post { format, post }, Some(session), None);
    }

    /// Sends an HTTP request to the node that the balancer chooses.
    pub(super) fn send(
        &mut self,
        no: ClientNo,
        kind: Kind,
        call: Call,
        session: Option<SessionNo>,
        reader: Option<ReaderNo>,
    ) -> ExchangeNo {
        let ingress = self.balance(no);
        let exchange_no = self.next_number();
        let mut exchange = Exchange::new(no, ingress, kind, call, self.now);
        (exchange.session, exchange.reader) = (session, reader);
        self.exchanges.insert(exchange_no, exchange);
        if let Some(reader) = reader.and_then(|reader| self.readers.get_mut(&reader)) {
            reader.exchange = Some(exchange_no);
        }
        self.note(|| format!("client {no} sends exchange {exchange_no} ({kind:?}, session {session:?}) to node {ingress}"));
        let delay = self.rng.between(0, 4);
        self.after(delay, Event::Node(ingress, NodeEvent::Request(exchange_no)));
        self.after(STATUS_MILLIS, Event::Impatient(exchange_no));
        let cut = self.rate(ClusterFault::CutClient);
        if self.fault_rng.chance(cut) {
            let delay = self.fault_rng.between(0, 3_000);
            self.after(delay, Event::Cut(exchange_no));
        }
        exchange_no
    }

    /// Closes an exchange whose status has not arrived in time.
    pub(super) fn on_impatient(&mut self, no: ExchangeNo) {
        let exchange = self.exchanges.get(&no);
        if exchange.is_some_and(|it| it.is_open_at_client && !it.client_has_status) {
            self.coverage.hit("requests: without a status in time");
            self.break_exchange(no, false);
        }
    }

    /// Handles a status.
    pub(super) fn on_status(&mut self, no: ExchangeNo, status: Status) -> Checked {
        self.check_not_resurrected(no, status)?;
        let Some(exchange) = self.exchanges.get_mut(&no).filter(|it| it.is_open_at_client) else {
            return Ok(());
        };
        exchange.client_has_status = true;
        let (client, session, kind, reader) =
            (exchange.client, exchange.session, exchange.kind, exchange.reader);
        if status == Status::Stream {
            if kind == Kind::Get && reader.is_none() {
                self.break_exchange(no, false);
            }
            return Ok(());
        }
        exchange.is_open_at_client = false;
        if let Some(reader) = reader.and_then(|reader| self.readers.get_mut(&reader)) {
            reader.exchange = None;
        }
        match (status, kind) {
            (Status::Stream | Status::Accepted, _) => Ok(()),
            (_, Kind::Initialize) => {
                if let Some(client) = self.clients.get_mut(&client) {
                    client.initializing = None;
                }
                Ok(())
            }
            (Status::Deleted, _) => {
                let Some(session) = session else { return Ok(()) };
                self.laws.fates.of(session).deleted_at = Some(self.now);
                for delay in [10, 300, 3_000] {
                    self.after(delay, Event::Probe(client, session));
                }
                self.leave(client, session);
                Ok(())
            }
            (Status::NotFound, Kind::Request) => {
                if let Some(client) = self.clients.get_mut(&client) {
                    client.is_leaving |= client.session == session;
                }
                self.settle_reader(reader, Outcome::Refused)
            }
            (Status::NotFound, _) => {
                if let Some(session) = session {
                    self.leave(client, session);
                }
                Ok(())
            }
            (Status::Unavailable | Status::Rejected, Kind::Request) => {
                self.settle_reader(reader, Outcome::Refused)
            }
            (Status::BadGateway, Kind::Request) => self.settle_reader(reader, Outcome::Unreachable),
            (Status::Unavailable | Status::Rejected | Status::BadGateway, _) => {
                self.resume_later(reader);
                Ok(())
            }
            (Status::Expired(id), _) => {
                // Streams are kept for longer than any client is away.
                let is_cancelled = reader
                    .and_then(|reader| self.readers.get(&reader))
                    .is_none_or(|reader| reader.open.is_empty());
                if self.laws.forgot_at.is_none() && !is_cancelled {
                    return Err(format!(
                        "law C3 (once, in order): session {session:?} has no stream of {id}"
                    ));
                }
                self.settle_reader(reader, Outcome::Expired)
            }
            (Status::Unknown(id), _) => {
                // A takeover that the store has forgotten may have left out more ids.
                let is_excused =
                    self.laws.forgot_at.is_some() || self.laws.has_jumped_before(self.now);
                if !is_excused {
                    return Err(format!(
                        "law C3 (once, in order): {id} of session {session:?} was sent, and is not known"
                    ));
                }
                self.coverage.hit("resumes: after an event that is forgotten");
                self.settle_reader(reader, Outcome::Expired)
            }
        }
    }

    /// Starts to use a session.
    pub(super) fn begin_session(&mut self, no: ClientNo, session: SessionNo) {
        let head = Head::Notification(Notification::Other);
        let message = self.message(session, head, 60);
        self.send_message(no, session, message);
        let reader = self.next_number();
        let mut standalone = Reader::new(no, session);
        standalone.is_standalone = true;
        self.readers.insert(reader, standalone);
        if let Some(client) = self.clients.get_mut(&no) {
            client.standalone = Some(reader);
        }
        self.resume(reader);
    }

    /// Asks for a session that was deleted.
    pub(super) fn probe(&mut self, client: ClientNo, session: SessionNo) {
        self.send(client, Kind::Get, Call::Get { last_event_id: None }, Some(session), None);
    }

    /// Leaves a session, and begins another one later.
    pub(super) fn leave(&mut self, no: ClientNo, session: SessionNo) {
        let Some(client) = self.clients.get_mut(&no) else { return };
        if client.session == Some(session) {
            (client.session, client.standalone, client.is_leaving) = (None, None, false);
        }
        let own = self.readers.iter();
        let own = own.filter(|(_, reader)| reader.client == no && reader.session == session);
        let own: Vec<ReaderNo> = own.map(|(reader, _)| *reader).collect();
        for reader in own {
            let _ = self.settle_reader(Some(reader), Outcome::Closed);
            self.close_reader(reader);
        }
    }

    pub(super) fn settle(&mut self, serial: Serial, outcome: Outcome) -> Checked {
        let Some(request) = self.requests.get_mut(&serial) else { return Ok(()) };
        match request.outcome {
            Some(Outcome::Answered | Outcome::Failed) if outcome != Outcome::Cancelled => {
                return Err(format!(
                    "law C3 (once, in order): request {serial} ends twice: {request:?}"
                ));
            }
            Some(_) => return Ok(()),
            None => request.outcome = Some(outcome),
        }
        self.coverage.hit(outcome.name());
        let client = usize::try_from(serial / SERIALS).unwrap_or(0);
        if let Some(client) = self.clients.get_mut(&client) {
            client.pending.remove(&serial);
            if outcome == Outcome::Refused {
                client.requests_left += 1;
            }
        }
        Ok(())
    }
}
