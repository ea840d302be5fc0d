//! The driver: passes inputs to sessions, and applies their actions.

use rejoin_core::{
    ANSWER_INDEX, Action, AnswerFormat, ClientFault, ConnectionId, CutReason, Event, EventId,
    Input, Instant, Rejection, StreamId,
};

use super::Simulation;
use super::event_queue::{LinkNo, ServerNo, SimEvent};
use super::link::{Item, LinkEnd};
use super::packet::Packet;
use crate::kit::{DeliberateBug, Fault};
use crate::laws::{ConnectionView, Step, event_of};

/// A deliberate bug affects one in this many events.
const BUG_EVERY: u64 = 97;

/// The input that opened a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LinkOrigin {
    Get,
    Request,
}

impl Simulation {
    /// Passes an input to a session, checks the step, and applies its actions. Returns the
    /// result.
    pub(super) fn handle_input(
        &mut self,
        no: ServerNo,
        input: Input<u64>,
    ) -> Result<Result<(), Rejection>, String> {
        let now = self.clock();
        Ok(self.handle_input_at(no, now, input)?.result)
    }

    /// Passes a message of the backend. Returns the result, and the stream that holds its sender,
    /// if there is one.
    pub(super) fn handle_backend_message(
        &mut self,
        no: ServerNo,
        input: Input<u64>,
    ) -> Result<(Result<(), Rejection>, Option<StreamId>), String> {
        let now = self.clock();
        let step = self.handle_input_at(no, now, input)?;
        let mut held_by = None;
        for action in &step.actions {
            if let Action::Hold { stream } = action {
                held_by = Some(*stream);
            } else if let Action::Release { stream } = action {
                // There may be room at once, if a connection was cut.
                held_by = held_by.filter(|held_by| held_by != stream);
            }
        }
        Ok((step.result, held_by))
    }

    /// Passes an input at a given time. See [`handle_input`](Self::handle_input).
    pub(super) fn handle_input_at(
        &mut self,
        no: ServerNo,
        now: Instant,
        input: Input<u64>,
    ) -> Result<Step, String> {
        self.failed_session = Some(no);
        let Some(server) = self.servers.get_mut(no) else {
            return Err(format!("unknown server {no}"));
        };
        let body = if let Input::BackendMessage { message, .. } = &input {
            Some(message.body)
        } else {
            None
        };
        let (step, client_request) = server.step(now, input, &mut self.coverage)?;
        if let Some(body) = body {
            self.messages.set_request(body, client_request);
        }
        self.apply_actions(no, &step);
        self.arm_timer(no);
        Ok(step)
    }

    /// Applies the actions of a step.
    pub(super) fn apply_actions(&mut self, no: ServerNo, step: &Step) {
        for action in &step.actions {
            match action {
                Action::Forward { message } => self.deliver_to_backend(no, *message),
                Action::Send { connection, id, event } => {
                    self.send_event(no, *connection, id.index, Some(*id), event);
                }
                Action::Respond { connection, answer } => {
                    self.send_event(no, *connection, ANSWER_INDEX, None, &event_of(answer));
                }
                Action::Discard { connection } => self.discard(no, *connection),
                Action::Close { connection, reason } => {
                    self.close_link(no, *connection, LinkEnd::Closed(*reason));
                }
                Action::Cut { connection, reason } => {
                    self.close_link(no, *connection, LinkEnd::Cut(*reason));
                }
                Action::FailServerRequest { id, .. } => {
                    if self.remove_server_request(no, id) {
                        self.coverage.hit("server requests: failed");
                    }
                }
                Action::CancelRequest { id } => self.cancel_task(no, id),
                Action::Release { stream } => {
                    if self.parameters.bug != Some(DeliberateBug::NeverReleases) {
                        self.release(no, *stream);
                    }
                }
                Action::SessionClosed { .. } => self.end_backend(no),
                Action::Hold { .. } | Action::Commit(_) | Action::Report(_) => {}
            }
        }
        self.store(no, step);
    }

    fn send_event(
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
                Event::Gap { .. } => 40,
            };
        if let Event::Gap { .. } = event {
            self.coverage.hit("gaps");
            if self.parameters.bug == Some(DeliberateBug::HidesGaps) {
                return;
            }
        }
        let item = Item { index, id, event: event.clone(), bytes };
        self.events_sent += 1;
        let is_message = matches!(event, Event::Message(_));
        if is_message && self.events_sent.is_multiple_of(BUG_EVERY) {
            match self.parameters.bug {
                Some(DeliberateBug::LosesEvent) => return,
                Some(DeliberateBug::DuplicatesEvent) => {
                    self.push_item(no, connection, item.clone());
                }
                Some(DeliberateBug::MisroutesEvent) => {
                    let links = self.servers.get(no).map(|server| server.links.clone());
                    let other = links.into_iter().flatten().map(|(other, _)| other);
                    if let Some(other) = other.rev().find(|other| *other != connection) {
                        self.push_item(no, other, item);
                        return;
                    }
                }
                _ => {}
            }
        }
        self.push_item(no, connection, item);
    }

    fn push_item(&mut self, no: ServerNo, connection: ConnectionId, item: Item) {
        if let Some(link) = self.link_of(no, connection) {
            if let Some(link) = self.links.get_mut(&link) {
                link.push(item);
            }
            self.wake_body(link);
        }
    }

    fn close_link(&mut self, no: ServerNo, connection: ConnectionId, end: LinkEnd) {
        match end {
            LinkEnd::Cut(CutReason::Replaced) => self.coverage.hit("takeovers: request stream"),
            LinkEnd::Cut(CutReason::Stalled) => self.coverage.hit("disconnects: stalled"),
            LinkEnd::Closed(_) => {}
        }
        if let Some(link) = self.link_of(no, connection) {
            if let Some(link) = self.links.get_mut(&link) {
                link.close(end);
            }
            self.wake_body(link);
        }
    }

    fn discard(&mut self, no: ServerNo, connection: ConnectionId) {
        self.coverage.hit("takeovers: standalone stream, with events in flight");
        if let Some(link) = self.link_of(no, connection)
            && let Some(link) = self.links.get_mut(&link)
        {
            link.discard();
        }
    }

    fn link_of(&self, no: ServerNo, connection: ConnectionId) -> Option<LinkNo> {
        self.servers.get(no)?.links.get(&connection).copied()
    }

    /// Schedules a tick at the deadline of a session; an early tick is harmless.
    pub(super) fn arm_timer(&mut self, no: ServerNo) {
        let Some(server) = self.servers.get_mut(no) else {
            return;
        };
        let Some(deadline) = server.view.deadline else {
            return;
        };
        if server.timer.is_none_or(|armed| deadline < armed) {
            server.timer = Some(deadline);
            self.schedule_at(deadline.max(self.now), SimEvent::Tick(no));
        }
    }

    /// Passes a tick to a session.
    pub(super) fn tick(&mut self, no: ServerNo, at: Instant) -> Result<(), String> {
        if let Some(server) = self.servers.get_mut(no) {
            server.timer.take_if(|armed| *armed <= at);
        }
        self.handle_input(no, Input::Tick).map(drop)
    }

    /// Delivers a packet to its server.
    pub(super) fn deliver_packet(&mut self, packet: Packet) -> Result<(), String> {
        match packet {
            Packet::Requests { link, format, post } => {
                self.connect(link, |connection| Input::Post { connection, format, post })
            }
            Packet::Get { link, last_event_id } => {
                self.connect(link, |connection| Input::Get { connection, last_event_id })
            }
            Packet::ClientMessage { client, server, message, cancels } => {
                let post = rejoin_core::Post::Single(message);
                match self.handle_input(
                    server,
                    Input::Post {
                        connection: super::invalid_input::CONNECTION,
                        format: AnswerFormat::Sse,
                        post,
                    },
                )? {
                    Ok(()) => self.on_message_accepted(cancels),
                    Err(Rejection::Closed(_)) => self.leave_session(client, server),
                    Err(Rejection::Client(ClientFault::NotInitialized))
                        if self.clients.get(&client).is_some_and(|it| !it.is_initialized) =>
                    {
                        self.coverage.hit_fault(Fault::BeforeInitialized);
                        Ok(())
                    }
                    Err(rejection) => Err(format!("a client message was rejected: {rejection}")),
                }
            }
            Packet::Delete { client, server } => {
                let is_busy =
                    self.clients.get(&client).is_some_and(|client| !client.pending.is_empty());
                if self.handle_input(server, Input::Delete)?.is_ok() && is_busy {
                    self.coverage.hit_fault(Fault::Delete);
                }
                self.leave_session(client, server)
            }
            Packet::Invalid { server, invalid } => self.deliver_invalid(server, invalid),
            Packet::Shutdown { server, reason } => {
                if self.handle_input(server, Input::CloseSession { reason })?.is_ok() {
                    self.coverage.hit_fault(Fault::Shutdown);
                }
                Ok(())
            }
            Packet::Drain { server } => self.drain(server),
            Packet::Abandon { server, serial } => self.abandon(server, serial),
        }
    }

    /// Delivers the request that opens a link.
    fn connect(
        &mut self,
        no: LinkNo,
        input: impl FnOnce(ConnectionId) -> Input<u64>,
    ) -> Result<(), String> {
        let Some(link) = self.links.get(&no) else {
            return Ok(());
        };
        let server_no = link.server;
        let Some(server) = self.servers.get_mut(server_no) else {
            return Ok(());
        };
        let connection = server.connect(no);
        let is_standalone = |conn: &ConnectionView| conn.stream == Some(StreamId::Standalone);
        let was_attached = server.view.connections.iter().any(is_standalone);
        let input = input(connection);
        let origin =
            if matches!(input, Input::Get { .. }) { LinkOrigin::Get } else { LinkOrigin::Request };
        let resumed =
            if let Input::Get { last_event_id, .. } = &input { *last_event_id } else { None };
        let result = self.handle_input(server_no, input)?;
        if let (Some(id), Ok(()), Some(server)) =
            (resumed, &result, self.servers.get_mut(server_no))
        {
            server.note_acknowledged(id);
        }
        let Some(link) = self.links.get_mut(&no) else {
            return Ok(());
        };
        link.connection = Some(connection);
        match result {
            Ok(()) => {
                link.is_open_at_server = true;
                self.wake_body(no);
                let view = self.servers.get(server_no).map(|server| &server.view);
                let attached = view.and_then(|view| view.stream_on(connection));
                if was_attached
                    && origin == LinkOrigin::Get
                    && attached == Some(StreamId::Standalone)
                {
                    self.coverage.hit("takeovers: standalone stream");
                }
                self.on_accepted(no, origin);
                Ok(())
            }
            Err(rejection) => {
                link.is_open_at_server = false;
                if let Some(server) = self.servers.get_mut(server_no) {
                    server.links.remove(&connection);
                }
                self.on_rejected(no, &rejection)
            }
        }
    }
}
