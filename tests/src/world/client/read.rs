//! Reading: what a client makes of what comes.

use rejoin_core::{EndReason, Event, Head, Initialized, RequestId};

use crate::world::World;
use crate::world::agenda::{LineNo, ReadingNo, ServerNo};
use crate::world::faults::Fault;
use crate::world::line::Item;
use crate::world::state::Kind;
use crate::world::witness::{Outcome, check_end, check_owner};

impl World {
    /// Lets a client see what came over a line.
    pub(in crate::world) fn receive(&mut self, no: LineNo, item: Item) -> Result<(), String> {
        let Some(line) = self.lines.get(&no).filter(|line| line.is_read) else {
            return Ok(());
        };
        let (reading_no, server_no) = (line.reading, line.server);
        let Some(reading) = self.readings.get_mut(&reading_no) else {
            return Ok(());
        };
        let Some(server) = self.servers.get(server_no) else {
            return Ok(());
        };
        match item {
            Item::Gap(missed) => reading.chain.tell(missed),
            Item::Event { id, event, .. } => {
                self.tally.add("events seen");
                reading.chain.see(&server.truth, id, &event)?;
                reading.saw_id |= id.is_some();
                self.seen = id.map(|id| (server_no, id)).or(self.seen);
                match event {
                    Event::Priming { retry } => {
                        reading.retry = retry;
                        Ok(())
                    }
                    Event::Failure(failure) => {
                        self.settle_id(reading_no, &failure.id, Outcome::Failed(failure.reason))
                    }
                    Event::Message(body) => self.receive_message(reading_no, server_no, body),
                }
            }
        }
    }

    fn receive_message(
        &mut self,
        reading_no: ReadingNo,
        server: ServerNo,
        body: u64,
    ) -> Result<(), String> {
        let (Some(said), Some(reading)) =
            (self.messages.get(body).cloned(), self.readings.get(&reading_no))
        else {
            return Err(format!("nobody ever said {body}"));
        };
        let client = reading.client;
        match &reading.kind {
            Kind::Requests { ids, .. } => check_owner(&said, server, Some(ids))?,
            Kind::Standalone => check_owner(&said, server, None)?,
            Kind::Enter | Kind::Stray => {}
        }
        match said.head {
            Head::Response { .. } if matches!(reading.kind, Kind::Enter) => {
                self.begin_work(client, server)
            }
            Head::Response { id, .. } | Head::Error { id: Some(id) } => {
                self.settle_id(reading_no, &id, Outcome::Answered)
            }
            Head::Request { id, .. } => {
                self.answer(client, server, &id);
                Ok(())
            }
            Head::Notification(_) | Head::Error { id: None } => Ok(()),
        }
    }

    /// Answers what the backend has asked, mostly once.
    fn answer(&mut self, client: usize, server: ServerNo, id: &RequestId) {
        let bad = self.faults.rate(Fault::BadAnswer);
        let luck = self.clients.get_mut(&client).map(|client| &mut client.luck);
        let count = luck.map_or(1, |luck| if luck.strikes(bad) { 2 * luck.below(2) } else { 1 });
        if count != 1 {
            self.tally.struck(Fault::BadAnswer);
        }
        for _ in 0..count {
            let head = Head::Response {
                id: id.clone(),
                initialized: Initialized::default(),
                creates_task: false,
            };
            let message = self.messages.say(server, head, 80);
            self.post(client, server, message, None);
        }
    }

    /// Ends what a client has of a line: all of it, or what came before it broke.
    pub(in crate::world) fn end_reading(
        &mut self,
        no: LineNo,
        is_whole: bool,
    ) -> Result<(), String> {
        let Some(line) = self.lines.get_mut(&no) else {
            return Ok(());
        };
        line.is_read = false;
        let is_complete = is_whole && line.ended == Some(EndReason::Complete);
        let (reading_no, client, server) = (line.reading, line.client, line.server);
        let Some(reading) = self.readings.get_mut(&reading_no).filter(|it| it.line == Some(no))
        else {
            return Ok(());
        };
        reading.line = None;
        let open = match &reading.kind {
            Kind::Enter => {
                self.readings.remove(&reading_no);
                if self.clients.get(&client).is_some_and(|client| !client.is_inside) {
                    self.leave(client, server)?;
                }
                return Ok(());
            }
            Kind::Stray => {
                self.readings.remove(&reading_no);
                return Ok(());
            }
            Kind::Standalone => 1,
            Kind::Requests { open, .. } => {
                check_end(is_complete, open.len())?;
                open.len()
            }
        };
        if open == 0 {
            self.readings.remove(&reading_no);
        } else {
            self.plan_to_come_back(reading_no);
        }
        Ok(())
    }

    /// Drops a line that was opened for no reason.
    pub(in crate::world) fn drop_stray(&mut self, no: LineNo) -> Result<(), String> {
        let reading = self.lines.get(&no).and_then(|line| self.readings.get(&line.reading));
        if reading.is_some_and(|reading| matches!(reading.kind, Kind::Stray)) {
            self.end_reading(no, false)?;
            self.hang_up(no);
        }
        Ok(())
    }
}
