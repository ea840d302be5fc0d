//! The driver: tells sessions what happened, and carries their actions out.

use std::time::Duration;

use rejoin_core::{
    Action, Backpressure, ClientFault, ConnectionId, EndReason, Event, EventId, Input, Instant,
    Rejection, StreamId,
};

use super::World;
use super::agenda::{Happening, LineNo, ServerNo};
use super::faults::Fault;
use super::knobs::Sabotage;
use super::line::Item;
use super::parcel::Parcel;
use crate::laws::{ConnectionView, Step};

/// Every so manyth event is where a saboteur strikes.
const SABOTAGED: u64 = 97;
/// How long after its reservation a request arrives.
pub(super) const RESERVED: Duration = Duration::from_millis(70);

/// How a line began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Get,
    Request,
    Reserve,
}

impl World {
    /// Tells a session what happened, checks what it makes of it, and does that.
    pub(super) fn tell_server(
        &mut self,
        no: ServerNo,
        input: Input<u64>,
    ) -> Result<Result<Backpressure, Rejection>, String> {
        let now = self.shown_time();
        self.tell_server_at(no, now, input)
    }

    /// Likewise, at a certain time.
    pub(super) fn tell_server_at(
        &mut self,
        no: ServerNo,
        now: Instant,
        input: Input<u64>,
    ) -> Result<Result<Backpressure, Rejection>, String> {
        self.suspect = Some(no);
        let Some(server) = self.servers.get_mut(no) else {
            return Err(format!("there is no server {no}"));
        };
        let body = if let Input::BackendMessage { message, .. } = &input {
            Some(message.body)
        } else {
            None
        };
        let (step, about) = server.step(now, input, &mut self.tally)?;
        if let Some(body) = body {
            self.messages.note(body, about);
        }
        self.carry_out(no, &step);
        self.arm(no);
        Ok(step.result)
    }

    /// Does what a step wants done.
    pub(super) fn carry_out(&mut self, no: ServerNo, step: &Step) {
        let mut replays = step.replays.iter();
        for action in &step.actions {
            match action {
                Action::Forward { message } => self.hear(no, *message),
                Action::Send { connection, index, id, event } => {
                    self.send(no, *connection, *index, *id, event);
                }
                Action::Replay { connection, stream, .. } => {
                    self.tally.add("replays");
                    for (index, event) in replays.next().into_iter().flatten() {
                        let id = Some(EventId::new(*stream, *index));
                        self.send(no, *connection, *index, id, event);
                    }
                }
                Action::Gap { connection, missed, .. } => {
                    self.tally.add("gaps");
                    if self.knobs.sabotage != Some(Sabotage::HidesGaps) {
                        self.push(no, *connection, Item::Gap(missed.clone()));
                    }
                }
                Action::Discard { connection } => self.discard(no, *connection),
                Action::Close { connection, reason } => self.end_line(no, *connection, *reason),
                Action::FailServerRequest { id, .. } => {
                    if self.forget_question(no, id) {
                        self.tally.add("questions: failed");
                    }
                }
                Action::CancelRequest { id } => self.drop_task(no, id),
                Action::Release { stream } => {
                    if self.knobs.sabotage != Some(Sabotage::Holds) {
                        self.release(no, *stream);
                    }
                }
                Action::SessionClosed { .. } => self.end_backend(no),
                Action::Report(_) => {}
            }
        }
    }

    fn send(
        &mut self,
        no: ServerNo,
        connection: ConnectionId,
        index: u64,
        id: Option<EventId>,
        event: &Event<u64>,
    ) {
        let bytes = 64
            + match event {
                Event::Message(body) => usize::try_from(body % 200).unwrap_or(0),
                Event::Failure(_) => 80,
                Event::Priming { .. } => 0,
            };
        let item = Item::Event { index, id, event: event.clone(), bytes };
        self.sends += 1;
        let is_message = matches!(event, Event::Message(_));
        if is_message && self.sends.is_multiple_of(SABOTAGED) {
            match self.knobs.sabotage {
                Some(Sabotage::Loses) => return,
                Some(Sabotage::Repeats) => self.push(no, connection, item.clone()),
                Some(Sabotage::Misroutes) => {
                    let lines = self.servers.get(no).map(|server| server.lines.clone());
                    let other = lines.into_iter().flatten().map(|(other, _)| other);
                    if let Some(other) = other.rev().find(|other| *other != connection) {
                        self.push(no, other, item);
                        return;
                    }
                }
                _ => {}
            }
        }
        self.push(no, connection, item);
    }

    fn push(&mut self, no: ServerNo, connection: ConnectionId, item: Item) {
        if let Some(line) = self.line_of(no, connection) {
            if let Some(line) = self.lines.get_mut(&line) {
                line.push(item);
            }
            self.wake_body(line);
        }
    }

    fn end_line(&mut self, no: ServerNo, connection: ConnectionId, reason: EndReason) {
        if reason == EndReason::Replaced {
            self.tally.add("takeovers: request stream");
        } else if reason == EndReason::Stalled {
            self.tally.add("drops: stalled");
        }
        if let Some(line) = self.line_of(no, connection) {
            if let Some(line) = self.lines.get_mut(&line) {
                line.end(reason);
            }
            self.wake_body(line);
        }
    }

    fn discard(&mut self, no: ServerNo, connection: ConnectionId) {
        self.tally.add("takeovers: standalone stream, with events under way");
        if let Some(line) = self.line_of(no, connection)
            && let Some(line) = self.lines.get_mut(&line)
        {
            line.discard();
        }
    }

    fn line_of(&self, no: ServerNo, connection: ConnectionId) -> Option<LineNo> {
        self.servers.get(no)?.lines.get(&connection).copied()
    }

    /// Has the agenda wake a session in time; too early does no harm.
    pub(super) fn arm(&mut self, no: ServerNo) {
        let Some(server) = self.servers.get_mut(no) else {
            return;
        };
        let Some(deadline) = server.view.deadline else {
            return;
        };
        if server.armed.is_none_or(|armed| deadline < armed) {
            server.armed = Some(deadline);
            self.at(deadline.max(self.now), Happening::Tick(no));
        }
    }

    /// Lets time pass for a session.
    pub(super) fn tick(&mut self, no: ServerNo, at: Instant) -> Result<(), String> {
        if let Some(server) = self.servers.get_mut(no) {
            server.armed.take_if(|armed| *armed <= at);
        }
        self.tell_server(no, Input::Tick).map(|_| ())
    }

    /// Lets a server have what a client sent.
    pub(super) fn arrive(&mut self, parcel: Parcel) -> Result<(), String> {
        match parcel {
            Parcel::Requests { line, format, post } => {
                self.connect(line, |connection| Input::Request { connection, format, post })
            }
            Parcel::Reserve { line, format, post } => {
                self.connect(line, |connection| Input::Reserve { connection })?;
                if self.lines.get(&line).is_some_and(|line| line.is_served) {
                    let request = Parcel::Requests { line, format, post };
                    self.later(RESERVED, Happening::Arrive(Box::new(request)));
                }
                Ok(())
            }
            Parcel::Get { line, last_event_id } => {
                self.connect(line, |connection| Input::Get { connection, last_event_id })
            }
            Parcel::Told { client, server, message, cancels } => {
                let post = rejoin_core::Post::Single(message);
                match self.tell_server(server, Input::Message { post })? {
                    Ok(_) => self.told(cancels),
                    Err(Rejection::Closed(_)) => self.leave(client, server),
                    Err(Rejection::Client(ClientFault::NotInitialized))
                        if self.clients.get(&client).is_some_and(|it| !it.is_inside) =>
                    {
                        self.tally.struck(Fault::Eager);
                        Ok(())
                    }
                    Err(rejection) => Err(format!("a message was refused: {rejection}")),
                }
            }
            Parcel::Delete { client, server } => {
                let is_busy =
                    self.clients.get(&client).is_some_and(|client| !client.flights.is_empty());
                if self.tell_server(server, Input::Delete)?.is_ok() && is_busy {
                    self.tally.struck(Fault::Delete);
                }
                self.leave(client, server)
            }
            Parcel::Wrong { server, wrong } => self.arrive_wrong(server, wrong),
            Parcel::Shutdown { server, reason } => {
                if self.tell_server(server, Input::CloseSession { reason })?.is_ok() {
                    self.tally.struck(Fault::Shutdown);
                }
                Ok(())
            }
            Parcel::Abandon { server, serial } => self.abandon(server, serial),
        }
    }

    /// Lets a line come to its server.
    fn connect(
        &mut self,
        no: LineNo,
        input: impl FnOnce(ConnectionId) -> Input<u64>,
    ) -> Result<(), String> {
        let Some(line) = self.lines.get(&no) else {
            return Ok(());
        };
        let server_no = line.server;
        let known = line.connection;
        let Some(server) = self.servers.get_mut(server_no) else {
            return Ok(());
        };
        if known.is_some() && !line.is_served {
            // It was reserved, and is over: its client knows.
            return Ok(());
        }
        let connection = known.unwrap_or_else(|| server.connect(no));
        let is_standalone = |seat: &ConnectionView| seat.stream == Some(StreamId::Standalone);
        let was_carried = server.view.connections.iter().any(is_standalone);
        let input = input(connection);
        let way = if matches!(input, Input::Get { .. }) {
            Way::Get
        } else if matches!(input, Input::Request { .. }) {
            Way::Request
        } else {
            Way::Reserve
        };
        let resumed =
            if let Input::Get { last_event_id, .. } = &input { *last_event_id } else { None };
        let result = self.tell_server(server_no, input)?;
        if let (Some(id), Ok(_), Some(server)) = (resumed, &result, self.servers.get_mut(server_no))
        {
            server.note_taken(id);
        }
        let Some(line) = self.lines.get_mut(&no) else {
            return Ok(());
        };
        line.connection = Some(connection);
        match result {
            Ok(_) => {
                line.is_served = true;
                self.wake_body(no);
                let view = self.servers.get(server_no).map(|server| &server.view);
                let carries = view.and_then(|view| view.stream_on(connection));
                if was_carried && way == Way::Get && carries == Some(StreamId::Standalone) {
                    self.tally.add("takeovers: standalone stream");
                }
                self.connected(no, way);
                Ok(())
            }
            Err(rejection) => {
                let was_served = line.is_served;
                let through = line.through;
                line.is_served = false;
                if let Some(server) = self.servers.get_mut(server_no) {
                    server.lines.remove(&connection);
                }
                if was_served {
                    // Whoever reserved a stream lets go of it.
                    let _ = self
                        .tell_server(server_no, Input::ConnectionClosed { connection, through })?;
                }
                self.refused(no, &rejection)
            }
        }
    }
}
