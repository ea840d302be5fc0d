//! What the world learns of each step.

use std::collections::VecDeque;

use rejoin_core::{
    Action, ClientFault, ConnectionId, EndReason, EventId, Head, Input, Method, Profile,
    ProgressToken, Rejection, RequestId, StreamId,
};

use super::World;
use super::world::{Flight, Line, Origin, Phase, remember};
use crate::laws::{Step, answered_id, cancelled_id, posted, request_id};

impl World {
    /// Learns what came of an input that this world made.
    pub fn watch(&mut self, step: &Step) {
        self.now = self.now.max(step.now);
        self.deadline = step.after.deadline;
        match &step.result {
            Ok(_) => self.watch_input(step),
            Err(rejection) => self.watch_rejection(&step.input, rejection),
        }
        self.watch_actions(step);
        self.watch_view(step);
    }

    fn watch_input(&mut self, step: &Step) {
        match &step.input {
            Input::Reserve { connection } => {
                self.lines.insert(*connection, Line::new(Origin::Reserve, None));
            }
            Input::Request { connection, .. } => self.watch_request(*connection, step),
            Input::Get { connection, last_event_id } => {
                let stream = last_event_id.map_or(StreamId::Standalone, |id| id.stream);
                let mut line = Line::new(Origin::Get, Some(stream));
                line.resumable = last_event_id.is_some();
                self.lines.insert(*connection, line);
                self.lost.retain(|lost| *lost != stream);
            }
            Input::Message { .. } => self.watch_told(step),
            Input::Acknowledged { connection, through } => self.pull(*connection, *through),
            Input::ConnectionClosed { connection, through } => {
                if let Some(through) = through {
                    self.pull(*connection, *through);
                }
                self.watch_closed(*connection);
            }
            Input::BackendMessage { message, .. } => self.watch_backend(&message.head),
            Input::Abandon { .. }
            | Input::Delete
            | Input::CloseSession { .. }
            | Input::Disconnect { .. }
            | Input::BackendGone
            | Input::Tick => {}
        }
    }

    fn watch_request(&mut self, connection: ConnectionId, step: &Step) {
        for message in posted(&step.input) {
            let Head::Request { id, method, progress_token } = &message.head else {
                continue;
            };
            if matches!(method, Method::Initialize { .. }) {
                self.phase = Phase::Waiting(id.clone());
                self.lines.insert(connection, Line::new(Origin::Initialize, None));
                return;
            }
            self.flights.push(Flight { id: id.clone(), token: progress_token.clone() });
        }
        self.lines.insert(connection, Line::new(Origin::Request, step.after.carried(connection)));
        self.watch_told(step);
    }

    fn watch_told(&mut self, step: &Step) {
        for message in posted(&step.input) {
            if let Some(id) = answered_id(&message.head) {
                self.settle(id);
            }
        }
    }

    fn watch_backend(&mut self, head: &Head) {
        if let Some(id) = request_id(head) {
            self.asked.push(id.clone());
        }
        if let Some(id) = cancelled_id(head) {
            self.settle(id);
        }
        let Some(id) = answered_id(head) else {
            return;
        };
        if self.phase == Phase::Waiting(id.clone())
            && let Head::Response { initialized, .. } = head
        {
            self.phase = Phase::Ready;
            self.profile = Some(Profile::governing(initialized.version));
        }
        if let Some(at) = self.flights.iter().position(|flight| flight.id == *id) {
            let flight = self.flights.remove(at);
            remember(&mut self.answered, flight.id);
            self.free_token(flight.token);
        }
        self.cancelled.retain(|known| known != id);
    }

    fn watch_rejection(&mut self, input: &Input<u64>, rejection: &Rejection) {
        if let Rejection::Client(
            ClientFault::CancelledStream(stream)
            | ClientFault::ExpiredStream(stream)
            | ClientFault::UnknownStream(stream),
        ) = rejection
        {
            self.dead.insert(*stream);
        }
        if let Input::Get { last_event_id: Some(id), .. } = input {
            self.lost.retain(|lost| *lost != id.stream);
        }
    }

    fn watch_actions(&mut self, step: &Step) {
        let mut replays = step.replays.iter();
        for action in &step.actions {
            match action {
                Action::Send { connection, index, id, .. } => {
                    self.push(*connection, *index, *id);
                }
                Action::Replay { connection, stream, .. } => {
                    for (index, _) in replays.next().into_iter().flatten() {
                        self.push(*connection, *index, Some(EventId::new(*stream, *index)));
                    }
                }
                Action::Discard { connection } => {
                    if let Some(line) = self.lines.get_mut(connection) {
                        line.channel.clear();
                    }
                }
                Action::Close { connection, reason } => self.watch_end(*connection, *reason),
                Action::FailServerRequest { id, .. } => self.settle(id),
                Action::Forward { .. }
                | Action::Gap { .. }
                | Action::CancelRequest { .. }
                | Action::Release { .. }
                | Action::SessionClosed { .. }
                | Action::Report(_) => {}
            }
        }
    }

    fn watch_end(&mut self, connection: ConnectionId, reason: EndReason) {
        let Some(line) = self.lines.get_mut(&connection) else {
            return;
        };
        line.ended = Some(reason);
        if !reason.drains() {
            line.channel.clear();
        }
        match (reason, line.stream) {
            (EndReason::Cancelled | EndReason::Abandoned, Some(stream)) => {
                self.dead.insert(stream);
            }
            (EndReason::Stalled | EndReason::Requested, Some(stream)) => {
                remember(&mut self.lost, stream);
            }
            _ => {}
        }
    }

    fn watch_closed(&mut self, connection: ConnectionId) {
        let Some(line) = self.lines.remove(&connection) else {
            return;
        };
        let has_more = line.ended != Some(EndReason::Complete) || !line.channel.is_empty();
        if let Some(stream) = line.stream.filter(|stream| has_more && !self.dead.contains(stream)) {
            remember(&mut self.lost, stream);
        }
    }

    fn watch_view(&mut self, step: &Step) {
        let view = &step.after;
        if view.closed.is_some() {
            self.phase = Phase::Over;
            self.steps_after_end += 1;
        }
        self.known = view.connections.len();
        let carried = view.connections.iter().filter_map(|seat| {
            let stream = seat.carries?;
            let line = self.lines.get_mut(&seat.connection)?;
            line.stream = Some(stream);
            Some(stream)
        });
        let awaited = view.requests.iter().map(|(_, stream)| *stream);
        self.in_use = carried.chain(awaited).filter(|id| *id != StreamId::Standalone).collect();
        for stream in &self.in_use {
            if let StreamId::Request(number) = stream {
                self.streams_seen = self.streams_seen.max(number + 1);
            }
            if !self.recent.contains(stream) {
                remember(&mut self.recent, *stream);
            }
        }
        let (kept, lost) = self
            .flights
            .drain(..)
            .partition(|flight| view.requests.iter().any(|(id, _)| *id == flight.id));
        self.flights = kept;
        for flight in lost {
            let Flight { id, token } = flight;
            remember(&mut self.cancelled, id);
            self.free_token(token);
        }
    }

    fn push(&mut self, connection: ConnectionId, index: u64, id: Option<EventId>) {
        if let Some(line) = self.lines.get_mut(&connection) {
            line.channel.push_back((index, id));
            line.resumable |= id.is_some();
        }
    }

    fn pull(&mut self, connection: ConnectionId, through: u64) {
        let Some(line) = self.lines.get_mut(&connection) else {
            return;
        };
        let pulled = line.channel.iter().take_while(|(index, _)| *index <= through).count();
        for (index, id) in line.channel.drain(..pulled) {
            line.taken = Some(index);
            if let Some(id) = id {
                self.seen.insert(id.stream, id.index);
            }
        }
    }

    fn free_token(&mut self, token: Option<ProgressToken>) {
        if let Some(token) = token {
            remember(&mut self.tokens_used, token);
        }
    }

    fn settle(&mut self, id: &RequestId) {
        let waiting = self.asked.len();
        self.asked.retain(|asked| asked != id);
        if self.asked.len() != waiting {
            remember(&mut self.settled, id.clone());
        }
    }
}

impl Line {
    fn new(origin: Origin, stream: Option<StreamId>) -> Self {
        Self {
            origin,
            stream,
            channel: VecDeque::new(),
            taken: None,
            ended: None,
            resumable: false,
        }
    }
}
