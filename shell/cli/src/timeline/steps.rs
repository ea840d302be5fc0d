//! The marks of a session's steps.

mod actions;
mod inputs;
mod start;

use std::{collections::VecDeque, time::Duration};

use rejoin::{
    WatchedStep,
    rejoin_core::{Action, ConnectionId, EventId, Head, Input, Rejection, RequestId, StreamId},
};

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
    /// The last errors that stand for responses that took too long, at most [`TIMED_OUT_MAX`].
    timed_out: VecDeque<EventId>,
    is_opened: bool,
}

/// Maximum number of errors that are distinguished from those of the server when they are sent
/// again.
const TIMED_OUT_MAX: usize = 256;

/// The marks of one step.
struct Marks<'a> {
    at: Duration,
    /// The request that has timed out in this step.
    timed_out: Option<&'a RequestId>,
    out: &'a mut Vec<Mark>,
}

impl Marks<'_> {
    fn add(&mut self, row: Row, what: What) {
        self.out.push(Mark::new(self.at, row, what));
    }
}

impl Timeline {
    /// Appends the marks of a step.
    pub(crate) fn step(&mut self, step: &WatchedStep, out: &mut Vec<Mark>) {
        let mut marks = Marks { at: step.at, timed_out: step.timed_out.as_ref(), out };
        match &step.rejection {
            None => self.on_input(step, &mut marks),
            Some(Rejection::Full) => {}
            Some(rejection) => {
                let input = label::describe_input(&step.input);
                let (by, reason) = (mark::party_at_fault(rejection), rejection.to_string());
                marks.add(Row::Session, What::Rejected { input, by, reason });
            }
        }
        if let (Input::BackendMessage { message, .. }, Some(event)) = (&step.input, step.recorded) {
            self.on_recorded(event, &message.head, step, &mut marks);
        }
        for action in &step.actions {
            self.on_action(action, &mut marks);
        }
        self.note_promotion(step, &mut marks);
    }

    /// Notes a message of the server that is an event now, whether it is sent or not.
    fn on_recorded(
        &mut self,
        event: EventId,
        head: &Head,
        step: &WatchedStep,
        marks: &mut Marks<'_>,
    ) {
        if step.timed_out.is_some() {
            self.timed_out.truncate(TIMED_OUT_MAX - 1);
            self.timed_out.push_front(event);
        }
        let is_sent = |action| matches!(action, &Action::Send { id, .. } if id == event);
        if !step.actions.iter().any(is_sent) {
            let (class, label) = self.content(Some(event), Some(head), marks);
            marks.add(Row::Stream(event.stream), What::Kept { event: event.index, class, label });
        }
    }

    /// Returns what a message is, and its label. `event` is the one that carries it.
    fn content(
        &self,
        event: Option<EventId>,
        head: Option<&Head>,
        marks: &Marks<'_>,
    ) -> (Class, String) {
        let stands_for_response = event.is_some_and(|event| self.timed_out.contains(&event))
            || matches!(head, Some(Head::Error { id }) if id.is_some() && id.as_ref() == marks.timed_out);
        if stands_for_response {
            return (Class::Failure, label::TIMED_OUT.to_owned());
        }
        let label = head.map_or_else(|| "message".to_owned(), label::describe);
        (Class::of(head), label)
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
