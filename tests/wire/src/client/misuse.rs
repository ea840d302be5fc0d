//! Misuse of the protocol by a client, and spurious requests.

use http::StatusCode;
use rejoin_core::{EventId, RequestId, StreamId};
use rejoin_tests::kit::{Fault, Rng};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::Client;
use crate::client_session::ReaderKind;
use crate::exchange::Exchange;

impl Client {
    /// Injects misuse at random.
    pub(super) fn misuse(&self, rng: &mut Rng, serial: &mut u64, tasks: &mut JoinSet<()>) {
        for is_future in [false, true] {
            let fault = if is_future { Fault::ResumeFuture } else { Fault::ResumeOld };
            if self.simulation.draw_fault(rng, fault)
                && let Some(id) = self.random_event_id(rng, is_future)
            {
                self.simulation.hit(if is_future {
                    "resumes: future id"
                } else {
                    "resumes: old id"
                });
                tasks.spawn(self.clone().open_spurious_get(self.new_rng(serial), Some(id)));
            }
        }
        if self.simulation.draw_fault(rng, Fault::ResumeForeign)
            && let Some(id) = *self.simulation.foreign_event_id.lock()
        {
            self.simulation.hit("resumes: foreign id");
            tasks.spawn(self.clone().open_spurious_get(self.new_rng(serial), Some(id)));
        }
        if self.simulation.draw_fault(rng, Fault::ExtraGets) {
            for _ in 0..rng.size(1, 4) {
                tasks.spawn(self.clone().open_spurious_get(self.new_rng(serial), None));
            }
        }
        if self.simulation.draw_fault(rng, Fault::RequestDuplicated)
            && let Some(id) = self.random_pending(rng)
        {
            tasks.spawn(self.clone().duplicate_request(self.new_rng(serial), id));
        }
        if self.simulation.draw_fault(rng, Fault::Cancel) {
            let id = self.request_to_cancel(rng);
            let (client, mut rng) = (self.clone(), self.new_rng(serial));
            tasks.spawn(async move { client.cancel(&mut rng, &id).await });
        }
        if self.simulation.draw_fault(rng, Fault::InvalidInput) {
            tasks.spawn(self.clone().send_invalid(self.new_rng(serial)));
        }
        if self.simulation.draw_fault(rng, Fault::Delete) {
            let (client, mut rng) = (self.clone(), self.new_rng(serial));
            tasks.spawn(async move { client.delete(&mut rng).await });
        }
    }

    /// Returns an event id of a stream that the client reads, other than the one to resume
    /// after.
    fn random_event_id(&self, rng: &mut Rng, is_future: bool) -> Option<EventId> {
        let record = self.session.record.lock();
        let ids: Vec<EventId> = record.readers.iter().filter_map(|it| it.last_event_id).collect();
        let EventId { stream, index } = rng.choose(&ids)?;
        let index = if is_future { index + rng.between(1, 4) } else { rng.below(index) };
        Some(EventId::new(stream, index))
    }

    /// Returns the id of a pending request.
    fn random_pending(&self, rng: &mut Rng) -> Option<RequestId> {
        let record = self.session.record.lock();
        let open = record.requests.iter().filter(|it| it.outcome.is_none() && !it.is_refused);
        let open: Vec<&RequestId> = open.map(|request| &request.id).collect();
        rng.choose(&open).cloned()
    }

    /// Returns the id of a pending request, which becomes cancelled, or of one that has ended.
    fn request_to_cancel(&self, rng: &mut Rng) -> RequestId {
        let is_late = rng.chance(300);
        let pending = self.random_pending(rng).filter(|_| !is_late);
        let mut record = self.session.record.lock();
        let requests = record.requests.iter_mut();
        if let Some(id) = pending {
            requests
                .filter(|request| request.id == id)
                .for_each(|request| request.is_cancelled = true);
            return id;
        }
        let ended = requests.rev().find(|request| request.outcome.is_some());
        ended.map_or(77.into(), |request| request.id.clone())
    }

    /// Opens a GET that the client does not need, and drops it later.
    async fn open_spurious_get(self, mut rng: Rng, last_event_id: Option<EventId>) {
        let stream = last_event_id.map_or(StreamId::Standalone, |id| id.stream);
        let is_competing = stream == StreamId::Standalone;
        if is_competing {
            self.session.begin_competing_get();
        }
        if let Ok(exchange) = self.get(&mut rng, last_event_id).await {
            match exchange.status() {
                StatusCode::OK => {
                    let reader = self.session.add_reader(ReaderKind::Spurious(last_event_id));
                    self.read_for_a_while(&mut rng, exchange, reader).await;
                }
                StatusCode::NOT_FOUND => self.session.end(),
                StatusCode::BAD_REQUEST if last_event_id.is_some() => {
                    self.simulation.hit("resumes: refused");
                }
                StatusCode::NO_CONTENT | StatusCode::TOO_MANY_REQUESTS => {}
                StatusCode::CONFLICT if is_competing => {}
                status => {
                    self.report_failure(format!(
                        "a GET after {last_event_id:?} was answered by {status}"
                    ));
                }
            }
        }
        if is_competing {
            self.session.end_competing_get();
        }
    }

    /// Sends a pending request a second time.
    async fn duplicate_request(self, mut rng: Rng, id: RequestId) {
        self.simulation.hit("requests: duplicated");
        let mark_duplicated = |record: &mut crate::client_session::Record| {
            record
                .requests
                .iter_mut()
                .filter(|it| it.id == id)
                .for_each(|it| it.is_duplicated = true);
        };
        mark_duplicated(&mut self.session.record.lock());
        let request = self.request_body(&mut rng, &id);
        let is_too_large = self.is_too_large(&request);
        let plan = self.simulation.draw_link(&mut rng);
        let Ok(mut exchange) = self.post(plan, request.to_string()).await else { return };
        match exchange.status() {
            StatusCode::OK if !is_too_large => {
                self.session.record.lock().posts_accepted += 1;
                let reader = self.session.add_reader(ReaderKind::DuplicateRequest(id));
                self.read_for_a_while(&mut rng, exchange, reader).await;
            }
            StatusCode::NOT_FOUND => self.session.end(),
            StatusCode::BAD_GATEWAY => {
                self.session.record.lock().posts_accepted += 1;
                self.check_lost(&mut exchange).await;
            }
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {}
            StatusCode::PAYLOAD_TOO_LARGE if is_too_large => {}
            status => {
                let Some(text) = self.text(&mut exchange).await else { return };
                if !(status == StatusCode::BAD_REQUEST && text.contains("is in use")) {
                    self.report_failure(format!(
                        "a duplicate of {id} was answered by {status}: {text}"
                    ));
                }
            }
        }
    }

    /// Reads for a while.
    async fn read_for_a_while(&self, rng: &mut Rng, mut exchange: Exchange, reader: usize) {
        let time = self.simulation.millis(rng, 50, 5_000);
        let mut rng = Rng::new(rng.below(u64::MAX), 0, 0);
        tokio::select! {
            biased;
            _ = timeout(time, self.read(&mut rng, &mut exchange, reader)) => {}
            () = self.session.ended() => {}
        }
        drop(exchange);
        // The server must notice before anything else is sent.
        sleep(std::time::Duration::from_millis(1)).await;
    }
}
