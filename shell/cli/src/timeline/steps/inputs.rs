//! The marks of what clients and servers do.

use rejoin::{
    ObservedRequest, WatchedStep,
    rejoin_core::{
        Action, ConnectionId, Event, EventId, Head, Input, Message, Method, Post, RequestId,
        StreamId,
    },
};

use super::{By, Marks, Row, Timeline, What, label};

impl Timeline {
    pub(super) fn on_input(&mut self, step: &WatchedStep, marks: &mut Marks<'_>) {
        match &step.input {
            Input::Post { connection, post, .. } if post.has_request() => {
                self.on_requests(*connection, post, step, marks);
            }
            Input::Post { post, .. } => {
                for message in post.messages() {
                    let label = label::describe(&message.head);
                    marks.add(Row::Session, What::Posted { label });
                }
            }
            Input::Get { connection, last_event_id } => {
                self.on_get(*connection, *last_event_id, step, marks);
            }
            Input::Acknowledged { connection, through } => {
                self.on_acknowledged(*connection, *through, marks);
            }
            Input::ConnectionClosed { connection, through } => {
                self.on_connection_closed(*connection, *through, marks);
            }
            Input::Drain { .. } => marks.add(Row::Session, What::Draining),
            Input::BackendMessage { .. } => self.on_backend_message(marks),
            Input::BackendGone | Input::BackendLost => {
                if step.ended_process.is_some() {
                    marks.add(Row::Session, What::ProcessEnded);
                }
            }
            Input::Abandon { .. }
            | Input::Delete
            | Input::CloseSession { .. }
            | Input::Disconnect { .. }
            | Input::Committed { .. }
            | Input::LimitBytes { .. }
            | Input::Tick => {}
        }
    }

    fn on_requests(
        &mut self,
        connection: ConnectionId,
        post: &Post<()>,
        step: &WatchedStep,
        marks: &mut Marks<'_>,
    ) {
        let row = step.attached_to.map_or(Row::Session, Row::Stream);
        self.connections.open(connection, row);
        for Message { head, .. } in post.messages() {
            let Head::Request { id, method, .. } = head else { continue };
            let observed = step.requests.iter().find(|observed| observed.id == *id);
            let mut what = began(id, observed.map(|observed| &**observed));
            if let What::Began { name: name @ None, .. } = &mut what {
                *name = known_name(method);
            }
            self.pending.push((id.clone(), row));
            marks.add(row, what);
        }
        marks.add(row, What::Attached { connection: connection.0, by: By::Post });
    }

    fn on_get(
        &mut self,
        connection: ConnectionId,
        last_event_id: Option<EventId>,
        step: &WatchedStep,
        marks: &mut Marks<'_>,
    ) {
        let row = Row::Stream(step.attached_to.unwrap_or(StreamId::Standalone));
        self.connections.open(connection, row);
        if let Some(id) = last_event_id {
            // It may be closed already, if nothing is left to send.
            self.on_resumed(connection, id, step, marks);
        } else if step.attached_to.is_some() {
            marks.add(row, What::Attached { connection: connection.0, by: By::Get });
        } else {
            marks.add(row, What::Shadow { connection: connection.0 });
        }
    }

    fn on_resumed(
        &mut self,
        connection: ConnectionId,
        EventId { stream, index: after }: EventId,
        step: &WatchedStep,
        marks: &mut Marks<'_>,
    ) {
        let row = Row::Stream(stream);
        self.connections.attach(connection, row);
        let sent = self.connections.sent_on(stream).unwrap_or(0);
        let (mut replayed, mut again) = (0_usize, 0_usize);
        for action in &step.actions {
            if let Action::Send { id, event: Event::Message(_) | Event::Failure(_), .. } = action {
                replayed = replayed.saturating_add(1);
                again = again.saturating_add(usize::from(id.index <= sent));
            }
        }
        let (connection, again) = (connection.0, Some(again));
        marks.add(row, What::Resumed { connection, after, replayed, again });
    }

    fn on_acknowledged(&mut self, connection: ConnectionId, through: u64, marks: &mut Marks<'_>) {
        let row = self.connections.row(connection);
        if self.connections.acknowledge(connection, through) {
            marks.add(row, What::Acknowledged { connection: connection.0, through });
        }
    }

    fn on_connection_closed(
        &mut self,
        connection: ConnectionId,
        through: Option<u64>,
        marks: &mut Marks<'_>,
    ) {
        if let Some(through) = through {
            self.on_acknowledged(connection, through, marks);
        }
        let Some(closed) = self.connections.remove(connection) else { return };
        if !closed.is_closing {
            let taken = closed.acknowledged.unwrap_or(0);
            let in_flight = Some(closed.sent.saturating_sub(taken));
            let (connection, through) = (connection.0, closed.acknowledged);
            marks.add(closed.row, What::Lost { connection, through, in_flight });
        }
    }

    fn on_backend_message(&self, marks: &mut Marks<'_>) {
        let Some(id) = marks.timed_out else { return };
        let request = self.pending.iter().find(|(pending, _)| pending == id);
        let row = request.map_or(Row::Session, |(_, row)| *row);
        marks.add(row, What::TimedOut { request: id.to_string() });
    }
}

/// Returns the mark of a request that begins.
pub(super) fn began(id: &RequestId, observed: Option<&ObservedRequest>) -> What {
    let name = observed.map(|observed| match &observed.details.target {
        Some(target) => format!("{} {target}", observed.details.method),
        None => observed.details.method.clone().into_owned(),
    });
    What::Began { request: id.to_string(), name }
}

fn known_name(method: &Method) -> Option<String> {
    match method {
        Method::Initialize { .. } => Some("initialize".to_owned()),
        Method::Ping => Some("ping".to_owned()),
        Method::Other => None,
    }
}
