//! Handling of what a client receives.

use rejoin_core::{CloseReason, Event, Head, Initialized, RequestId};

use crate::kit::Fault;
use crate::kit::checker::Outcome;
use crate::simulation::Simulation;
use crate::simulation::checker::{check_owner, check_stream_end};
use crate::simulation::event_queue::{LinkNo, ReaderNo, ServerNo};
use crate::simulation::link::Item;
use crate::simulation::state::ReaderKind;

impl Simulation {
    /// Handles an item that was received on a link.
    pub(in crate::simulation) fn receive(&mut self, no: LinkNo, item: Item) -> Result<(), String> {
        let Some(link) = self.links.get(&no).filter(|link| link.is_open_at_client) else {
            return Ok(());
        };
        let (reader_no, server_no) = (link.reader, link.server);
        let Some(reader) = self.readers.get_mut(&reader_no) else {
            return Ok(());
        };
        let Some(server) = self.servers.get(server_no) else {
            return Ok(());
        };
        let Item { id, event, .. } = item;
        self.coverage.hit("events received");
        reader.checker.on_event(&server.ground_truth, id, &event)?;
        reader.saw_id |= id.is_some();
        self.foreign_event_id = id.map(|id| (server_no, id)).or(self.foreign_event_id);
        match event {
            Event::Priming { retry } => {
                reader.retry = retry;
                Ok(())
            }
            Event::Gap { .. } => Ok(()),
            Event::Failure(failure) => {
                self.settle_id(reader_no, &failure.id, Outcome::Failed(failure.reason))
            }
            Event::Message(body) => self.receive_message(reader_no, server_no, body),
        }
    }

    fn receive_message(
        &mut self,
        reader_no: ReaderNo,
        server: ServerNo,
        body: u64,
    ) -> Result<(), String> {
        let (Some(sent), Some(reader)) =
            (self.messages.get(body).cloned(), self.readers.get(&reader_no))
        else {
            return Err(format!("no message {body} was ever sent"));
        };
        let client = reader.client;
        match &reader.kind {
            ReaderKind::Requests { ids, .. } => check_owner(&sent, server, Some(ids))?,
            ReaderKind::Standalone => check_owner(&sent, server, None)?,
            ReaderKind::Initialize | ReaderKind::Spurious => {}
        }
        match sent.head {
            Head::Response { .. } if matches!(reader.kind, ReaderKind::Initialize) => {
                self.on_initialized(client, server)
            }
            Head::Response { id, .. } | Head::Error { id: Some(id) } => {
                self.settle_id(reader_no, &id, Outcome::Answered)
            }
            Head::Request { id, .. } => {
                self.send_response(client, server, &id);
                Ok(())
            }
            Head::Notification(_) | Head::Error { id: None } => Ok(()),
        }
    }

    /// Responds to a server request, usually once.
    fn send_response(&mut self, client: usize, server: ServerNo, id: &RequestId) {
        let rate = self.faults.rate(Fault::WrongResponseCount);
        let rng = self.clients.get_mut(&client).map(|client| &mut client.rng);
        let count = rng.map_or(1, |rng| if rng.chance(rate) { 2 * rng.below(2) } else { 1 });
        if count != 1 {
            self.coverage.hit_fault(Fault::WrongResponseCount);
        }
        for _ in 0..count {
            let head = Head::Response {
                id: id.clone(),
                initialized: Initialized::default(),
                creates_task: false,
            };
            let message = self.messages.create(server, head, 80);
            self.send_post(client, server, message, None);
        }
    }

    /// Ends the client's side of a link, which was read to its end or broke.
    pub(in crate::simulation) fn detach_reader(
        &mut self,
        no: LinkNo,
        is_read_to_end: bool,
    ) -> Result<(), String> {
        let Some(link) = self.links.get_mut(&no) else {
            return Ok(());
        };
        link.is_open_at_client = false;
        let is_complete = is_read_to_end
            && link.end == Some(super::super::link::LinkEnd::Closed(CloseReason::Complete));
        let (reader_no, client, server) = (link.reader, link.client, link.server);
        let Some(reader) = self.readers.get_mut(&reader_no).filter(|it| it.link == Some(no)) else {
            return Ok(());
        };
        reader.link = None;
        let open = match &reader.kind {
            ReaderKind::Initialize => {
                self.readers.remove(&reader_no);
                if self.clients.get(&client).is_some_and(|client| !client.is_initialized) {
                    self.leave_session(client, server)?;
                }
                return Ok(());
            }
            ReaderKind::Spurious => {
                self.readers.remove(&reader_no);
                return Ok(());
            }
            ReaderKind::Standalone => 1,
            ReaderKind::Requests { open, .. } => {
                check_stream_end(is_complete, open.len())?;
                open.len()
            }
        };
        if open == 0 {
            self.readers.remove(&reader_no);
        } else {
            self.schedule_resume(reader_no);
        }
        Ok(())
    }

    /// Drops the link of a spurious GET or request.
    pub(in crate::simulation) fn drop_spurious(&mut self, no: LinkNo) -> Result<(), String> {
        let reader = self.links.get(&no).and_then(|link| self.readers.get(&link.reader));
        if reader.is_some_and(|reader| matches!(reader.kind, ReaderKind::Spurious)) {
            self.detach_reader(no, false)?;
            self.close_at_client(no);
        }
        Ok(())
    }
}
