//! Visits: one client in one session, and all that it did and saw there.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use rejoin_core::{EventId, RequestId};
use rejoin_tests::world::witness::Outcome;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

/// One client in one session.
#[derive(Debug)]
pub(crate) struct Visit {
    /// By what the backend knows it.
    pub(crate) name: String,
    /// What the server calls the session.
    pub(crate) session: String,
    /// The revision that was negotiated.
    pub(crate) version: String,
    /// When the client asked for it.
    pub(crate) began: Instant,
    /// Whether the session is over, as far as the client knows.
    over: watch::Sender<bool>,
    pub(crate) record: Mutex<Record>,
}

/// What a client did and saw in a session.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record {
    pub(crate) readings: Vec<Reading>,
    pub(crate) calls: Vec<Call>,
    /// How many POSTs were sent, and how many of them are known to have been accepted.
    pub(crate) sent: u64,
    pub(crate) accepted: u64,
    /// What was told, each time that it was, by its number.
    pub(crate) told: Vec<Told>,
    /// How many things were told, or accepted.
    told_count: usize,
    /// How many GETs of the standalone stream are there that may take what another one
    /// should have had.
    rivals: usize,
    /// How many of them have begun.
    rivals_begun: u64,
    /// What came last, to be read where something is wrong.
    trail: VecDeque<String>,
}

/// Something without an answer that a client told its server, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    /// When it was sent, and when the client heard that it was accepted.
    pub(crate) sent: usize,
    pub(crate) accepted: Option<usize>,
    /// Whether every backend hears it, whatever else goes on.
    pub(crate) is_plain: bool,
}

/// What a client reads, over all the connections on which it comes back to it.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    pub(crate) kind: Kind,
    pub(crate) seen: Vec<Seen>,
    /// What to come back after.
    pub(crate) last: Option<EventId>,
}

/// What a client reads for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Answers to these requests.
    Requests(Vec<RequestId>),
    /// The standalone stream.
    Standalone,
    /// Nothing that it needs: from after an event, or from wherever it begins.
    Stray(Option<EventId>),
    /// Nothing that it needs: a request that was sent a second time.
    Double(RequestId),
}

/// What a client saw.
#[derive(Clone, Debug)]
pub(crate) enum Seen {
    Gap(RangeInclusive<u64>),
    Priming {
        id: Option<EventId>,
        retry: Option<Duration>,
    },
    Message {
        id: Option<EventId>,
        data: Bytes,
        at: Instant,
    },
    /// It has a connection, on which nothing in between keeps it waiting, if `is_sound`.
    Began {
        at: Instant,
        is_sound: bool,
    },
    /// It reads no more on that connection.
    Ended {
        at: Instant,
    },
    /// It came back after the last event that it had seen.
    Resumed,
    /// Another GET may have taken what comes next.
    Doubted,
}

/// A request of a client.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each says one thing of its own")]
pub(crate) struct Call {
    pub(crate) id: RequestId,
    pub(crate) reading: usize,
    pub(crate) sent_at: Instant,
    /// Whether nothing went wrong any more when it was made, so that it must be answered.
    pub(crate) is_due: bool,
    /// Whether the server is known to have it.
    pub(crate) is_accepted: bool,
    /// Whether the client has given it up.
    pub(crate) is_given_up: bool,
    /// Whether it was sent a second time.
    pub(crate) is_doubled: bool,
    pub(crate) outcome: Option<(Outcome, Instant)>,
    /// Whether it was refused for lack of room, and asked for again.
    pub(crate) is_refused: bool,
}

/// A client that reads on a connection, until it is dropped.
#[derive(Debug)]
pub(crate) struct Attending<'a> {
    visit: &'a Visit,
    reading: usize,
}

impl Drop for Attending<'_> {
    fn drop(&mut self) {
        self.visit.see(self.reading, Seen::Ended { at: Instant::now() });
    }
}

/// How many lines of a trail are kept.
const TRAIL_MAX: usize = 60;

impl Visit {
    pub(crate) fn new(name: String, session: String, version: String, began: Instant) -> Arc<Self> {
        let (over, _) = watch::channel(false);
        let record = Mutex::default();
        Arc::new(Self { name, session, version, began, over, record })
    }

    /// Leaves a session that is not there any more.
    pub(crate) fn leave(&self) {
        self.over.send_replace(true);
    }

    pub(crate) fn is_over(&self) -> bool {
        *self.over.borrow()
    }

    /// Waits until the session is over.
    pub(crate) async fn over(&self) {
        // The sender is here.
        let _ = self.over.subscribe().wait_for(|is_over| *is_over).await;
    }

    /// Notes what came last.
    pub(crate) fn note(&self, line: String) {
        let mut record = self.record.lock();
        if record.trail.len() >= TRAIL_MAX {
            record.trail.pop_front();
        }
        record.trail.push_back(line);
    }

    /// Returns what came last.
    pub(crate) fn trail(&self) -> Vec<String> {
        self.record.lock().trail.iter().cloned().collect()
    }

    /// Gives something that is told, now, a number of its own.
    pub(crate) fn number(&self, message: &Value) -> (usize, Value) {
        let method = message.get("method").and_then(Value::as_str);
        let is_plain = method.is_some_and(|method| method != "notifications/cancelled");
        let mut record = self.record.lock();
        let (nth, sent) = (record.told.len(), record.told_count);
        record.told.push(Told { sent, accepted: None, is_plain });
        record.told_count += 1;
        drop(record);
        let mut message = message.clone();
        let part = if method.is_some() { "params" } else { "result" };
        if let Some(message) = message.as_object_mut() {
            let part = message.entry(part).or_insert_with(|| json!({}));
            part.as_object_mut().map(|part| part.insert("told".to_owned(), nth.into()));
        }
        (nth, message)
    }

    /// Notes that it was accepted.
    pub(crate) fn told(&self, nth: usize) {
        let mut record = self.record.lock();
        record.told_count += 1;
        let accepted = Some(record.told_count);
        if let Some(told) = record.told.get_mut(nth) {
            told.accepted = accepted;
        }
    }

    /// Begins to read something.
    pub(crate) fn begin_reading(&self, kind: Kind) -> usize {
        let mut record = self.record.lock();
        record.readings.push(Reading { kind, seen: Vec::new(), last: None });
        record.readings.len() - 1
    }

    /// Reads what comes on a connection.
    pub(crate) fn attend(&self, reading: usize, is_sound: bool) -> Attending<'_> {
        self.see(reading, Seen::Began { at: Instant::now(), is_sound });
        Attending { visit: self, reading }
    }

    /// Notes what was seen.
    pub(crate) fn see(&self, reading: usize, seen: Seen) {
        if let Some(reading) = self.record.lock().readings.get_mut(reading) {
            match &seen {
                Seen::Priming { id, .. } | Seen::Message { id, .. } => {
                    reading.last = id.or(reading.last);
                }
                Seen::Gap(_)
                | Seen::Began { .. }
                | Seen::Ended { .. }
                | Seen::Resumed
                | Seen::Doubted => {}
            }
            reading.seen.push(seen);
        }
    }

    /// Returns what to come back after.
    pub(crate) fn last(&self, reading: usize) -> Option<EventId> {
        self.record.lock().readings.get(reading)?.last
    }

    /// Returns how many other GETs of the standalone stream have begun.
    pub(crate) fn rivals_begun(&self) -> u64 {
        self.record.lock().rivals_begun
    }

    /// Notes that a client comes back to the standalone stream, for which it asked when so
    /// many rivals had begun. With another one, it may not get all that comes next.
    pub(crate) fn resume_listening(&self, reading: usize, rivals_begun: u64) {
        let has_rivals = {
            let record = self.record.lock();
            record.rivals > 0 || record.rivals_begun > rivals_begun
        };
        self.see(reading, Seen::Resumed);
        if has_rivals {
            self.see(reading, Seen::Doubted);
        }
    }

    /// Notes that another GET of the standalone stream begins.
    pub(crate) fn begin_rival(&self) {
        let mut record = self.record.lock();
        record.rivals += 1;
        record.rivals_begun += 1;
        let own = record.readings.iter_mut().filter(|it| it.kind == Kind::Standalone);
        own.for_each(|reading| reading.seen.push(Seen::Doubted));
    }

    /// Notes that it has ended.
    pub(crate) fn end_rival(&self) {
        let mut record = self.record.lock();
        record.rivals = record.rivals.saturating_sub(1);
    }

    /// Begins requests whose answers are read together.
    pub(crate) fn begin_calls(&self, ids: &[RequestId], reading: usize, is_due: bool) {
        let sent_at = Instant::now();
        self.record.lock().calls.extend(ids.iter().map(|id| Call {
            id: id.clone(),
            reading,
            sent_at,
            is_due,
            is_accepted: false,
            is_given_up: false,
            is_doubled: false,
            outcome: None,
            is_refused: false,
        }));
    }

    /// Changes the calls of a reading.
    pub(crate) fn change(&self, reading: usize, change: impl FnMut(&mut Call)) {
        let mut record = self.record.lock();
        record.calls.iter_mut().filter(|call| call.reading == reading).for_each(change);
    }

    /// Returns the ids of the calls of a reading that have not settled.
    pub(crate) fn open(&self, reading: usize) -> Vec<RequestId> {
        let record = self.record.lock();
        let open = record.calls.iter().filter(|it| it.reading == reading && it.outcome.is_none());
        open.filter(|call| !call.is_refused).map(|call| call.id.clone()).collect()
    }

    /// Settles the calls of a reading that have not yet. Returns how many there were.
    pub(crate) fn settle_rest(&self, reading: usize, outcome: Outcome) -> usize {
        let mut count = 0;
        self.change(reading, |call| {
            if call.outcome.is_none() && !call.is_refused {
                call.outcome = Some((outcome, Instant::now()));
                count += 1;
            }
        });
        count
    }

    /// Settles the call that an answer or a failure names.
    pub(crate) fn settle(
        &self,
        reading: usize,
        id: &RequestId,
        outcome: Outcome,
    ) -> Result<bool, String> {
        let mut record = self.record.lock();
        let Some(known) = record.readings.get(reading) else { return Ok(false) };
        let Kind::Requests(ids) = &known.kind else { return Ok(false) };
        if !ids.contains(id) {
            return Err(format!("an answer to {id} came on the stream of {ids:?}"));
        }
        let mut own = record.calls.iter_mut().filter(|call| call.reading == reading);
        let Some(call) = own.find(|call| call.id == *id) else { return Ok(false) };
        match call.outcome {
            Some((Outcome::Answered | Outcome::Failed(_), _)) => {
                Err(format!("request {id} was answered twice"))
            }
            Some(_) => Ok(false),
            None => {
                call.outcome = Some((outcome, Instant::now()));
                Ok(true)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_comes_twice_or_to_another_is_seen() {
        let visit = Visit::new(String::new(), String::new(), String::new(), Instant::now());
        let reading = visit.begin_reading(Kind::Requests(vec![1.into()]));
        visit.begin_calls(&[1.into()], reading, false);
        assert_eq!(visit.settle(reading, &1.into(), Outcome::Answered), Ok(true));
        assert!(visit.settle(reading, &1.into(), Outcome::Answered).is_err());
        assert!(visit.settle(reading, &2.into(), Outcome::Answered).is_err());
        assert!(visit.open(reading).is_empty());
    }
}
