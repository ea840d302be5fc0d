//! Observation: what the environment learns from each step.

use std::collections::VecDeque;

use rejoin_core::{
    Action, ClientFault, CloseReason, ConnectionId, CutReason, EventId, Head, Input, Method,
    Profile, ProgressToken, Rejection, RequestId, StreamId,
};

use super::Environment;
use super::environment::{Connection, Origin, PendingRequest, Phase, remember};
use crate::laws::{Step, answered_id, cancelled_id, posted, request_id, sent_event};

impl Environment {
    /// Observes the effect of an input that this environment made.
    pub fn observe(&mut self, step: &Step) {
        self.now = self.now.max(step.now);
        self.deadline = step.after.deadline;
        self.kept_bytes = step.after.bytes;
        match &step.result {
            Ok(()) => self.observe_input(step),
            Err(rejection) => self.observe_rejection(&step.input, rejection),
        }
        self.observe_actions(step);
        self.observe_view(step);
    }

    fn observe_input(&mut self, step: &Step) {
        match &step.input {
            Input::Post { connection, post, .. } if post.has_request() => {
                self.observe_request(*connection, step);
            }
            Input::Post { .. } => self.observe_posted(step),
            Input::Get { connection, last_event_id } => {
                let stream = last_event_id.map_or(StreamId::Standalone, |id| id.stream);
                let mut it = Connection::new(Origin::Get, Some(stream));
                it.is_resumable = last_event_id.is_some();
                self.connections.insert(*connection, it);
                self.detached.retain(|it| *it != stream);
            }
            Input::Acknowledged { connection, through } => {
                self.acknowledge_through(*connection, *through);
            }
            Input::ConnectionClosed { connection, through } => {
                if let Some(through) = through {
                    self.acknowledge_through(*connection, *through);
                }
                self.observe_closed(*connection);
            }
            Input::BackendMessage { message, .. } => self.observe_backend(&message.head),
            Input::Abandon { .. }
            | Input::Delete
            | Input::CloseSession { .. }
            | Input::Disconnect { .. }
            | Input::BackendGone
            | Input::LimitBytes { .. }
            | Input::Tick => {}
            Input::Drain { .. } => self.is_draining = true,
            Input::Committed { through } => self.committed = self.committed.max(*through),
            Input::BackendLost => {
                self.server_requests.clear();
                self.refused.clear();
                self.released.clear();
            }
        }
    }

    fn observe_request(&mut self, connection: ConnectionId, step: &Step) {
        for message in posted(&step.input) {
            let Head::Request { id, method, progress_token } = &message.head else {
                continue;
            };
            if matches!(method, Method::Initialize { .. }) {
                self.phase = Phase::Initializing(id.clone());
                self.connections.insert(connection, Connection::new(Origin::Initialize, None));
                return;
            }
            self.pending.push(PendingRequest { id: id.clone(), token: progress_token.clone() });
        }
        self.connections
            .insert(connection, Connection::new(Origin::Request, step.after.stream_on(connection)));
        self.observe_posted(step);
    }

    fn observe_posted(&mut self, step: &Step) {
        for message in posted(&step.input) {
            if let Some(id) = answered_id(&message.head) {
                self.finish_server_request(id);
            }
        }
    }

    fn observe_backend(&mut self, head: &Head) {
        if let Some(id) = request_id(head) {
            self.server_requests.push(id.clone());
        }
        if let Some(id) = cancelled_id(head) {
            self.finish_server_request(id);
        }
        let Some(id) = answered_id(head) else {
            return;
        };
        if self.phase == Phase::Initializing(id.clone())
            && let Head::Response { initialized, .. } = head
        {
            self.phase = Phase::Ready;
            self.profile = Some(Profile::governing(initialized.version));
        }
        if let Some(at) = self.pending.iter().position(|request| request.id == *id) {
            let request = self.pending.remove(at);
            remember(&mut self.answered, request.id);
            self.free_token(request.token);
        }
        self.cancelled.retain(|known| known != id);
    }

    fn observe_rejection(&mut self, input: &Input<u64>, rejection: &Rejection) {
        if let Rejection::Client(
            ClientFault::CancelledStream(stream)
            | ClientFault::ExpiredStream(stream)
            | ClientFault::UnknownStream(stream),
        ) = rejection
        {
            self.unresumable.insert(*stream);
        }
        if let Input::Get { last_event_id: Some(id), .. } = input {
            self.detached.retain(|it| *it != id.stream);
        }
    }

    fn observe_actions(&mut self, step: &Step) {
        for action in &step.actions {
            if let Some((connection, index, id, _)) = sent_event(action) {
                self.buffer_event(connection, index, id);
                continue;
            }
            match action {
                Action::Discard { connection } => {
                    if let Some(it) = self.connections.get_mut(connection) {
                        it.buffer.clear();
                    }
                }
                Action::Close { connection, reason } => self.observe_close(*connection, *reason),
                Action::Cut { connection, reason } => self.observe_cut(*connection, *reason),
                Action::FailServerRequest { id, .. } => self.finish_server_request(id),
                Action::Hold { stream } if step.result == Err(Rejection::Full) => {
                    remember(&mut self.refused, (*stream, step.input.clone()));
                }
                Action::Release { stream } => self.observe_release(*stream),
                Action::Commit(record) => self.recorded = record.sequence,
                Action::Send { .. }
                | Action::Respond { .. }
                | Action::Forward { .. }
                | Action::CancelRequest { .. }
                | Action::Hold { .. }
                | Action::SessionClosed { .. }
                | Action::Report(_) => {}
            }
        }
    }

    fn observe_close(&mut self, connection: ConnectionId, reason: CloseReason) {
        let Some(it) = self.connections.get_mut(&connection) else {
            return;
        };
        it.close_reason = Some(reason);
        match (reason, it.stream) {
            (CloseReason::Cancelled | CloseReason::Abandoned, Some(stream)) => {
                self.unresumable.insert(stream);
            }
            (CloseReason::Requested, Some(stream)) => {
                remember(&mut self.detached, stream);
            }
            _ => {}
        }
    }

    fn observe_release(&mut self, stream: StreamId) {
        for (held_by, input) in std::mem::take(&mut self.refused) {
            if held_by == stream {
                remember(&mut self.released, input);
            } else {
                self.refused.push_back((held_by, input));
            }
        }
    }

    fn observe_cut(&mut self, connection: ConnectionId, reason: CutReason) {
        let Some(it) = self.connections.get_mut(&connection) else {
            return;
        };
        it.is_cut = true;
        it.buffer.clear();
        if let (CutReason::Stalled, Some(stream)) = (reason, it.stream) {
            remember(&mut self.detached, stream);
        }
    }

    fn observe_closed(&mut self, connection: ConnectionId) {
        let Some(it) = self.connections.remove(&connection) else {
            return;
        };
        let has_more =
            it.is_cut || it.close_reason != Some(CloseReason::Complete) || !it.buffer.is_empty();
        if let Some(stream) =
            it.stream.filter(|stream| has_more && !self.unresumable.contains(stream))
        {
            remember(&mut self.detached, stream);
        }
    }

    fn observe_view(&mut self, step: &Step) {
        let view = &step.after;
        if view.closed.is_some() {
            self.phase = Phase::Closed;
            self.steps_after_close += 1;
        }
        self.known_connections = view.connections.len();
        let attached_streams = view.connections.iter().filter_map(|observed| {
            let stream = observed.stream?;
            let it = self.connections.get_mut(&observed.connection)?;
            it.stream = Some(stream);
            Some(stream)
        });
        let pending_streams = view.requests.iter().map(|(_, stream)| *stream);
        self.in_use = attached_streams
            .chain(pending_streams)
            .filter(|id| *id != StreamId::Standalone)
            .collect();
        for stream in &self.in_use {
            if let StreamId::Request(number) = stream {
                self.streams_seen = self.streams_seen.max(number + 1);
            }
            if !self.recent.contains(stream) {
                remember(&mut self.recent, *stream);
            }
        }
        let (pending, finished) = self
            .pending
            .drain(..)
            .partition(|request| view.requests.iter().any(|(id, _)| *id == request.id));
        self.pending = pending;
        for request in finished {
            let PendingRequest { id, token } = request;
            remember(&mut self.cancelled, id);
            self.free_token(token);
        }
    }

    fn buffer_event(&mut self, connection: ConnectionId, index: u64, id: Option<EventId>) {
        if let Some(it) = self.connections.get_mut(&connection) {
            it.buffer.push_back((index, id));
            it.is_resumable |= id.is_some();
        }
    }

    fn acknowledge_through(&mut self, connection: ConnectionId, through: u64) {
        let Some(it) = self.connections.get_mut(&connection) else {
            return;
        };
        let pulled = it.buffer.iter().take_while(|(index, _)| *index <= through).count();
        for (index, id) in it.buffer.drain(..pulled) {
            it.acknowledged = Some(index);
            if let Some(id) = id {
                self.last_seen.insert(id.stream, id.index);
            }
        }
    }

    fn free_token(&mut self, token: Option<ProgressToken>) {
        if let Some(token) = token {
            remember(&mut self.used_tokens, token);
        }
    }

    fn finish_server_request(&mut self, id: &RequestId) {
        let pending = self.server_requests.len();
        self.server_requests.retain(|it| it != id);
        if self.server_requests.len() != pending {
            remember(&mut self.finished_server_requests, id.clone());
        }
    }
}

impl Connection {
    /// Returns whether the session has neither closed nor cut it.
    pub(super) fn is_open(&self) -> bool {
        self.close_reason.is_none() && !self.is_cut
    }

    fn new(origin: Origin, stream: Option<StreamId>) -> Self {
        Self {
            origin,
            stream,
            buffer: VecDeque::new(),
            acknowledged: None,
            close_reason: None,
            is_cut: false,
            is_resumable: false,
        }
    }
}
