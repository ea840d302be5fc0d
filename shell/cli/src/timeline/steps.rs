//! The marks of a session's steps.

use std::time::Duration;

use rejoin::{
    ObservedRequest, WatchStart, WatchedStep,
    rejoin_core::{
        Action, Answer, ConnectionId, Event, EventId, Head, Input, Message, Method, Post,
        Rejection, RequestId, StreamId,
    },
};
use serde_json::{Value, json};

use super::{
    connections::Connections,
    label,
    mark::{self, By, Class, Mark, Row, What},
};

/// Turns the steps of one session into marks.
#[derive(Debug, Default)]
pub(crate) struct Timeline {
    connections: Connections,
    /// The connection that is attached to the standalone stream.
    standalone: Option<ConnectionId>,
    /// The requests that are pending, as far as they began since the timeline does.
    pending: Vec<(RequestId, Row)>,
    is_opened: bool,
}

/// Maximum number of messages in the description of a batch that was rejected.
const DESCRIBED_MAX: usize = 3;

/// The marks of one step.
struct Marks<'a> {
    at: Duration,
    out: &'a mut Vec<Mark>,
}

impl Marks<'_> {
    fn add(&mut self, row: Row, what: What) {
        self.out.push(Mark::new(self.at, row, what));
    }
}

impl Timeline {
    /// Begins in the middle of a session. Returns it as the page has it.
    pub(crate) fn start(start: &WatchStart) -> (Self, Value) {
        let mut timeline = Self { is_opened: start.stats.revision.is_some(), ..Self::default() };
        for (connection, stream) in &start.connections {
            timeline.connections.open(*connection, stream.map_or(Row::Session, Row::Stream));
        }
        for stream in &start.streams {
            let sent = stream.sent.unwrap_or(stream.acknowledged).max(stream.acknowledged);
            timeline.connections.set_sent(stream.id, sent);
            if stream.id == StreamId::Standalone {
                timeline.standalone = stream.attached;
            }
        }
        let streams = start.streams.iter().map(|stream| {
            json!({
                "row": Row::Stream(stream.id),
                "last": stream.last,
                "sent": stream.sent,
                "acknowledged": stream.acknowledged,
                "logged": stream.logged,
                "connection": stream.attached.map(|connection| connection.0),
                "pending": stream.pending_requests,
                "complete": stream.is_complete,
                "held": stream.holds_sender,
            })
        });
        let streams: Vec<Value> = streams.collect();
        let mut requests = Vec::new();
        for watched in &start.requests {
            let row = watched.stream.map_or(Row::Session, Row::Stream);
            timeline.pending.push((watched.request.id.clone(), row));
            let began = began(&watched.request.id, Some(&watched.request));
            requests.push(Mark::new(watched.at, row, began));
        }
        let state = json!({ "streams": streams, "requests": requests });
        (timeline, state)
    }

    /// Appends the marks of a step.
    pub(crate) fn step(&mut self, step: &WatchedStep, out: &mut Vec<Mark>) {
        let mut marks = Marks { at: step.at, out };
        match &step.rejection {
            None => self.on_input(step, &mut marks),
            Some(Rejection::Full) => {}
            Some(rejection) => {
                let input = describe(&step.input);
                let (by, reason) = (mark::party_at_fault(rejection), rejection.to_string());
                marks.add(Row::Session, What::Rejected { input, by, reason });
            }
        }
        let has_sent = |event: EventId| {
            step.actions
                .iter()
                .any(|action| matches!(action, Action::Send { id, .. } if *id == event))
        };
        if let (Input::BackendMessage { message, .. }, Some(event)) = (&step.input, step.recorded)
            && !has_sent(event)
        {
            let (class, label) = (class(Some(&message.head)), label::describe(&message.head));
            marks.add(Row::Stream(event.stream), What::Kept { event: event.index, class, label });
        }
        for action in &step.actions {
            self.on_action(action, &mut marks);
        }
        self.note_promotion(step, &mut marks);
    }

    fn on_input(&mut self, step: &WatchedStep, marks: &mut Marks<'_>) {
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
            Input::Abandon { .. }
            | Input::Delete
            | Input::CloseSession { .. }
            | Input::BackendMessage { .. }
            | Input::Disconnect { .. }
            | Input::BackendGone
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

    fn on_action(&mut self, action: &Action<(), Option<Head>>, marks: &mut Marks<'_>) {
        match action {
            Action::Send { connection, id, event } => self.on_sent(*connection, *id, event, marks),
            Action::Respond { connection, answer } => {
                let row = self.connections.row(*connection);
                let (class, label) = match answer {
                    Answer::Message(head) => (class(head.as_ref()), describe_head(head.as_ref())),
                    Answer::Failure(failure) => {
                        (Class::Failure, mark::failed(failure.reason).to_owned())
                    }
                };
                let (connection, event, again) = (connection.0, None, false);
                marks.add(row, What::Sent { connection, event, class, label, again });
                self.note_opened(row, answer, marks);
            }
            Action::Close { connection, reason } => {
                self.connections.close(*connection);
                let row = self.connections.row(*connection);
                let (connection, reason) = (connection.0, mark::ends(*reason));
                marks.add(row, What::Ends { connection, reason });
            }
            Action::Cut { connection, reason } => {
                let cut = self.connections.remove(*connection);
                let row = cut.map_or(Row::Session, |cut| cut.row);
                let (connection, reason) = (connection.0, mark::cut(*reason));
                marks.add(row, What::Cut { connection, reason });
            }
            Action::Hold { stream } => marks.add(Row::Stream(*stream), What::Held),
            Action::Release { stream } => marks.add(Row::Stream(*stream), What::Released),
            Action::Report(report) => {
                if let Some(mut mark) = Mark::of_report(marks.at, report) {
                    if let What::Stalled { connection } = &mark.what {
                        mark.row = self.connections.row(ConnectionId(*connection));
                    }
                    self.forget_request(&mark.what);
                    marks.out.push(mark);
                }
            }
            Action::SessionClosed { reason, .. } => {
                for (request, row) in std::mem::take(&mut self.pending) {
                    let request = request.to_string();
                    marks.add(row, What::Ended { request, outcome: "session-closed" });
                }
                marks.add(Row::Session, What::Closed { reason: mark::closed(*reason) });
            }
            Action::Forward { .. }
            | Action::Discard { .. }
            | Action::FailServerRequest { .. }
            | Action::CancelRequest { .. } => {}
        }
    }

    fn on_sent(
        &mut self,
        connection: ConnectionId,
        id: EventId,
        event: &Event<Option<Head>>,
        marks: &mut Marks<'_>,
    ) {
        let EventId { stream, index } = id;
        let (class, label) = match event {
            Event::Message(head) => (class(head.as_ref()), describe_head(head.as_ref())),
            Event::Failure(failure) => (Class::Failure, mark::failed(failure.reason).to_owned()),
            Event::Priming { .. } => (Class::Priming, String::new()),
            Event::Gap { first } => {
                self.connections.send(connection, stream, index);
                marks.add(Row::Stream(stream), What::Gap { first: *first, last: index });
                return;
            }
        };
        let again = self.connections.send(connection, stream, index);
        let (connection, event) = (connection.0, Some(index));
        marks.add(Row::Stream(stream), What::Sent { connection, event, class, label, again });
    }

    /// Notes the answer to `initialize`, the only one that has no stream.
    fn note_opened(&mut self, row: Row, answer: &Answer<Option<Head>>, marks: &mut Marks<'_>) {
        let Answer::Message(Some(Head::Response { id, initialized, .. })) = answer else { return };
        if row == Row::Session && !self.is_opened {
            self.is_opened = true;
            let ended = What::Ended { request: id.to_string(), outcome: "result" };
            self.forget_request(&ended);
            marks.add(row, ended);
            let revision = initialized.version.map(|version| version.as_str().to_owned());
            marks.add(row, What::Opened { client: None, revision });
        }
    }

    fn forget_request(&mut self, what: &What) {
        if let What::Ended { request, .. } = what {
            self.pending.retain(|(pending, _)| pending.to_string() != *request);
        }
    }

    /// Notes that a shadow took the place of the connection that was attached before.
    fn note_promotion(&mut self, step: &WatchedStep, marks: &mut Marks<'_>) {
        let before = std::mem::replace(&mut self.standalone, step.standalone);
        let Some(attached) = step.standalone.filter(|attached| before != Some(*attached)) else {
            return;
        };
        if let Input::Get { connection, .. } = &step.input
            && *connection == attached
        {
            return;
        }
        let attached = What::Attached { connection: attached.0, by: By::Promotion };
        marks.add(Row::Stream(StreamId::Standalone), attached);
    }
}

fn began(id: &RequestId, observed: Option<&ObservedRequest>) -> What {
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

fn class(head: Option<&Head>) -> Class {
    match head {
        Some(Head::Response { .. } | Head::Error { .. }) => Class::Response,
        Some(Head::Request { .. }) => Class::Request,
        Some(Head::Notification(_)) | None => Class::Message,
    }
}

fn describe_head(head: Option<&Head>) -> String {
    head.map_or_else(|| "message".to_owned(), label::describe)
}

/// Describes an input that was rejected.
fn describe(input: &Input<()>) -> String {
    match input {
        Input::Post { post, .. } => describe_all(post.messages()),
        Input::Get { last_event_id: Some(id), .. } => format!("to resume after event {id}"),
        Input::Get { last_event_id: None, .. } => "to open the standalone stream".to_owned(),
        Input::BackendMessage { message, .. } => label::describe(&message.head),
        Input::Delete => "to end the session".to_owned(),
        Input::Abandon { stream } => format!("to abandon stream {stream}"),
        Input::Disconnect { stream, .. } => format!("to disconnect stream {stream}"),
        Input::CloseSession { .. }
        | Input::Acknowledged { .. }
        | Input::ConnectionClosed { .. }
        | Input::BackendGone
        | Input::LimitBytes { .. }
        | Input::Drain { .. }
        | Input::Tick => "an input of rejoin".to_owned(),
    }
}

/// Describes the first messages of a post.
fn describe_all<M>(messages: &[Message<M>]) -> String {
    let labels = messages.iter().take(DESCRIBED_MAX).map(|message| label::describe(&message.head));
    let labels = labels.collect::<Vec<_>>().join(", ");
    match messages.len().saturating_sub(DESCRIBED_MAX) {
        0 => labels,
        more => format!("{labels} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use rejoin::rejoin_core::Notification;

    use super::*;

    #[test]
    fn a_long_batch_is_described_by_its_first_messages() {
        let log = || Message { head: Head::Notification(Notification::Log), body: (), bytes: 0 };
        let described = |number| describe_all(&vec![log(); number]);
        assert_eq!(described(1), "log message");
        assert_eq!(described(3), "log message, log message, log message");
        assert_eq!(described(64), "log message, log message, log message and 61 more");
    }
}
