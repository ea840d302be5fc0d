//! Resumption of a stream by a client, and its handling of a rejection.

use std::collections::BTreeSet;

use rejoin_core::{ClientFault, Rejection, RequestId, StreamId};

use crate::kit::Fault;
use crate::kit::checker::Outcome;
use crate::simulation::Simulation;
use crate::simulation::driver::LinkOrigin;
use crate::simulation::event_queue::{LinkNo, ReaderNo, Serial, SimEvent};
use crate::simulation::link::LinkFault;
use crate::simulation::packet::Packet;
use crate::simulation::state::{ClientRequest, ReaderKind, StreamReader};

impl Simulation {
    /// Schedules the resume of a stream.
    pub(super) fn schedule_resume(&mut self, no: ReaderNo) {
        let Some(reader) = self.readers.get_mut(&no) else {
            return;
        };
        let Some(rng) = self.clients.get_mut(&reader.client).map(|client| &mut client.rng) else {
            return;
        };
        let retry = reader.retry.take();
        let delay = if rng.chance(self.faults.rate(Fault::LongAbsence)) {
            self.coverage.hit_fault(Fault::LongAbsence);
            rng.millis(1_000, 60_000)
        } else {
            retry.unwrap_or(rng.millis(0, 500))
        };
        self.schedule_after(delay, SimEvent::Resume(no));
    }

    /// Resumes a stream.
    pub(in crate::simulation) fn resume(&mut self, no: ReaderNo) -> Result<(), String> {
        let Some(reader) = self.readers.get_mut(&no).filter(|it| it.link.is_none()) else {
            return Ok(());
        };
        let (client, server) = (reader.client, reader.server);
        if self.clients.get(&client).is_none_or(|client| client.is_done) {
            return Ok(());
        }
        let last_event_id = reader.checker.last_event_id();
        match &reader.kind {
            ReaderKind::Requests { open, .. } if open.is_empty() => {
                self.readers.remove(&no);
                return Ok(());
            }
            ReaderKind::Requests { open, .. } if last_event_id.is_none() => {
                let open: Vec<Serial> = open.iter().copied().collect();
                open.into_iter().try_for_each(|serial| self.settle_unreachable(serial))?;
                self.readers.remove(&no);
                return Ok(());
            }
            ReaderKind::Requests { .. }
            | ReaderKind::Standalone
            | ReaderKind::Initialize
            | ReaderKind::Spurious => {}
        }
        if last_event_id.is_some() {
            reader.checker.is_strict = true;
            self.coverage.hit("resumes");
        }
        let link = self.open_link(client, server, no);
        self.send_on_link(link, Packet::Get { link, last_event_id });
        Ok(())
    }

    /// Handles that the server has accepted a link.
    pub(in crate::simulation) fn on_accepted(&mut self, no: LinkNo, origin: LinkOrigin) {
        let Some(link) = self.links.get_mut(&no) else {
            return;
        };
        let (client, reader) = (link.client, self.readers.get(&link.reader));
        let is_early = link.fault == LinkFault::CutEarly;
        if is_early {
            link.fault = LinkFault::None;
        }
        let is_read = link.is_open_at_client;
        let is_standalone =
            |reader: &StreamReader| reader.checker.stream == Some(StreamId::Standalone);
        let is_spurious = reader.is_some_and(|it| matches!(it.kind, ReaderKind::Spurious));
        let is_other = reader.is_none() || is_spurious && reader.is_some_and(is_standalone);
        if origin == LinkOrigin::Get && is_other {
            self.relax_standalone(client);
        }
        if origin == LinkOrigin::Request {
            self.count_accepted(no);
        }
        if is_early {
            self.coverage.hit_fault(Fault::CutEarly);
            self.break_link(no);
        } else if !is_read {
            self.close_at_client(no);
        }
    }

    fn count_accepted(&mut self, no: LinkNo) {
        let Some(link) = self.links.get(&no) else {
            return;
        };
        let (server, is_read) = (link.server, link.is_open_at_client);
        let reader = self.readers.get(&link.reader);
        let ids = match reader.map(|it| &it.kind) {
            Some(ReaderKind::Requests { ids, .. }) => ids.clone(),
            Some(ReaderKind::Initialize | ReaderKind::Standalone | ReaderKind::Spurious) | None => {
                BTreeSet::new()
            }
        };
        let mut overtaken = Vec::new();
        let own = self.requests.iter_mut().filter(|(_, it)| it.server == server);
        for (serial, request) in own.filter(|(_, request)| ids.contains(&request.id)) {
            request.is_accepted = true;
            self.coverage.hit("requests");
            if is_read && request.outcome.is_some() {
                overtaken.push(*serial);
            }
        }
        for serial in overtaken {
            // The cancellation overtook the request, and had no effect.
            self.coverage.hit("cancellations: before the request");
            self.cancel_request(serial);
        }
        if let Some(server) = self.servers.get_mut(server) {
            server.requests += ids.len().max(1);
        }
    }

    /// Handles that the server has rejected a link.
    pub(in crate::simulation) fn on_rejected(
        &mut self,
        no: LinkNo,
        rejection: &Rejection,
    ) -> Result<(), String> {
        let Some(link) = self.links.get_mut(&no) else {
            return Ok(());
        };
        let was_read = std::mem::take(&mut link.is_open_at_client);
        let (reader_no, client, server) = (link.reader, link.client, link.server);
        if !was_read {
            return Ok(());
        }
        if matches!(rejection, Rejection::Closed(_)) {
            return self.leave_session(client, server);
        }
        let Some(reader) = self.readers.get_mut(&reader_no).filter(|it| it.link == Some(no)) else {
            return Ok(());
        };
        reader.link = None;
        let is_resume = reader.saw_id;
        match reader.kind.clone() {
            ReaderKind::Spurious => {
                self.readers.remove(&reader_no);
                self.coverage.hit("resumes: refused");
                Ok(())
            }
            ReaderKind::Initialize => Err(format!("initialize was rejected: {rejection}")),
            ReaderKind::Standalone => self.on_rejected_get(reader_no, rejection),
            ReaderKind::Requests { open, .. } if is_resume => {
                let Some(outcome) = outcome_of_rejection(rejection) else {
                    return self.on_rejected_get(reader_no, rejection);
                };
                self.coverage.hit("resumes: refused");
                self.readers.remove(&reader_no);
                open.into_iter().try_for_each(|serial| self.settle(serial, outcome))
            }
            ReaderKind::Requests { open, .. } => {
                // The id of a duplicate, or of a request cancelled before it arrived, may be in
                // use.
                let may_be_in_use = |id: &RequestId| {
                    let known =
                        |request: &&ClientRequest| request.server == server && request.id == *id;
                    let request = self.requests.values().find(known);
                    request
                        .is_some_and(|request| request.is_duplicated || request.outcome.is_some())
                };
                if !is_expected_rejection(rejection, may_be_in_use) {
                    return Err(format!("a request was rejected: {rejection}"));
                }
                if *rejection == Rejection::Draining {
                    self.coverage.hit("requests: refused by a session that drains");
                }
                self.readers.remove(&reader_no);
                self.requeue_requests(client, &open);
                self.free_connection(client, rejection)
            }
        }
    }

    /// Retries later, where a limit was reached.
    fn on_rejected_get(&mut self, no: ReaderNo, rejection: &Rejection) -> Result<(), String> {
        let Some(client) = self.readers.get(&no).map(|reader| reader.client) else {
            return Ok(());
        };
        let is_full = matches!(
            rejection,
            Rejection::Client(
                ClientFault::StandaloneConflict
                    | ClientFault::TooManyStreams { .. }
                    | ClientFault::TooManyConnections { .. },
            )
        );
        if !is_full {
            return Err(format!("a GET was rejected: {rejection}"));
        }
        let delay = self.retry_delay(client);
        self.schedule_after(delay, SimEvent::Resume(no));
        Ok(())
    }

    /// Closes the connection of the standalone stream, where there are too many.
    fn free_connection(&mut self, client: usize, rejection: &Rejection) -> Result<(), String> {
        let standalone = self.clients.get(&client).and_then(|client| client.standalone);
        let link = standalone.and_then(|reader| self.readers.get(&reader)?.link);
        match (rejection, link) {
            (Rejection::Client(ClientFault::TooManyConnections { .. }), Some(link)) => {
                self.detach_reader(link, false)?;
                self.close_at_client(link);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// Returns the outcome of the requests on a stream whose resume was rejected.
fn outcome_of_rejection(rejection: &Rejection) -> Option<Outcome> {
    if let Rejection::Client(ClientFault::ExpiredStream(_)) = rejection {
        return Some(Outcome::Expired);
    }
    let is_cancelled = matches!(rejection, Rejection::Client(ClientFault::CancelledStream(_)));
    is_cancelled.then_some(Outcome::StreamCancelled)
}

/// Returns whether a valid POST with requests may be rejected like this.
fn is_expected_rejection(
    rejection: &Rejection,
    may_be_in_use: impl FnOnce(&RequestId) -> bool,
) -> bool {
    let is_limit = matches!(
        rejection,
        Rejection::Client(
            ClientFault::TooManyRequests { .. }
                | ClientFault::TooManyCancelled { .. }
                | ClientFault::TooManyStreams { .. }
                | ClientFault::TooManyConnections { .. }
                | ClientFault::MessageTooLarge { .. },
        )
    );
    let is_known = match rejection {
        Rejection::Client(ClientFault::RequestIdInUse(id)) => may_be_in_use(id),
        Rejection::Client(_)
        | Rejection::Backend(_)
        | Rejection::ApiMisuse(_)
        | Rejection::Closed(_)
        | Rejection::Full => false,
        Rejection::Draining => true,
    };
    is_limit || is_known
}
