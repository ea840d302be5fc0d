//! Reading: what a client makes of what comes.

use bytes::Bytes;
use rejoin_core::{EventId, Head, RequestId};
use rejoin_tests::world::witness::Outcome;
use rejoin_tests::world::{Chance, Fault};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::Guest;
use crate::exchange::{Broken, Exchange, How};
use crate::message::{Stamp, failure_of, head_of, id_value};
use crate::sse::{Item, Reader};
use crate::visit::{Kind, Seen};

/// Why a client reads no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Break {
    /// It has all that it wants.
    Settled,
    /// The server has ended the stream.
    Ended,
    /// The connection broke, or nothing came any more.
    Off,
}

impl Guest {
    /// Reads what comes on a connection, until it ends.
    pub(super) async fn read(
        &self,
        luck: &mut Chance,
        exchange: &mut Exchange,
        reading: usize,
    ) -> Break {
        let _attending = self.visit.attend(reading, exchange.is_sound);
        if !exchange.is_stream() {
            let whole = match exchange.whole(self.world.knobs.head_max()).await {
                Ok(whole) => whole,
                Err(broken) => {
                    self.hear_of(broken);
                    return Break::Off;
                }
            };
            self.receive(luck, reading, Item::Message { id: None, data: whole.into() });
            return if self.is_settled(reading) { Break::Settled } else { Break::Ended };
        }
        // Whoever has what it wants may go at once, or wait for the end.
        let is_hasty = luck.strikes(500);
        let mut reader = Reader::default();
        loop {
            match exchange.next(self.world.knobs.silence_max()).await {
                Ok(Some(data)) => reader.push(&data),
                Ok(None) if reader.is_midway() => {
                    self.blame("a stream ends in the middle of an event".to_owned());
                    return Break::Ended;
                }
                Ok(None) => {
                    self.visit.note("< end".to_owned());
                    return if self.is_settled(reading) { Break::Settled } else { Break::Ended };
                }
                Err(broken) => return self.break_off(broken, &reader, reading),
            }
            loop {
                match reader.next() {
                    Ok(None) => break,
                    Ok(Some(item)) => self.receive(luck, reading, item),
                    Err(wrong) => {
                        self.blame(wrong);
                        return Break::Off;
                    }
                }
            }
            if is_hasty && self.is_settled(reading) {
                return Break::Settled;
            }
        }
    }

    /// Hears that a connection broke.
    fn break_off(&self, broken: Broken, reader: &Reader, reading: usize) -> Break {
        self.hear_of(broken);
        if !broken.is_wrong {
            self.world.count(match broken.how {
                How::Silent => "drops: nothing came any more",
                How::Off if reader.is_midway() => "drops: in the middle of an event",
                How::Off => "drops: between two events",
            });
        }
        if self.is_settled(reading) { Break::Settled } else { Break::Off }
    }

    /// Returns whether all requests that a client reads for have settled.
    fn is_settled(&self, reading: usize) -> bool {
        let is_for_requests = {
            let record = self.visit.record.lock();
            record.readings.get(reading).is_some_and(|it| matches!(it.kind, Kind::Requests(_)))
        };
        is_for_requests && self.visit.open(reading).is_empty()
    }

    fn receive(&self, luck: &mut Chance, reading: usize, item: Item) {
        match item {
            Item::KeepAlive => self.world.count("signs of life"),
            Item::Gap(missed) => {
                self.world.count("gaps");
                self.visit.note(format!("< gap {missed:?}"));
                self.visit.see(reading, Seen::Gap(missed));
            }
            Item::Priming { id, retry } => {
                self.visit.note(format!("< {} priming {retry:?}", shown(id)));
                self.offer(id);
                if retry.is_some() {
                    self.world.count("polls");
                }
                self.visit.see(reading, Seen::Priming { id, retry });
            }
            Item::Message { id, data } => {
                self.world.count("events seen");
                self.visit.note(format!("< {} {}", shown(id), String::from_utf8_lossy(&data)));
                self.offer(id);
                self.visit
                    .see(reading, Seen::Message { id, data: data.clone(), at: Instant::now() });
                if let Err(wrong) = self.receive_message(luck, reading, &data) {
                    self.blame(wrong);
                }
            }
        }
    }

    /// Offers an event for others to misuse.
    fn offer(&self, id: Option<EventId>) {
        let mut stray = self.world.stray_id.lock();
        *stray = id.or(*stray);
    }

    fn receive_message(
        &self,
        luck: &mut Chance,
        reading: usize,
        data: &Bytes,
    ) -> Result<(), String> {
        let message: Value = serde_json::from_slice(data).map_err(|error| error.to_string())?;
        if let Some(stamp) = Stamp::of(&message)
            && stamp.visit != self.visit.name
        {
            return Err(format!("{message} is of session {}", stamp.visit));
        }
        match head_of(data)? {
            Head::Request { id, .. } => {
                self.answer(luck, &id);
                Ok(())
            }
            Head::Response { id, .. } => self.settle(reading, &id, Outcome::Answered),
            Head::Error { id: Some(id) } => {
                let outcome = failure_of(&message).map_or(Outcome::Answered, Outcome::Failed);
                self.settle(reading, &id, outcome)
            }
            Head::Error { id: None } | Head::Notification(_) => Ok(()),
        }
    }

    fn settle(&self, reading: usize, id: &RequestId, outcome: Outcome) -> Result<(), String> {
        if self.visit.settle(reading, id, outcome)? {
            self.world.count("answers");
        }
        Ok(())
    }

    /// Answers what the backend has asked, mostly once.
    fn answer(&self, luck: &mut Chance, id: &RequestId) {
        self.world.count("questions: heard");
        let is_bad = self.world.strikes(luck, Fault::BadAnswer);
        let count = if is_bad { 2 * luck.below(2) } else { 1 };
        for _ in 0..count {
            let result = json!({
                "role": "assistant", "model": "wire", "action": "accept",
                "content": { "type": "text", "text": "this", "answer": "that" },
            });
            let message = json!({ "jsonrpc": "2.0", "id": id_value(id), "result": result });
            self.tell_later(luck, message);
        }
    }
}

fn shown(id: Option<EventId>) -> String {
    id.map_or("-".to_owned(), |id| id.to_string())
}
