//! Law 8: a closed session never produces another action.

use rejoin_core::{Action, Input, Rejection};

use super::{Step, View};

/// Checks the step that closes the session, and all later ones.
pub(super) fn check(before: &View, step: &Step) -> Result<(), String> {
    if let Some(reason) = before.closed {
        return check_closed(before, step, reason);
    }
    let end = |(at, action): (usize, &Action<u64>)| {
        let Action::SessionClosed { reason, .. } = action else {
            return None;
        };
        Some((at, *reason))
    };
    let (at, reported) = step.actions.iter().enumerate().find_map(end).unzip();
    if at.is_some_and(|at| at + 1 != step.actions.len()) {
        return Err(format!("an action follows `SessionClosed`: {:?}", step.actions));
    }
    if reported != step.after.closed {
        return Err(format!(
            "the action says {reported:?}, but the session says {:?}",
            step.after.closed
        ));
    }
    check_quiet(step)
}

fn check_closed(
    before: &View,
    step: &Step,
    reason: rejoin_core::SessionCloseReason,
) -> Result<(), String> {
    if !step.actions.is_empty() {
        return Err(format!(
            "closed as {reason:?}, but the session still returns actions: {:?}",
            step.actions
        ));
    }
    let is_harmless = matches!(
        step.input,
        Input::Tick
            | Input::LimitBytes { .. }
            | Input::Drain { .. }
            | Input::Committed { .. }
            | Input::Acknowledged { .. }
            | Input::ConnectionClosed { .. }
    );
    let expected = if is_harmless { Ok(()) } else { Err(Rejection::Closed(reason)) };
    if step.result != expected {
        return Err(format!("closed as {reason:?}, but the session returns {:?}", step.result));
    }
    if step.after != *before {
        return Err(format!("the closed session changed from {before:?} to {:?}", step.after));
    }
    check_quiet(step)
}

fn check_quiet(step: &Step) -> Result<(), String> {
    let view = &step.after;
    if view.closed.is_some() && (view.deadline.is_some() || !view.connections.is_empty()) {
        return Err(format!("the closed session still has a deadline or connections: {view:?}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rejoin_core::{Instant, SessionCloseReason, StreamId};

    use super::super::fixtures::step;
    use super::*;

    fn closed() -> View {
        View { closed: Some(SessionCloseReason::Deleted), ..View::default() }
    }

    #[test]
    fn an_action_after_the_close_is_detected() {
        let end = Action::SessionClosed {
            reason: SessionCloseReason::Deleted,
            pending_requests: Vec::new(),
            server_requests: Vec::new(),
        };
        let late = Action::Release { stream: StreamId::Standalone };
        let mut last = step(Input::Delete);
        last.after = closed();
        last.actions = vec![late.clone(), end.clone()];
        assert!(check(&View::default(), &last).is_ok());
        last.actions = vec![end, late];
        assert!(check(&View::default(), &last).is_err());
        assert!(check(&closed(), &last).is_err());
    }

    #[test]
    fn an_unreported_close_is_detected() {
        let mut last = step(Input::Delete);
        last.after = closed();
        assert!(check(&View::default(), &last).is_err());
    }

    #[test]
    fn an_input_accepted_after_the_close_is_detected() {
        let mut late = step(Input::Tick);
        late.after = closed();
        assert!(check(&closed(), &late).is_ok());
        late.input = Input::LimitBytes { bytes_max: 0 };
        assert!(check(&closed(), &late).is_ok());
        late.input = Input::Drain { retry: Duration::ZERO };
        assert!(check(&closed(), &late).is_ok());
        late.input = Input::Committed { through: 0 };
        assert!(check(&closed(), &late).is_ok());
        late.input = Input::Delete;
        assert!(check(&closed(), &late).is_err());
        late.result = Err(Rejection::Closed(SessionCloseReason::Deleted));
        assert!(check(&closed(), &late).is_ok());
        late.result = Err(Rejection::Closed(SessionCloseReason::Idle));
        assert!(check(&closed(), &late).is_err());
    }

    #[test]
    fn a_change_after_the_close_is_detected() {
        let mut late = step(Input::Tick);
        late.after = View { bytes: 1, ..closed() };
        assert!(check(&closed(), &late).is_err());
    }

    #[test]
    fn a_deadline_after_the_close_is_detected() {
        let mut late = step(Input::Tick);
        late.after = View { deadline: Some(Instant::MAX), ..closed() };
        assert!(check(&late.after.clone(), &late).is_err());
    }
}
