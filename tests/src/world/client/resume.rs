//! Resuming: a client comes back to a stream, or cannot.

use std::collections::BTreeSet;

use rejoin_core::{ApiMisuse, ClientFault, Rejection, RequestId, StreamId};

use crate::world::World;
use crate::world::agenda::{Happening, LineNo, ReadingNo, Serial};
use crate::world::driver::Way;
use crate::world::faults::Fault;
use crate::world::line::Fate;
use crate::world::parcel::Parcel;
use crate::world::state::{Kind, Reading, Request};
use crate::world::witness::Outcome;

impl World {
    /// Has a client come back after a while.
    pub(super) fn plan_to_come_back(&mut self, no: ReadingNo) {
        let Some(reading) = self.readings.get_mut(&no) else {
            return;
        };
        let Some(luck) = self.clients.get_mut(&reading.client).map(|client| &mut client.luck)
        else {
            return;
        };
        let retry = reading.retry.take();
        let delay = if luck.strikes(self.faults.rate(Fault::Absent)) {
            self.tally.struck(Fault::Absent);
            luck.millis(1_000, 60_000)
        } else {
            retry.unwrap_or(luck.millis(0, 500))
        };
        self.later(delay, Happening::Resume(no));
    }

    /// Lets a client come back to what it reads.
    pub(in crate::world) fn come_back(&mut self, no: ReadingNo) -> Result<(), String> {
        let Some(reading) = self.readings.get_mut(&no).filter(|it| it.line.is_none()) else {
            return Ok(());
        };
        let (client, server) = (reading.client, reading.server);
        if self.clients.get(&client).is_none_or(|client| client.is_done) {
            return Ok(());
        }
        let last_event_id = reading.chain.last_event_id();
        match &reading.kind {
            Kind::Requests { open, .. } if open.is_empty() => {
                self.readings.remove(&no);
                return Ok(());
            }
            Kind::Requests { open, .. } if last_event_id.is_none() => {
                let open: Vec<Serial> = open.iter().copied().collect();
                open.into_iter().try_for_each(|serial| self.lose_sight(serial))?;
                self.readings.remove(&no);
                return Ok(());
            }
            Kind::Requests { .. } | Kind::Standalone | Kind::Enter | Kind::Stray => {}
        }
        if last_event_id.is_some() {
            reading.chain.is_sure = true;
            self.tally.add("resumes");
        }
        let line = self.open_line(client, server, no);
        self.send_off(line, Parcel::Get { line, last_event_id });
        Ok(())
    }

    /// Notes that a line has come to its server, and what it did there.
    pub(in crate::world) fn connected(&mut self, no: LineNo, way: Way) {
        let Some(line) = self.lines.get_mut(&no) else {
            return;
        };
        let (client, reading) = (line.client, self.readings.get(&line.reading));
        let is_early = line.fate == Fate::Early;
        if is_early {
            line.fate = Fate::Sound;
        }
        let is_read = line.is_read;
        let is_standalone = |reading: &Reading| reading.chain.stream == Some(StreamId::Standalone);
        let is_stray = reading.is_some_and(|it| matches!(it.kind, Kind::Stray));
        let is_other = reading.is_none() || is_stray && reading.is_some_and(is_standalone);
        if way == Way::Get && is_other {
            self.doubt_standalone(client);
        }
        if way == Way::Request {
            self.count_accepted(no);
        }
        if is_early {
            self.tally.struck(Fault::CutEarly);
            self.lose_both(no);
        } else if !is_read {
            self.hang_up(no);
        }
    }

    fn count_accepted(&mut self, no: LineNo) {
        let Some(line) = self.lines.get(&no) else {
            return;
        };
        let (server, is_read) = (line.server, line.is_read);
        let reading = self.readings.get(&line.reading);
        let ids = match reading.map(|it| &it.kind) {
            Some(Kind::Requests { ids, .. }) => ids.clone(),
            Some(Kind::Enter | Kind::Standalone | Kind::Stray) | None => BTreeSet::new(),
        };
        let mut overtaken = Vec::new();
        let own = self.requests.iter_mut().filter(|(_, it)| it.server == server);
        for (serial, request) in own.filter(|(_, request)| ids.contains(&request.id)) {
            request.is_accepted = true;
            self.tally.add("requests");
            if is_read && request.outcome.is_some() {
                overtaken.push(*serial);
            }
        }
        for serial in overtaken {
            // Its cancellation came first, and said nothing to anybody.
            self.tally.add("cancellations: before the request");
            self.give_up(serial);
        }
        if let Some(server) = self.servers.get_mut(server) {
            server.requests += ids.len().max(1);
        }
    }

    /// Lets a client hear that what opened a line was refused.
    pub(in crate::world) fn refused(
        &mut self,
        no: LineNo,
        rejection: &Rejection,
    ) -> Result<(), String> {
        let Some(line) = self.lines.get_mut(&no) else {
            return Ok(());
        };
        let was_read = std::mem::take(&mut line.is_read);
        let is_reserved = line.is_reserved;
        let (reading_no, client, server) = (line.reading, line.client, line.server);
        if !was_read {
            return Ok(());
        }
        if matches!(rejection, Rejection::Closed(_)) {
            return self.leave(client, server);
        }
        let Some(reading) = self.readings.get_mut(&reading_no).filter(|it| it.line == Some(no))
        else {
            return Ok(());
        };
        reading.line = None;
        let is_resume = reading.saw_id;
        match reading.kind.clone() {
            Kind::Stray => {
                self.readings.remove(&reading_no);
                self.tally.add("resumes: refused");
                Ok(())
            }
            Kind::Enter => Err(format!("initialize was refused: {rejection}")),
            Kind::Standalone => self.refused_get(reading_no, rejection),
            Kind::Requests { open, .. } if is_resume => {
                let Some(outcome) = over(rejection) else {
                    return self.refused_get(reading_no, rejection);
                };
                self.tally.add("resumes: refused");
                self.readings.remove(&reading_no);
                open.into_iter().try_for_each(|serial| self.settle(serial, outcome))
            }
            Kind::Requests { open, .. } => {
                // What was sent twice, or was cancelled before it came, may be in use.
                let may_be_in_use = |id: &RequestId| {
                    let known = |request: &&Request| request.server == server && request.id == *id;
                    let request = self.requests.values().find(known);
                    request.is_some_and(|request| request.is_doubled || request.outcome.is_some())
                };
                if !may_be_refused(rejection, may_be_in_use, is_reserved) {
                    return Err(format!("a request was refused: {rejection}"));
                }
                self.readings.remove(&reading_no);
                self.unmake_requests(client, &open);
                self.make_room(client, rejection)
            }
        }
    }

    /// Comes back later, where there was no room.
    fn refused_get(&mut self, no: ReadingNo, rejection: &Rejection) -> Result<(), String> {
        let Some(client) = self.readings.get(&no).map(|reading| reading.client) else {
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
            return Err(format!("a GET was refused: {rejection}"));
        }
        let delay = self.patience_for_limits(client);
        self.later(delay, Happening::Resume(no));
        Ok(())
    }

    /// Gives the connection of the standalone stream up, where there are too many.
    fn make_room(&mut self, client: usize, rejection: &Rejection) -> Result<(), String> {
        let standalone = self.clients.get(&client).and_then(|client| client.standalone);
        let line = standalone.and_then(|reading| self.readings.get(&reading)?.line);
        match (rejection, line) {
            (Rejection::Client(ClientFault::TooManyConnections { .. }), Some(line)) => {
                self.end_reading(line, false)?;
                self.hang_up(line);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// Returns how a request ended whose client was told that its stream is over.
fn over(rejection: &Rejection) -> Option<Outcome> {
    if let Rejection::Client(ClientFault::ExpiredStream(_)) = rejection {
        return Some(Outcome::Expired);
    }
    let is_cancelled = matches!(rejection, Rejection::Client(ClientFault::CancelledStream(_)));
    is_cancelled.then_some(Outcome::StreamCancelled)
}

/// Returns whether a POST with requests that breaks no rule may be refused like this.
fn may_be_refused(
    rejection: &Rejection,
    may_be_in_use: impl FnOnce(&RequestId) -> bool,
    is_reserved: bool,
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
        | Rejection::Closed(_) => false,
    };
    // The reservation may have expired just now.
    let is_over = matches!(rejection, Rejection::ApiMisuse(ApiMisuse::ConnectionInUse(_)));
    is_limit || is_known || is_reserved && is_over
}
