//! Settling: each request ends once, with an outcome that is justified.

use rejoin_core::{Input, RequestId};

use crate::kit::Fault;
use crate::kit::checker::{Outcome, RequestFacts, check_outcome};
use crate::simulation::Simulation;
use crate::simulation::event_queue::{ReaderNo, Serial, ServerNo};
use crate::simulation::state::ReaderKind;

impl Simulation {
    /// Settles the request that a response or a failure names, if it is pending on this stream.
    pub(super) fn settle_id(
        &mut self,
        reader: ReaderNo,
        id: &RequestId,
        outcome: Outcome,
    ) -> Result<(), String> {
        let Some(reader) = self.readers.get(&reader) else {
            return Ok(());
        };
        let ReaderKind::Requests { ids, .. } = &reader.kind else {
            return Ok(());
        };
        if !ids.contains(id) {
            return Err(format!("a response to {id} was received on the stream of {ids:?}"));
        }
        let server = reader.server;
        let mut known = self.requests.iter();
        let known = known.find(|(_, request)| request.server == server && request.id == *id);
        match known.map(|(serial, _)| *serial) {
            Some(serial) => self.settle(serial, outcome),
            None => Ok(()),
        }
    }

    /// Settles a request that is pending.
    pub(in crate::simulation) fn settle(
        &mut self,
        serial: Serial,
        outcome: Outcome,
    ) -> Result<(), String> {
        let Some(request) = self.requests.get_mut(&serial) else {
            return Ok(());
        };
        let is_answered =
            |outcome: Outcome| matches!(outcome, Outcome::Answered | Outcome::Failed(_));
        if let Some(known) = request.outcome {
            if is_answered(known) && is_answered(outcome) {
                return Err(format!("request {} was answered twice", request.id));
            }
            return Ok(());
        }
        let (Some(server), reader) =
            (self.servers.get(request.server), self.readers.get_mut(&request.reader))
        else {
            return Ok(());
        };
        let facts = RequestFacts {
            config: &server.config,
            age: self.now.since(request.sent_at),
            closed: server.view.closed,
            is_cancelled: request.is_cancelled,
            must_be_answered: request.must_be_answered,
            saw_id: reader.as_ref().is_some_and(|reader| reader.saw_id),
            requests: server.requests,
            was_evicted: server.ground_truth.is_evicted(&request.id),
            was_orphaned: server.ground_truth.is_orphaned(&request.id),
            was_limited: server.was_limited,
        };
        self.failed_session = Some(request.server);
        check_outcome(outcome, &facts)?;
        request.outcome = Some(outcome);
        if let Some(ReaderKind::Requests { open, .. }) = reader.map(|reader| &mut reader.kind) {
            open.remove(&serial);
        }
        if let Some(client) = self.clients.get_mut(&request.client) {
            client.pending.remove(&serial);
            // A request that never reached a session is made again.
            client.requests_left += usize::from(!request.is_accepted);
        }
        outcome.record(&mut self.coverage);
        Ok(())
    }

    /// Cancels a request that has timed out.
    pub(in crate::simulation) fn time_out_request(&mut self, serial: Serial) {
        let request = self.requests.get(&serial);
        if request.is_some_and(|request| request.outcome.is_none()) {
            self.cancel_request(serial);
        }
    }

    /// Cancels a request.
    pub(super) fn cancel_request(&mut self, serial: Serial) {
        let Some(request) = self.requests.get_mut(&serial) else {
            return;
        };
        request.is_cancelled = true;
        let (client, server, id) = (request.client, request.server, request.id.clone());
        let message = self.cancellation(server, id);
        self.send_post(client, server, message, Some(serial));
    }

    /// Settles a request that cannot be resumed, and cancels it for the server.
    pub(super) fn settle_unreachable(&mut self, serial: Serial) -> Result<(), String> {
        self.settle(serial, Outcome::Unreachable)?;
        self.cancel_request(serial);
        Ok(())
    }

    /// Settles the request that an accepted message has cancelled.
    pub(in crate::simulation) fn on_message_accepted(
        &mut self,
        cancels: Option<Serial>,
    ) -> Result<(), String> {
        match cancels {
            Some(serial) => self.settle(serial, Outcome::Cancelled),
            None => Ok(()),
        }
    }

    /// Abandons the stream of a request, on behalf of the driver.
    pub(in crate::simulation) fn abandon(
        &mut self,
        server: ServerNo,
        serial: Serial,
    ) -> Result<(), String> {
        let Some(request) = self.requests.get(&serial) else {
            return Ok(());
        };
        let view = self.servers.get(server).map(|server| &server.view);
        let Some(stream) = view.and_then(|view| view.stream_of(&request.id)) else {
            return Ok(());
        };
        let reader = request.reader;
        let of_stream = self.requests.values_mut().filter(|it| it.reader == reader);
        of_stream.for_each(|request| request.is_cancelled = true);
        self.coverage.hit_fault(Fault::Abandon);
        self.handle_input(server, Input::Abandon { stream }).map(|_| ())
    }
}
