//! Calls: requests, until each of them has settled.

use http::StatusCode;
use rejoin_core::RequestId;
use rejoin_tests::world::witness::Outcome;
use rejoin_tests::world::{Chance, Fault};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::Guest;
use super::read::Break;
use crate::exchange::Exchange;
use crate::knobs::Kind as BackendKind;
use crate::message::{id_value, pad};
use crate::visit::{Kind, Seen};

/// How a call ended where no answer has settled it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    Settled(Outcome),
    /// There was no room.
    Refused,
}

impl Guest {
    /// Makes requests by one POST, and sees to it that each of them settles.
    pub(super) async fn call(self, mut luck: Chance, ids: Vec<RequestId>, is_batch: bool) {
        let reading = self.visit.begin_reading(Kind::Requests(ids.clone()));
        // Nobody has to give up when nothing goes wrong any more.
        let is_due = self.world.is_healed();
        self.visit.begin_calls(&ids, reading, is_due);
        let patience = self.world.knobs.world.patience;
        let rest = tokio::select! {
            biased;
            rest = self.follow(&mut luck, reading, &ids, is_batch) => Some(rest),
            () = self.visit.over() => Some(Rest::Settled(Outcome::Closed)),
            () = sleep(patience), if !is_due => None,
        };
        let again = match rest {
            Some(Rest::Refused) => {
                let mut again = 0;
                self.visit.change(reading, |call| {
                    call.is_refused = true;
                    again += 1;
                });
                self.world.count("requests: refused");
                sleep(self.world.millis(&mut luck, 50, 800)).await;
                again
            }
            Some(Rest::Settled(outcome)) => {
                if outcome == Outcome::Unreachable {
                    // Lest the server wait.
                    self.give_up(&mut luck, reading).await;
                }
                self.visit.settle_rest(reading, outcome);
                0
            }
            None => {
                self.give_up(&mut luck, reading).await;
                self.visit.settle_rest(reading, Outcome::Cancelled);
                0
            }
        };
        if let Some(desk) = self.desk() {
            desk.give_back(ids.len() - again, again);
        }
        self.world.touch();
    }

    /// Cancels what has not settled.
    async fn give_up(&self, luck: &mut Chance, reading: usize) {
        self.visit.change(reading, |call| call.is_given_up |= call.outcome.is_none());
        for id in self.visit.open(reading) {
            self.cancel(luck, &id).await;
        }
    }

    /// Follows requests to their answers, over as many connections as it takes.
    async fn follow(
        &self,
        luck: &mut Chance,
        reading: usize,
        ids: &[RequestId],
        is_batch: bool,
    ) -> Rest {
        let requests: Vec<Value> = ids.iter().map(|id| self.request_of(luck, id)).collect();
        let is_too_large = requests.iter().any(|request| self.is_too_large(request));
        let body = match requests.as_slice() {
            [request] if !is_batch => request.to_string(),
            requests => json!(requests).to_string(),
        };
        let Ok(mut exchange) = self.post(self.world.fate(luck), body).await else {
            return Rest::Settled(Outcome::Unreachable);
        };
        match exchange.status() {
            StatusCode::OK if !is_too_large => {}
            StatusCode::NOT_FOUND => {
                self.visit.leave();
                return Rest::Settled(Outcome::Closed);
            }
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                return Rest::Refused;
            }
            StatusCode::PAYLOAD_TOO_LARGE if is_too_large => return Rest::Refused,
            status => return self.refused(&mut exchange, reading, status).await,
        }
        self.visit.change(reading, |call| call.is_accepted = true);
        self.visit.record.lock().accepted += 1;
        for _ in ids {
            self.world.count("requests");
        }
        loop {
            match self.read(luck, &mut exchange, reading).await {
                Break::Settled => return Rest::Settled(Outcome::Answered),
                Break::Ended | Break::Off => {}
            }
            match self.come_back(luck, reading).await {
                Ok(more) => exchange = more,
                Err(rest) => return rest,
            }
        }
    }

    /// Comes back to what it reads, until the server has it.
    async fn come_back(&self, luck: &mut Chance, reading: usize) -> Result<Exchange, Rest> {
        loop {
            let Some(last) = self.visit.last(reading) else {
                return Err(Rest::Settled(Outcome::Unreachable));
            };
            self.pause(luck, reading).await;
            self.world.count("resumes");
            let Ok(mut exchange) = self.get(luck, Some(last)).await else { continue };
            match exchange.status() {
                StatusCode::OK => {
                    self.visit.see(reading, Seen::Resumed);
                    return Ok(exchange);
                }
                StatusCode::NO_CONTENT => return Err(self.nothing_left(reading)),
                StatusCode::TOO_MANY_REQUESTS => {}
                StatusCode::NOT_FOUND => {
                    self.visit.leave();
                    return Err(Rest::Settled(Outcome::Closed));
                }
                status => {
                    let Some(text) = self.text(&mut exchange).await else { continue };
                    self.world.count("resumes: refused");
                    if text.contains("has expired") {
                        return Err(Rest::Settled(Outcome::Expired));
                    }
                    self.blame(format!("a resume after {last} was answered by {status}: {text}"));
                    return Err(Rest::Settled(Outcome::Unreachable));
                }
            }
        }
    }

    /// Waits as long as the server, or a client that is away, wants to.
    pub(super) async fn pause(&self, luck: &mut Chance, reading: usize) {
        let retry = {
            let record = self.visit.record.lock();
            let seen = record.readings.get(reading).and_then(|it| it.seen.last().cloned());
            if let Some(Seen::Priming { retry, .. }) = seen { retry } else { None }
        };
        let time = if self.world.strikes(luck, Fault::Absent) {
            self.world.count("clients: away");
            self.world.millis(luck, 1_000, 60_000)
        } else {
            retry.unwrap_or(self.world.millis(luck, 0, 500))
        };
        // Nobody stays away when all is healed.
        let mut healed = self.world.healed();
        let healed = healed.wait_for(|is_healed| *is_healed);
        if self.world.is_healed() {
            sleep(time).await;
        } else {
            let _ = timeout(time, healed).await;
        }
    }

    /// Says what it means that nothing is left of a stream.
    fn nothing_left(&self, reading: usize) -> Rest {
        let (mut open, mut given_up) = (0, 0);
        self.visit.change(reading, |call| {
            open += usize::from(call.outcome.is_none());
            given_up += usize::from(call.outcome.is_none() && call.is_given_up);
        });
        if open > given_up {
            self.blame(format!("nothing is left, and {open} requests have no answer"));
        }
        Rest::Settled(Outcome::Cancelled)
    }

    /// Hears that requests are not served.
    async fn refused(&self, exchange: &mut Exchange, reading: usize, status: StatusCode) -> Rest {
        let Some(text) = self.text(exchange).await else {
            return Rest::Settled(Outcome::Unreachable);
        };
        let mut is_doubled = false;
        self.visit.change(reading, |call| is_doubled |= call.is_doubled);
        if !(is_doubled && text.contains("is in use")) {
            self.blame(format!("a request was answered by {status}: {text}"));
        }
        Rest::Refused
    }

    pub(super) async fn text(&self, exchange: &mut Exchange) -> Option<String> {
        let whole = exchange.whole(self.world.knobs.head_max()).await;
        let whole = whole.inspect_err(|broken| self.hear_of(*broken)).ok()?;
        let text = String::from_utf8_lossy(&whole).into_owned();
        self.visit.note(format!("< {text}"));
        Some(text)
    }

    /// Returns whether a message is larger than one may be.
    pub(super) fn is_too_large(&self, message: &Value) -> bool {
        message.to_string().len() > self.world.knobs.world.config.message_bytes_max
    }

    /// Returns what is asked for.
    pub(super) fn request_of(&self, luck: &mut Chance, id: &RequestId) -> Value {
        let mut params = if self.world.knobs.kind == BackendKind::Demo {
            tool(luck)
        } else {
            let max = self.world.knobs.world.config.message_bytes_max;
            let is_huge = self.world.strikes(luck, Fault::Huge) && max < 10_000;
            let bytes = if is_huge { max } else { luck.size(0, 200) };
            let arguments = json!({ "calm": self.world.is_healed(), "pad": pad(bytes) });
            json!({ "name": "work", "arguments": arguments })
        };
        // The same whenever it is sent.
        let has_token = self.world.knobs.kind == BackendKind::Demo || !id.to_string().contains('7');
        if let Some(params) = params.as_object_mut().filter(|_| has_token) {
            params.insert("_meta".to_owned(), json!({ "progressToken": id_value(id) }));
        }
        json!({ "jsonrpc": "2.0", "id": id_value(id), "method": "tools/call", "params": params })
    }
}

/// Returns a tool of the demo server, and what for.
fn tool(luck: &mut Chance) -> Value {
    let (name, arguments) = match luck.below(12) {
        0..3 => ("count", json!({ "total": luck.between(1, 30), "interval_ms": luck.below(40) })),
        3 => ("flood", json!({ "events": luck.between(10, 400) })),
        4 => ("nap", json!({ "ms": luck.below(600) })),
        5 => ("poll", json!({ "ms": luck.below(400) })),
        6 => ("complete", json!({ "prompt": "what?" })),
        7 => ("ask", json!({ "question": "why?" })),
        8 => {
            ("announce", json!({ "count": luck.between(1, 5), "interval_ms": luck.between(1, 80) }))
        }
        _ => ("echo", json!({ "message": pad(luck.size(1, 2_000)) })),
    };
    json!({ "name": name, "arguments": arguments })
}
