//! Outcomes of inputs, on which a session and the model must agree.

use std::fmt::{Debug, Write as _};

use rejoin_core::{Action, ConnectionId, Input, Instant, Rejection, SessionCloseReason};

use crate::laws::Step;
use crate::model::Model;

/// The outcome of an input.
#[derive(Debug, PartialEq)]
pub(super) struct Outcome {
    result: Result<(), Rejection>,
    actions: Vec<Action<u64>>,
    deadline: Option<Instant>,
    closed: Option<SessionCloseReason>,
    pending: usize,
    bytes: usize,
    connections: Vec<ConnectionId>,
}

impl Outcome {
    /// Returns the outcome of a step of a session.
    pub(super) fn of(step: &Step) -> Self {
        let view = &step.after;
        Self {
            result: step.result.clone(),
            actions: step.actions.clone(),
            deadline: view.deadline,
            closed: view.closed,
            pending: view.pending,
            bytes: view.bytes,
            connections: view.connections.iter().map(|view| view.connection).collect(),
        }
    }

    /// Applies an input to the model, and returns the outcome.
    pub(super) fn of_model(model: &mut Model, now: Instant, input: Input<u64>) -> Self {
        let (result, actions) = model.handle(now, input);
        Self {
            result,
            actions,
            deadline: model.deadline(),
            closed: model.close_reason(),
            pending: model.pending_requests(),
            bytes: model.kept_bytes(),
            connections: model.connections(),
        }
    }

    /// Compares this outcome of a session with that of the model.
    ///
    /// Pending requests and bytes of a closed session are not compared.
    pub(super) fn compare(&self, mut model: Self) -> Result<(), String> {
        if self.closed.is_some() && self.closed == model.closed {
            (model.bytes, model.pending) = (self.bytes, self.pending);
        }
        if *self == model {
            return Ok(());
        }
        let mut text = String::from("the session and the model disagree");
        append_difference(&mut text, "result", &self.result, &model.result);
        append_difference(&mut text, "actions", &self.actions, &model.actions);
        append_difference(&mut text, "deadline", &self.deadline, &model.deadline);
        append_difference(&mut text, "closed", &self.closed, &model.closed);
        append_difference(&mut text, "pending", &self.pending, &model.pending);
        append_difference(&mut text, "bytes", &self.bytes, &model.bytes);
        append_difference(&mut text, "connections", &self.connections, &model.connections);
        Err(text)
    }
}

fn append_difference<T: Debug + PartialEq>(text: &mut String, name: &str, session: &T, model: &T) {
    if session != model {
        // Writing to a string cannot fail.
        let _ = write!(text, "\n  {name}\n    session: {session:?}\n    model:   {model:?}");
    }
}

#[cfg(test)]
mod tests {
    use rejoin_core::Config;

    use super::*;

    #[test]
    fn a_difference_is_named() {
        let outcome = || {
            let mut model = Model::new(Config::default(), Instant::EPOCH);
            Outcome::of_model(&mut model, Instant::EPOCH, Input::Tick)
        };
        assert_eq!(outcome().compare(outcome()), Ok(()));
        let other = Outcome { bytes: 7, ..outcome() };
        let text = outcome().compare(other).unwrap_err();
        assert!(text.contains("bytes") && text.contains('7') && !text.contains("pending"));
    }
}
