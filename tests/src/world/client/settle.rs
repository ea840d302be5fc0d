//! Settling: every request ends once, and something explains how.

use rejoin_core::{Input, RequestId};

use crate::world::World;
use crate::world::agenda::{ReadingNo, Serial, ServerNo};
use crate::world::faults::Fault;
use crate::world::state::Kind;
use crate::world::witness::{Circumstances, Outcome, explain};

impl World {
    /// Settles the request that an answer or a failure names, if it was waited for here.
    pub(super) fn settle_id(
        &mut self,
        reading: ReadingNo,
        id: &RequestId,
        outcome: Outcome,
    ) -> Result<(), String> {
        let Some(reading) = self.readings.get(&reading) else {
            return Ok(());
        };
        let Kind::Requests { ids, .. } = &reading.kind else {
            return Ok(());
        };
        if !ids.contains(id) {
            return Err(format!("an answer to {id} came on the stream of {ids:?}"));
        }
        let server = reading.server;
        let mut known = self.requests.iter();
        let known = known.find(|(_, request)| request.server == server && request.id == *id);
        match known.map(|(serial, _)| *serial) {
            Some(serial) => self.settle(serial, outcome),
            None => Ok(()),
        }
    }

    /// Settles a request, if it has not yet.
    pub(in crate::world) fn settle(
        &mut self,
        serial: Serial,
        outcome: Outcome,
    ) -> Result<(), String> {
        let Some(request) = self.requests.get_mut(&serial) else {
            return Ok(());
        };
        let is_answer =
            |outcome: Outcome| matches!(outcome, Outcome::Answered | Outcome::Failed(_));
        if let Some(known) = request.outcome {
            if is_answer(known) && is_answer(outcome) {
                return Err(format!("request {} was answered twice", request.id));
            }
            return Ok(());
        }
        let (Some(server), reading) =
            (self.servers.get(request.server), self.readings.get_mut(&request.reading))
        else {
            return Ok(());
        };
        let known = Circumstances {
            config: &server.config,
            age: self.now.since(request.sent_at),
            closed: server.view.closed,
            is_given_up: request.is_given_up,
            is_due: request.is_due,
            saw_id: reading.as_ref().is_some_and(|reading| reading.saw_id),
            requests: server.requests,
            was_evicted: server.truth.is_evicted(&request.id),
            was_orphaned: server.truth.is_orphaned(&request.id),
        };
        self.suspect = Some(request.server);
        explain(outcome, &known)?;
        request.outcome = Some(outcome);
        if let Some(Kind::Requests { open, .. }) = reading.map(|reading| &mut reading.kind) {
            open.remove(&serial);
        }
        if let Some(client) = self.clients.get_mut(&request.client) {
            client.flights.remove(&serial);
            // What never came to a session is asked for again.
            client.todo += usize::from(!request.is_accepted);
        }
        outcome.count(&mut self.tally);
        Ok(())
    }

    /// Cancels a request whose client has waited long enough.
    pub(in crate::world) fn lose_patience(&mut self, serial: Serial) {
        let request = self.requests.get(&serial);
        if request.is_some_and(|request| request.outcome.is_none()) {
            self.give_up(serial);
        }
    }

    /// Cancels a request.
    pub(super) fn give_up(&mut self, serial: Serial) {
        let Some(request) = self.requests.get_mut(&serial) else {
            return;
        };
        request.is_given_up = true;
        let (client, server, id) = (request.client, request.server, request.id.clone());
        let message = self.cancellation(server, id);
        self.post(client, server, message, Some(serial));
    }

    /// Settles what a client cannot come back to, and cancels it, lest the server wait.
    pub(super) fn lose_sight(&mut self, serial: Serial) -> Result<(), String> {
        self.settle(serial, Outcome::Unreachable)?;
        self.give_up(serial);
        Ok(())
    }

    /// Settles what a cancellation was for.
    pub(in crate::world) fn told(&mut self, cancels: Option<Serial>) -> Result<(), String> {
        match cancels {
            Some(serial) => self.settle(serial, Outcome::Cancelled),
            None => Ok(()),
        }
    }

    /// Lets the driver give up the stream of a request.
    pub(in crate::world) fn abandon(
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
        let reading = request.reading;
        let of_stream = self.requests.values_mut().filter(|it| it.reading == reading);
        of_stream.for_each(|request| request.is_given_up = true);
        self.tally.struck(Fault::Abandon);
        self.tell_server(server, Input::Abandon { stream }).map(|_| ())
    }
}
