//! The requests of a client, from the POST until each has settled.

use http::StatusCode;
use rejoin_core::RequestId;
use rejoin_tests::kit::checker::Outcome;
use rejoin_tests::kit::{Fault, Rng};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::Client;
use super::read::ReadEnd;
use crate::client_session::{Observation, ReaderKind};
use crate::exchange::Exchange;
use crate::message::{id_value, padding};
use crate::parameters::BackendKind;

/// How the requests of a POST ended if no response settled them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RequestEnd {
    Settled(Outcome),
    /// A limit was reached.
    Refused,
}

impl Client {
    /// Sends requests in one POST, and resumes until each of them has settled.
    pub(super) async fn request_until_settled(
        self,
        mut rng: Rng,
        ids: Vec<RequestId>,
        is_batch: bool,
    ) {
        let reader = self.session.add_reader(ReaderKind::Requests(ids.clone()));
        // Requests do not time out in the fault-free phase.
        let must_be_answered = self.simulation.is_fault_free();
        self.session.add_requests(&ids, reader, must_be_answered);
        let request_timeout = self.simulation.parameters.base.request_timeout;
        let end = tokio::select! {
            biased;
            end = self.request_and_resume(&mut rng, reader, &ids, is_batch) => Some(end),
            () = self.session.ended() => Some(RequestEnd::Settled(Outcome::Closed)),
            () = sleep(request_timeout), if !must_be_answered => None,
        };
        let requeued = match end {
            Some(RequestEnd::Refused) => {
                let mut requeued = 0;
                self.session.update_requests(reader, |request| {
                    request.is_refused = true;
                    requeued += 1;
                });
                self.simulation.hit("requests: refused");
                sleep(self.simulation.millis(&mut rng, 50, 800)).await;
                requeued
            }
            Some(RequestEnd::Settled(outcome)) => {
                if outcome == Outcome::Unreachable {
                    // Cancelled so that the server does not wait.
                    self.cancel_pending(&mut rng, reader).await;
                }
                self.session.settle_rest(reader, outcome);
                0
            }
            None => {
                self.cancel_pending(&mut rng, reader).await;
                self.session.settle_rest(reader, Outcome::Cancelled);
                0
            }
        };
        if let Some(workload) = self.workload() {
            workload.finish(ids.len() - requeued, requeued);
        }
        self.simulation.notify_progress();
    }

    /// Cancels the requests that have not settled.
    async fn cancel_pending(&self, rng: &mut Rng, reader: usize) {
        self.session
            .update_requests(reader, |request| request.is_cancelled |= request.outcome.is_none());
        for id in self.session.pending(reader) {
            self.cancel(rng, &id).await;
        }
    }

    /// Sends requests, and reads their responses over as many connections as it takes.
    async fn request_and_resume(
        &self,
        rng: &mut Rng,
        reader: usize,
        ids: &[RequestId],
        is_batch: bool,
    ) -> RequestEnd {
        let requests: Vec<Value> = ids.iter().map(|id| self.request_body(rng, id)).collect();
        let is_too_large = requests.iter().any(|request| self.is_too_large(request));
        let body = match requests.as_slice() {
            [request] if !is_batch => request.to_string(),
            requests => json!(requests).to_string(),
        };
        let Ok(mut exchange) = self.post(self.simulation.draw_link(rng), body).await else {
            return RequestEnd::Settled(Outcome::Unreachable);
        };
        match exchange.status() {
            StatusCode::OK | StatusCode::BAD_GATEWAY if !is_too_large => {}
            StatusCode::NOT_FOUND => {
                self.session.end();
                return RequestEnd::Settled(Outcome::Closed);
            }
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                return RequestEnd::Refused;
            }
            StatusCode::PAYLOAD_TOO_LARGE if is_too_large => return RequestEnd::Refused,
            status => return self.on_refused(&mut exchange, reader, status).await,
        }
        self.session.update_requests(reader, |request| request.is_accepted = true);
        self.session.record.lock().posts_accepted += 1;
        for _ in ids {
            self.simulation.hit("requests");
        }
        if exchange.status() == StatusCode::BAD_GATEWAY {
            self.check_lost(&mut exchange).await;
            return RequestEnd::Settled(Outcome::Unreachable);
        }
        loop {
            match self.read(rng, &mut exchange, reader).await {
                ReadEnd::Settled => return RequestEnd::Settled(Outcome::Answered),
                ReadEnd::Ended | ReadEnd::Broken => {}
            }
            match self.resume(rng, reader).await {
                Ok(more) => exchange = more,
                Err(end) => return end,
            }
        }
    }

    /// Resumes a stream until the server accepts that.
    async fn resume(&self, rng: &mut Rng, reader: usize) -> Result<Exchange, RequestEnd> {
        loop {
            let Some(last) = self.session.last_event_id(reader) else {
                return Err(RequestEnd::Settled(Outcome::Unreachable));
            };
            self.wait_to_resume(rng, reader).await;
            self.simulation.hit("resumes");
            let Ok(mut exchange) = self.get(rng, Some(last)).await else { continue };
            match exchange.status() {
                StatusCode::OK => {
                    self.session.observe(reader, Observation::Resumed);
                    return Ok(exchange);
                }
                StatusCode::NO_CONTENT => return Err(self.on_no_content(reader)),
                StatusCode::TOO_MANY_REQUESTS => {}
                StatusCode::NOT_FOUND => {
                    self.session.end();
                    return Err(RequestEnd::Settled(Outcome::Closed));
                }
                status => {
                    let Some(text) = self.text(&mut exchange).await else { continue };
                    self.simulation.hit("resumes: refused");
                    if text.contains("has expired") {
                        return Err(RequestEnd::Settled(Outcome::Expired));
                    }
                    self.report_failure(format!(
                        "a resume after {last} was answered by {status}: {text}"
                    ));
                    return Err(RequestEnd::Settled(Outcome::Unreachable));
                }
            }
        }
    }

    /// Waits for the reconnect delay, or for as long as the client stays away.
    pub(super) async fn wait_to_resume(&self, rng: &mut Rng, reader: usize) {
        let retry = {
            let record = self.session.record.lock();
            let last = record.readers.get(reader).and_then(|it| it.observations.last().cloned());
            if let Some(Observation::Priming { retry, .. }) = last { retry } else { None }
        };
        let time = if self.simulation.draw_fault(rng, Fault::LongAbsence) {
            self.simulation.hit("clients: absent");
            self.simulation.millis(rng, 1_000, 60_000)
        } else {
            retry.unwrap_or(self.simulation.millis(rng, 0, 500))
        };
        // No client stays away in the fault-free phase.
        let mut fault_free = self.simulation.fault_free();
        let fault_free = fault_free.wait_for(|is_fault_free| *is_fault_free);
        if self.simulation.is_fault_free() {
            sleep(time).await;
        } else {
            let _ = timeout(time, fault_free).await;
        }
    }

    /// Handles that the server has nothing left to resume.
    fn on_no_content(&self, reader: usize) -> RequestEnd {
        let (mut open, mut cancelled) = (0, 0);
        self.session.update_requests(reader, |request| {
            open += usize::from(request.outcome.is_none());
            cancelled += usize::from(request.outcome.is_none() && request.is_cancelled);
        });
        if open > cancelled {
            self.report_failure(format!(
                "nothing is left to resume, but {open} requests have no response"
            ));
        }
        RequestEnd::Settled(Outcome::Cancelled)
    }

    /// Handles that the server refused requests.
    async fn on_refused(
        &self,
        exchange: &mut Exchange,
        reader: usize,
        status: StatusCode,
    ) -> RequestEnd {
        let Some(text) = self.text(exchange).await else {
            return RequestEnd::Settled(Outcome::Unreachable);
        };
        let mut is_duplicated = false;
        self.session.update_requests(reader, |request| is_duplicated |= request.is_duplicated);
        if !(is_duplicated && text.contains("is in use")) {
            self.report_failure(format!("a request was answered by {status}: {text}"));
        }
        RequestEnd::Refused
    }

    /// Checks a response with the status 502: the connection was cut before the client was sent anything,
    /// because it did not read for too long.
    pub(super) async fn check_lost(&self, exchange: &mut Exchange) {
        let Some(text) = self.text(exchange).await else { return };
        let is_cut = self.simulation.parameters.base.config.stall_disconnect_timeout.is_some();
        if is_cut && text.contains("the response was lost") {
            self.simulation.hit("responses: lost before the first event");
        } else {
            self.report_failure(format!("a request was answered by 502: {text}"));
        }
    }

    pub(super) async fn text(&self, exchange: &mut Exchange) -> Option<String> {
        let body = exchange.collect(self.simulation.parameters.response_timeout()).await;
        let body = body.inspect_err(|broken| self.on_connection_error(*broken)).ok()?;
        let text = String::from_utf8_lossy(&body).into_owned();
        self.session.trace(format!("< {text}"));
        Some(text)
    }

    /// Returns whether a message is above the size limit.
    pub(super) fn is_too_large(&self, message: &Value) -> bool {
        message.to_string().len() > self.simulation.parameters.base.config.message_bytes_max
    }

    /// Returns the JSON of a request.
    pub(super) fn request_body(&self, rng: &mut Rng, id: &RequestId) -> Value {
        let mut params = if self.simulation.parameters.backend == BackendKind::Demo {
            demo_tool(rng)
        } else {
            let max = self.simulation.parameters.base.config.message_bytes_max;
            let is_oversized =
                self.simulation.draw_fault(rng, Fault::OversizedMessage) && max < 10_000;
            let bytes = if is_oversized { max } else { rng.size(0, 200) };
            let arguments =
                json!({ "calm": self.simulation.is_fault_free(), "pad": padding(bytes) });
            json!({ "name": "work", "arguments": arguments })
        };
        // Depends on the id only, so that a duplicate has the same token.
        let has_token = self.simulation.parameters.backend == BackendKind::Demo
            || !id.to_string().contains('7');
        if let Some(params) = params.as_object_mut().filter(|_| has_token) {
            params.insert("_meta".to_owned(), json!({ "progressToken": id_value(id) }));
        }
        json!({ "jsonrpc": "2.0", "id": id_value(id), "method": "tools/call", "params": params })
    }
}

/// Returns a tool of the demo server, with arguments.
fn demo_tool(rng: &mut Rng) -> Value {
    let (name, arguments) = match rng.below(12) {
        0..3 => ("count", json!({ "total": rng.between(1, 30), "interval_ms": rng.below(40) })),
        3 => ("count", json!({ "total": rng.between(10, 400), "interval_ms": 0 })),
        4 => ("count", json!({ "total": 1, "interval_ms": rng.below(600) })),
        5 => ("poll", json!({ "ms": rng.below(400) })),
        6 => ("complete", json!({ "prompt": "what?" })),
        7 => ("ask", json!({ "question": "why?" })),
        8 => ("announce", json!({ "count": rng.between(1, 5), "interval_ms": rng.between(1, 80) })),
        _ => ("echo", json!({ "message": padding(rng.size(1, 2_000)) })),
    };
    json!({ "name": name, "arguments": arguments })
}
