//! Misuse: what a client does that it should not, or need not.

use http::StatusCode;
use rejoin_core::{EventId, RequestId, StreamId};
use rejoin_tests::world::{Chance, Fault};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::Guest;
use crate::exchange::Exchange;
use crate::visit::Kind;

impl Guest {
    /// Does what a client should not, now and then.
    pub(super) fn misuse(&self, luck: &mut Chance, serial: &mut u64, flows: &mut JoinSet<()>) {
        for is_future in [false, true] {
            let fault = if is_future { Fault::Future } else { Fault::Old };
            if self.world.strikes(luck, fault)
                && let Some(id) = self.some_id(luck, is_future)
            {
                self.world.count(if is_future { "resumes: future id" } else { "resumes: old id" });
                flows.spawn(self.clone().stray_get(self.luck(serial), Some(id)));
            }
        }
        if self.world.strikes(luck, Fault::Foreign)
            && let Some(id) = *self.world.stray_id.lock()
        {
            self.world.count("resumes: foreign id");
            flows.spawn(self.clone().stray_get(self.luck(serial), Some(id)));
        }
        if self.world.strikes(luck, Fault::ManyGets) {
            for _ in 0..luck.size(1, 4) {
                flows.spawn(self.clone().stray_get(self.luck(serial), None));
            }
        }
        if self.world.strikes(luck, Fault::Duplicate)
            && let Some(id) = self.some_flight(luck)
        {
            flows.spawn(self.clone().double(self.luck(serial), id));
        }
        if self.world.strikes(luck, Fault::Cancel) {
            let id = self.to_cancel(luck);
            let (guest, mut luck) = (self.clone(), self.luck(serial));
            flows.spawn(async move { guest.cancel(&mut luck, &id).await });
        }
        if self.world.strikes(luck, Fault::Wrong) {
            flows.spawn(self.clone().send_wrong(self.luck(serial)));
        }
        if self.world.strikes(luck, Fault::Delete) {
            let (guest, mut luck) = (self.clone(), self.luck(serial));
            flows.spawn(async move { guest.delete(&mut luck).await });
        }
    }

    /// Returns an event of a stream that the client reads, but not the one to resume after.
    fn some_id(&self, luck: &mut Chance, is_future: bool) -> Option<EventId> {
        let record = self.visit.record.lock();
        let ids: Vec<EventId> = record.readings.iter().filter_map(|it| it.last).collect();
        let EventId { stream, index } = luck.pick(&ids)?;
        let index = if is_future { index + luck.between(1, 4) } else { luck.below(index) };
        Some(EventId::new(stream, index))
    }

    /// Returns a request in flight.
    fn some_flight(&self, luck: &mut Chance) -> Option<RequestId> {
        let record = self.visit.record.lock();
        let open = record.calls.iter().filter(|it| it.outcome.is_none() && !it.is_refused);
        let open: Vec<&RequestId> = open.map(|call| &call.id).collect();
        luck.pick(&open).cloned()
    }

    /// Returns the id of a request in flight, which is given up, or of what is over.
    fn to_cancel(&self, luck: &mut Chance) -> RequestId {
        let is_late = luck.strikes(300);
        let flight = self.some_flight(luck).filter(|_| !is_late);
        let mut record = self.visit.record.lock();
        let calls = record.calls.iter_mut();
        if let Some(id) = flight {
            calls.filter(|call| call.id == id).for_each(|call| call.is_given_up = true);
            return id;
        }
        let over = calls.rev().find(|call| call.outcome.is_some());
        over.map_or(77.into(), |call| call.id.clone())
    }

    /// Opens a GET that nobody needs, and drops it after a while.
    async fn stray_get(self, mut luck: Chance, last_event_id: Option<EventId>) {
        let stream = last_event_id.map_or(StreamId::Standalone, |id| id.stream);
        let is_rival = stream == StreamId::Standalone;
        if is_rival {
            self.visit.begin_rival();
        }
        if let Ok(exchange) = self.get(&mut luck, last_event_id).await {
            match exchange.status() {
                StatusCode::OK => {
                    let reading = self.visit.begin_reading(Kind::Stray(last_event_id));
                    self.look(&mut luck, exchange, reading).await;
                }
                StatusCode::NOT_FOUND => self.visit.leave(),
                StatusCode::BAD_REQUEST if last_event_id.is_some() => {
                    self.world.count("resumes: refused");
                }
                StatusCode::NO_CONTENT | StatusCode::TOO_MANY_REQUESTS => {}
                StatusCode::CONFLICT if is_rival => {}
                status => {
                    self.blame(format!("a GET after {last_event_id:?} was answered by {status}"));
                }
            }
        }
        if is_rival {
            self.visit.end_rival();
        }
    }

    /// Sends a request again that is in flight.
    async fn double(self, mut luck: Chance, id: RequestId) {
        self.world.count("requests: doubled");
        let double = |record: &mut crate::visit::Record| {
            record.calls.iter_mut().filter(|it| it.id == id).for_each(|it| it.is_doubled = true);
        };
        double(&mut self.visit.record.lock());
        let request = self.request_of(&mut luck, &id);
        let is_too_large = self.is_too_large(&request);
        let fate = self.world.fate(&mut luck);
        let Ok(mut exchange) = self.post(fate, request.to_string()).await else { return };
        match exchange.status() {
            StatusCode::OK if !is_too_large => {
                self.visit.record.lock().accepted += 1;
                let reading = self.visit.begin_reading(Kind::Double(id));
                self.look(&mut luck, exchange, reading).await;
            }
            StatusCode::NOT_FOUND => self.visit.leave(),
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {}
            StatusCode::PAYLOAD_TOO_LARGE if is_too_large => {}
            status => {
                let Some(text) = self.text(&mut exchange).await else { return };
                if !(status == StatusCode::BAD_REQUEST && text.contains("is in use")) {
                    self.blame(format!("a double of {id} was answered by {status}: {text}"));
                }
            }
        }
    }

    /// Reads for a while.
    async fn look(&self, luck: &mut Chance, mut exchange: Exchange, reading: usize) {
        let time = self.world.millis(luck, 50, 5_000);
        let mut luck = Chance::new(luck.below(u64::MAX), 0, 0);
        tokio::select! {
            biased;
            _ = timeout(time, self.read(&mut luck, &mut exchange, reading)) => {}
            () = self.visit.over() => {}
        }
        drop(exchange);
        // The server hears of it before whatever comes next.
        sleep(std::time::Duration::from_millis(1)).await;
    }
}
