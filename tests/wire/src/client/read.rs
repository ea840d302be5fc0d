//! Handling of what a client receives.

use bytes::Bytes;
use rejoin_core::{EventId, Head, RequestId};
use rejoin_tests::kit::checker::Outcome;
use rejoin_tests::kit::{Fault, Rng};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::Client;
use crate::client_session::{Observation, ReaderKind};
use crate::exchange::{ConnectionError, ConnectionErrorKind, Exchange};
use crate::message::{Stamp, failure_of, head_of, id_value};
use rejoin_test_support::sse::{Item, Parser};

/// Why a client stopped reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReadEnd {
    /// All its requests have settled.
    Settled,
    /// The server ended the response.
    Ended,
    /// The connection broke, or timed out.
    Broken,
}

impl Client {
    /// Reads a response until it ends.
    pub(super) async fn read(
        &self,
        rng: &mut Rng,
        exchange: &mut Exchange,
        reader: usize,
    ) -> ReadEnd {
        let _guard = self.session.connect(reader, exchange.is_fault_free);
        if !exchange.is_stream() {
            let body = match exchange.collect(self.simulation.parameters.response_timeout()).await {
                Ok(body) => body,
                Err(broken) => {
                    self.on_connection_error(broken);
                    return ReadEnd::Broken;
                }
            };
            self.receive(rng, reader, Item::Message { id: None, data: body.into() });
            return if self.is_settled(reader) { ReadEnd::Settled } else { ReadEnd::Ended };
        }
        // A client may close the connection as soon as it has what it needs, or wait for the
        // end.
        let closes_early = rng.chance(500);
        let mut parser = Parser::default();
        loop {
            match exchange.next(self.simulation.parameters.keep_alive_timeout()).await {
                Ok(Some(data)) => parser.push(&data),
                Ok(None) if parser.is_mid_event() => {
                    self.report_failure("a stream ends in the middle of an event".to_owned());
                    return ReadEnd::Ended;
                }
                Ok(None) => {
                    self.session.trace("< end".to_owned());
                    return if self.is_settled(reader) { ReadEnd::Settled } else { ReadEnd::Ended };
                }
                Err(broken) => return self.on_read_error(broken, &parser, reader),
            }
            loop {
                match parser.next_item() {
                    Ok(None) => break,
                    Ok(Some(item)) => self.receive(rng, reader, item),
                    Err(failure) => {
                        self.report_failure(failure);
                        return ReadEnd::Broken;
                    }
                }
            }
            if closes_early && self.is_settled(reader) {
                return ReadEnd::Settled;
            }
        }
    }

    /// Handles a connection error.
    fn on_read_error(&self, broken: ConnectionError, parser: &Parser, reader: usize) -> ReadEnd {
        self.on_connection_error(broken);
        if !broken.is_servers_fault {
            self.simulation.hit(match broken.kind {
                ConnectionErrorKind::TimedOut => "disconnects: keep-alive timeout",
                ConnectionErrorKind::Closed if parser.is_mid_event() => "disconnects: mid-event",
                ConnectionErrorKind::Closed => "disconnects: between events",
            });
        }
        if self.is_settled(reader) { ReadEnd::Settled } else { ReadEnd::Broken }
    }

    /// Returns whether all requests of a reader have settled.
    fn is_settled(&self, reader: usize) -> bool {
        let is_for_requests = {
            let record = self.session.record.lock();
            record.readers.get(reader).is_some_and(|it| matches!(it.kind, ReaderKind::Requests(_)))
        };
        is_for_requests && self.session.pending(reader).is_empty()
    }

    fn receive(&self, rng: &mut Rng, reader: usize, item: Item) {
        match item {
            Item::KeepAlive => self.simulation.hit("keep-alive comments"),
            Item::Gap(missed) => {
                self.simulation.hit("gaps");
                self.session.trace(format!("< gap {missed:?}"));
                self.session.observe(reader, Observation::Gap(missed));
            }
            Item::Priming { id, retry } => {
                self.session.trace(format!("< {id} priming {retry:?}"));
                self.offer_to_others(Some(id));
                if retry.is_some() {
                    self.simulation.hit("retry hints");
                }
                self.session.observe(reader, Observation::Priming { id, retry });
            }
            Item::Message { id, data } => {
                self.simulation.hit("events received");
                self.session.trace(format!(
                    "< {} {}",
                    display_id(id),
                    String::from_utf8_lossy(&data)
                ));
                self.offer_to_others(id);
                self.session.observe(
                    reader,
                    Observation::Message { id, data: data.clone(), at: Instant::now() },
                );
                if let Err(failure) = self.receive_message(rng, reader, &data) {
                    self.report_failure(failure);
                }
            }
        }
    }

    /// Publishes an event id for others to misuse.
    fn offer_to_others(&self, id: Option<EventId>) {
        let mut foreign = self.simulation.foreign_event_id.lock();
        *foreign = id.or(*foreign);
    }

    fn receive_message(&self, rng: &mut Rng, reader: usize, data: &Bytes) -> Result<(), String> {
        let message: Value = serde_json::from_slice(data).map_err(|error| error.to_string())?;
        if let Some(stamp) = Stamp::of(&message)
            && stamp.session != self.session.name
        {
            return Err(format!("{message} belongs to session {}", stamp.session));
        }
        match head_of(data)? {
            Head::Request { id, .. } => {
                self.send_response(rng, &id);
                Ok(())
            }
            Head::Response { id, .. } => self.settle(reader, &id, Outcome::Answered),
            Head::Error { id: Some(id) } => {
                let outcome = failure_of(&message).map_or(Outcome::Answered, Outcome::Failed);
                self.settle(reader, &id, outcome)
            }
            Head::Error { id: None } | Head::Notification(_) => Ok(()),
        }
    }

    fn settle(&self, reader: usize, id: &RequestId, outcome: Outcome) -> Result<(), String> {
        if self.session.settle(reader, id, outcome)? {
            self.simulation.hit("responses");
        }
        Ok(())
    }

    /// Responds to a server request, usually once.
    fn send_response(&self, rng: &mut Rng, id: &RequestId) {
        self.simulation.hit("server requests: received");
        let is_wrong = self.simulation.draw_fault(rng, Fault::WrongResponseCount);
        let count = if is_wrong { 2 * rng.below(2) } else { 1 };
        for _ in 0..count {
            let result = json!({
                "role": "assistant", "model": "wire", "action": "accept",
                "content": { "type": "text", "text": "this", "answer": "that" },
            });
            let message = json!({ "jsonrpc": "2.0", "id": id_value(id), "result": result });
            self.notify_in_background(rng, message);
        }
    }
}

fn display_id(id: Option<EventId>) -> String {
    id.map_or("-".to_owned(), |id| id.to_string())
}
