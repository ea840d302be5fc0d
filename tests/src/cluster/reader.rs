//! Readers of clients: what they receive, and how they resume their streams.

use std::collections::BTreeSet;
use std::time::Duration;

use rejoin_core::{AnswerFormat, Event as SseEvent, EventId, Head, Initialized, Post, RequestId};

use super::agenda::Event;
use super::client::Outcome;
use super::exchange::{Call, End, Item, Kind};
use super::laws::Position;
use super::names::{ClientNo, ExchangeNo, ReaderNo, Serial, SessionNo};
use super::state::serial_of;
use super::{Checked, Cluster};

/// A client's reader of one stream, over all connections on which it resumes it.
#[derive(Clone, Debug)]
pub(super) struct Reader {
    pub(super) client: ClientNo,
    pub(super) session: SessionNo,
    /// The requests that have not settled.
    pub(super) open: BTreeSet<Serial>,
    pub(super) is_standalone: bool,
    position: Position,
    pub(super) exchange: Option<ExchangeNo>,
    retry: Option<Duration>,
    /// Whether an event without an id was received, which must be the only one.
    is_answered: bool,
    /// What was sent, for deliberate bugs.
    pub(super) sent: Option<(Post<u64>, AnswerFormat)>,
}

impl Reader {
    pub(super) fn new(client: ClientNo, session: SessionNo) -> Self {
        Self {
            client,
            session,
            open: BTreeSet::new(),
            is_standalone: false,
            position: Position::default(),
            exchange: None,
            retry: None,
            is_answered: false,
            sent: None,
        }
    }
}

impl Cluster {
    /// Handles an event.
    pub(super) fn on_item(&mut self, no: ExchangeNo, item: Item) -> Checked {
        let Some(exchange) =
            self.exchanges.get(&no).filter(|it| it.is_open_at_client && !it.is_broken)
        else {
            return Ok(());
        };
        let (client_no, session, kind, reader_no) =
            (exchange.client, exchange.session, exchange.kind, exchange.reader);
        let Some(session) = session else { return Ok(()) };
        if kind == Kind::Initialize {
            let Some(client) = self.clients.get_mut(&client_no) else { return Ok(()) };
            if client.initializing.take_if(|initializing| *initializing == no).is_some() {
                client.session = Some(session);
                client.is_leaving = false;
                if !self.laws.committed.has_session(session) {
                    return Err(format!("law C1 (committed before sent): session {session}"));
                }
                self.begin_session(client_no, session);
            }
            return Ok(());
        }
        let Some((reader_no, reader)) =
            reader_no.and_then(|no| Some((no, self.readers.get_mut(&no)?)))
        else {
            return Ok(());
        };
        self.coverage.hit("events received");
        if let Some(id) = item.id {
            if reader.is_answered {
                return Err(format!("law C3 (once, in order): {id} comes after an answer"));
            }
            if matches!(item.event, SseEvent::Gap { .. }) {
                self.coverage.hit("gaps");
            }
            let position = &mut reader.position;
            self.laws.in_order.check_received(session, position, id, &item.event)?;
        } else {
            if reader.is_answered || reader.position.last.is_some() {
                return Err("law C3 (once, in order): an answer is not alone".to_owned());
            }
            reader.is_answered = true;
        }
        match item.event {
            SseEvent::Priming { retry } => {
                reader.retry = retry;
                Ok(())
            }
            SseEvent::Gap { .. } => Ok(()),
            SseEvent::Failure(failure) => self.receive_end(reader_no, &failure.id, Outcome::Failed),
            SseEvent::Message(body) => self.receive_message(reader_no, client_no, session, body),
        }
    }

    fn receive_message(
        &mut self,
        reader: ReaderNo,
        client: ClientNo,
        session: SessionNo,
        body: u64,
    ) -> Checked {
        let Some((of, head)) = self.sent(body) else {
            return Err(format!("law C3 (once, in order): no message {body} was ever sent"));
        };
        if of != session {
            return Err(format!(
                "law C3 (once, in order): message {body} is of session {of}, not {session}"
            ));
        }
        match head {
            Head::Response { id, .. } | Head::Error { id: Some(id) } => {
                self.receive_end(reader, &id, Outcome::Answered)
            }
            Head::Request { id, .. } => {
                let initialized = Initialized::default();
                let head = Head::Response { id, initialized, creates_task: false };
                let message = self.message(session, head, 80);
                self.send_message(client, session, message);
                Ok(())
            }
            Head::Notification(_) | Head::Error { id: None } => Ok(()),
        }
    }

    fn receive_end(&mut self, reader_no: ReaderNo, id: &RequestId, outcome: Outcome) -> Checked {
        let serial = serial_of(id);
        let reader = self.readers.get_mut(&reader_no);
        let is_open =
            reader.zip(serial).is_some_and(|(reader, serial)| reader.open.remove(&serial));
        match serial.filter(|_| is_open) {
            Some(serial) => self.settle(serial, outcome),
            None => Err(format!(
                "law C3 (once, in order): the response to {id:?} comes to another request"
            )),
        }
    }

    /// Handles the end of a response.
    pub(super) fn on_end(&mut self, no: ExchangeNo, end: End) -> Checked {
        let Some(exchange) = self.exchanges.get_mut(&no).filter(|it| it.is_open_at_client) else {
            return Ok(());
        };
        exchange.is_open_at_client = false;
        let (client, kind, reader) = (exchange.client, exchange.kind, exchange.reader);
        if let Some(client) = self.clients.get_mut(&client) {
            client.initializing.take_if(|initializing| *initializing == no);
        }
        let Some(reader_no) = reader else { return Ok(()) };
        let Some(reader) = self.readers.get_mut(&reader_no) else { return Ok(()) };
        reader.exchange = None;
        let is_settled = reader.open.is_empty() && !reader.is_standalone;
        let can_resume = reader.position.last.is_some() || reader.is_standalone;
        self.note(|| format!("exchange {no} ({kind:?}) ends: {end:?}"));
        match (is_settled, can_resume) {
            (true, _) => {
                self.readers.remove(&reader_no);
                Ok(())
            }
            (false, true) => {
                self.resume_later(Some(reader_no));
                Ok(())
            }
            (false, false) => self.settle_reader(Some(reader_no), Outcome::Unreachable),
        }
    }

    pub(super) fn resume_later(&mut self, reader: Option<ReaderNo>) {
        let Some(reader_no) = reader else { return };
        let Some(reader) = self.readers.get(&reader_no) else { return };
        let (client, retry) = (reader.client, reader.retry);
        let Some(client) = self.clients.get_mut(&client) else { return };
        let delay = match retry {
            Some(retry) => u64::try_from(retry.as_millis()).unwrap_or(0),
            None => client.rng.between(1, 1_000),
        };
        self.after(delay, Event::Resume(reader_no));
    }

    /// Resumes a stream.
    pub(super) fn resume(&mut self, no: ReaderNo) {
        let Some(reader) = self.readers.get(&no).filter(|reader| reader.exchange.is_none()) else {
            return;
        };
        let (client, session) = (reader.client, reader.session);
        let last_event_id: Option<EventId> = reader.position.last;
        if last_event_id.is_some() {
            self.coverage.hit("resumes");
        }
        self.send(client, Kind::Get, Call::Get { last_event_id }, Some(session), Some(no));
    }

    pub(super) fn close_reader(&mut self, no: ReaderNo) {
        let exchange = self.readers.remove(&no).and_then(|reader| reader.exchange);
        if let Some(exchange_no) = exchange {
            self.break_exchange(exchange_no, false);
            if let Some(exchange) = self.exchanges.get_mut(&exchange_no) {
                exchange.is_open_at_client = false;
            }
        }
    }

    /// Settles all open requests of a reader.
    pub(super) fn settle_reader(&mut self, no: Option<ReaderNo>, outcome: Outcome) -> Checked {
        let Some(reader_no) = no else { return Ok(()) };
        let Some(reader) = self.readers.get_mut(&reader_no) else { return Ok(()) };
        if reader.is_standalone {
            // It begins anew.
            reader.position = Position::default();
            self.resume_later(Some(reader_no));
            return Ok(());
        }
        let open = std::mem::take(&mut reader.open);
        self.readers.remove(&reader_no);
        open.into_iter().try_for_each(|serial| self.settle(serial, outcome))
    }
}
