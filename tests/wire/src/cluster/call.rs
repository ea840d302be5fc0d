//! One call of a client: it must end in one response, or in an error that the client can see.

use std::time::Duration;

use http::StatusCode;
use rejoin_core::EventId;
use rejoin_test_support::sse::Item;
use rejoin_tests::kit::Rng;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::client::{Client, End, NoResponse, PATIENCE, Response};
use super::judge::Violation;
use super::session::{Meaning, Reader};
use super::stamp::Arguments;

/// Maximum time of a call, beyond what its server takes.
const CALL_TIMEOUT: Duration = Duration::from_secs(90);
/// How many calls in a thousand are read again from an earlier event.
const REREADS: u32 = 100;
/// How many streams in a thousand the client cuts itself, after some events.
const CUTS: u32 = 200;
/// How long a connection is read that was silent, and that has been replaced by another one.
const ZOMBIE_TIME: Duration = Duration::from_secs(30);

/// Draws what a call does: quick ones, and some that nodes do not outlive.
pub(super) fn draw(rng: &mut Rng, call: String, is_calm: bool) -> Arguments {
    let (steps, interval) = match rng.below(10) {
        _ if is_calm => (rng.between(1, 20), rng.millis(0, 20)),
        0..4 => (rng.between(0, 8), rng.millis(0, 10)),
        4..8 => (rng.between(10, 40), rng.millis(5, 50)),
        _ => (rng.between(50, 120), rng.millis(20, 80)),
    };
    Arguments { call, steps, interval, announces: rng.chance(400), asks: rng.chance(250) }
}

impl Client {
    /// Makes a call until it is settled.
    pub(super) async fn call(&self, rng: &mut Rng, arguments: &Arguments) {
        let (id, judge) = (self.next_id(), self.judge());
        let began = Instant::now();
        let request = json!({
            "jsonrpc": "2.0", "id": id, "method": "tools/call",
            "params": {
                "name": "work", "arguments": arguments.to_json(), "_meta": { "progressToken": id },
            },
        });
        judge.hit("calls");
        if self.cluster.injector.repeats_call() {
            let mut again = request.clone();
            for place in ["/id", "/params/_meta/progressToken"] {
                if let Some(id) = again.pointer_mut(place) {
                    *id = json!(format!("{id} again"));
                }
            }
            tokio::spawn({
                let client = self.clone();
                async move { drop(client.post(&again).await) }
            });
        }
        let mut reader = Reader::new(&arguments.call);
        while began.elapsed() < PATIENCE {
            match self.post(&request).await {
                Ok(response) if response.status == StatusCode::OK => {
                    return self.read(rng, &mut reader, response, arguments, began).await;
                }
                Ok(response) if response.status == StatusCode::SERVICE_UNAVAILABLE => {
                    judge.hit("calls: refused");
                    if !response.has_retry() {
                        self.report(Violation::Unexpected, &reader, "503 without `Retry-After`");
                    }
                    if !judge.faults.has_disturbed(began) {
                        judge.hit("calls: refused without a fault");
                    }
                }
                Ok(response) if response.status == StatusCode::NOT_FOUND => {
                    judge.on_refused(&arguments.call);
                    judge.hit("calls: session not found");
                    return self.on_missing("a call");
                }
                Ok(mut response) if response.status == StatusCode::BAD_GATEWAY => {
                    judge.hit("calls: 502");
                    let text = response.text().await;
                    let named = serde_json::from_str::<Value>(&text).ok();
                    if named.and_then(|error| error.get("id").cloned()) != Some(json!(id)) {
                        self.report(Violation::Unsettled, &reader, &format!("502 with {text}"));
                    }
                    return self.expect_fault(&reader, began, "502");
                }
                Ok(mut response) => {
                    let status = response.status;
                    let what =
                        format!("a call was answered by {status}: {}", response.text().await);
                    return self.report(Violation::Unsettled, &reader, &what);
                }
                Err(NoResponse::NotSent) => judge.hit("calls: not sent"),
                Err(NoResponse::Broken | NoResponse::Silent) => {
                    judge.hit("calls: connection lost before the response");
                    return self.expect_fault(&reader, began, "no response");
                }
            }
            sleep(rng.millis(50, 300)).await;
        }
        self.report(Violation::Unsettled, &reader, "a call is never served");
    }

    /// Reads the response of a call, and resumes it until it is settled.
    async fn read(
        &self,
        rng: &mut Rng,
        reader: &mut Reader,
        mut response: Response,
        arguments: &Arguments,
        began: Instant,
    ) {
        let longest =
            CALL_TIMEOUT + arguments.interval * u32::try_from(arguments.steps).unwrap_or(0);
        loop {
            let end = self.read_until_end(rng, reader, &mut response, began).await;
            let Some(end) = end else { return self.on_settled(rng, reader).await };
            if end == End::Invalid {
                self.report(Violation::Unexpected, reader, "what is received is not an event");
            }
            let Some(last) = reader.last else {
                self.judge().hit("calls: no event id");
                if end == End::Clean {
                    let what = "the response ended without a response or an event id";
                    self.report(Violation::Unsettled, reader, what);
                }
                return self.expect_fault(reader, began, "no event id");
            };
            if end == End::Silent {
                self.watch_replaced(reader, response);
            }
            let Some(resumed) = self.resume(rng, reader, last, began + longest).await else {
                return;
            };
            response = resumed;
        }
    }

    /// Reads events until the call is settled (`None`), or its connection ends.
    async fn read_until_end(
        &self,
        rng: &mut Rng,
        reader: &mut Reader,
        response: &mut Response,
        began: Instant,
    ) -> Option<End> {
        let mut left = if rng.chance(CUTS) { rng.between(1, 30) } else { u64::MAX };
        loop {
            let item = match response.next(&self.cluster.injector).await {
                Ok(item) => item,
                Err(end) => return Some(end),
            };
            match self.on_item(reader, &item) {
                None | Some(Meaning::Progress) => {}
                Some(Meaning::Question(id)) => {
                    let client = self.clone();
                    tokio::spawn(async move { client.answer(&id).await });
                }
                Some(Meaning::Result) => {
                    self.judge().hit("calls: answered");
                    self.judge().on_answered(&reader.call);
                    return None;
                }
                Some(Meaning::LostResponse) => {
                    self.judge().hit("calls: response lost");
                    // A store that is away suffices for that.
                    if reader.last.is_some() || !self.judge().faults.has_disturbed(began) {
                        let what = "the response was lost, without a fault or after an event";
                        self.report(Violation::Unexpected, reader, what);
                    }
                    return None;
                }
                Some(Meaning::Failure(error)) => {
                    self.judge().hit("calls: failed");
                    self.expect_fault(reader, began, &error);
                    return None;
                }
            }
            left -= 1;
            if left == 0 && reader.last.is_some() {
                self.judge().hit("connections: cut by the client");
                return Some(End::Broken);
            }
            left = left.max(1);
        }
    }

    /// Checks an item. Returns what it means, if it is a message.
    pub(super) fn on_item(&self, reader: &mut Reader, item: &Item) -> Option<Meaning> {
        match item {
            Item::KeepAlive => None,
            Item::Gap(range) => {
                self.report(Violation::Loss, reader, &format!("events {range:?} are missing"));
                None
            }
            Item::Priming { id, .. } => {
                self.session.on_id(reader, *id, false);
                None
            }
            Item::Message { id, data } => {
                let message: Value = serde_json::from_slice(data).unwrap_or_default();
                if let Some(id) = id {
                    self.session.on_id(reader, *id, true);
                    self.session.check_content(reader, *id, data);
                    reader.received.push(*id);
                } else {
                    self.judge().hit("events: without an id");
                }
                Some(self.session.on_message(reader, &message))
            }
        }
    }

    /// Resumes a stream, at whichever node. `None` if there is nothing to resume.
    async fn resume(
        &self,
        rng: &mut Rng,
        reader: &Reader,
        last: EventId,
        deadline: Instant,
    ) -> Option<Response> {
        while Instant::now() < deadline {
            match self.get(Some(last)).await {
                Ok(response) if response.status == StatusCode::OK => return Some(response),
                Ok(response) if response.status == StatusCode::SERVICE_UNAVAILABLE => {
                    self.judge().hit("resumes: refused");
                    if !response.has_retry() {
                        self.report(Violation::Unexpected, reader, "503 without `Retry-After`");
                    }
                }
                Ok(mut response) => {
                    let status = response.status;
                    if status == StatusCode::NOT_FOUND {
                        self.on_missing("a resume");
                    }
                    if self.may_have_lost() {
                        self.judge().hit("calls: lost with the store and the owner");
                    } else {
                        let what =
                            format!("a resume was answered by {status}: {}", response.text().await);
                        self.report(Violation::Loss, reader, &what);
                    }
                    return None;
                }
                Err(_) => self.judge().hit("resumes: no response"),
            }
            sleep(rng.millis(50, 300)).await;
        }
        self.report(Violation::Unsettled, reader, "a call is never settled");
        None
    }

    /// Reads on a connection that was silent, and has been replaced: what comes there must be known, or
    /// come on the new one.
    fn watch_replaced(&self, reader: &Reader, mut response: Response) {
        self.judge().hit("connections: silent");
        let (client, mut reader) = (self.clone(), reader.clone());
        tokio::spawn(async move {
            let end = Instant::now() + ZOMBIE_TIME;
            while Instant::now() < end {
                match response.next(&client.cluster.injector).await {
                    Ok(Item::Message { id: Some(id), data }) => {
                        client.judge().hit("events: on a connection that was replaced");
                        client.session.check_content(&reader, id, &data);
                        reader.last = Some(id);
                    }
                    Ok(_) | Err(End::Silent) => {}
                    Err(End::Clean | End::Broken | End::Invalid) => return,
                }
            }
        });
    }

    /// Answers a question of the server.
    async fn answer(&self, question: &Value) {
        let result = json!({ "action": "accept", "content": {} });
        self.judge().hit("questions");
        self.notify(&json!({ "jsonrpc": "2.0", "id": question, "result": result })).await;
    }

    /// Checks now and then that a stream that is complete is still the same.
    async fn on_settled(&self, rng: &mut Rng, reader: &Reader) {
        if !rng.chance(REREADS) {
            return;
        }
        let Some(earlier) = rng.choose(&reader.received) else { return };
        let Ok(mut response) = self.get(Some(earlier)).await else { return };
        if response.status != StatusCode::OK {
            return;
        }
        let expected = reader.received.iter().skip_while(|id| **id != earlier).skip(1);
        let mut again = Reader::new(&reader.call);
        again.last = Some(earlier);
        for expected in expected {
            let (id, data) = loop {
                match response.next(&self.cluster.injector).await {
                    Ok(Item::Message { id, data }) => break (id, data),
                    Ok(Item::KeepAlive | Item::Priming { .. }) => {}
                    // It may have expired, or its node was disturbed.
                    Ok(Item::Gap(_)) | Err(_) => return,
                }
            };
            self.judge().hit("events: read again");
            let Some(id) = id.filter(|id| id == expected) else {
                let what = format!("{expected} was {id:?} when it was read again");
                return self.report(Violation::TwoContents, &again, &what);
            };
            self.session.check_content(&again, id, &data);
            again.last = Some(id);
        }
    }

    /// Checks that a node was disturbed, so that the call could fail.
    fn expect_fault(&self, reader: &Reader, began: Instant, what: &str) {
        if !self.judge().faults.has_disturbed_node(began) && !self.session.is_over() {
            self.report(
                Violation::Unexpected,
                reader,
                &format!("{what}, without a fault of a node"),
            );
        }
    }

    pub(super) fn report(&self, violation: Violation, reader: &Reader, what: &str) {
        self.session.report(violation, reader, what);
    }
}
