//! Law 9: the same config and inputs give the same actions.

use super::Step;

/// Compares a step with that of the twin, whose history differs in rejected inputs only.
pub(super) fn check(step: &Step, twin: &Step) -> Result<(), String> {
    if !step.is_applied() {
        return Ok(());
    }
    if step.result != twin.result {
        return Err(format!("two sessions return {:?} and {:?}", step.result, twin.result));
    }
    match difference(step, twin) {
        Some(difference) => Err(format!("two sessions differ in {difference}")),
        None => Ok(()),
    }
}

/// Returns how two steps differ, apart from their inputs and results.
pub(super) fn difference(one: &Step, other: &Step) -> Option<String> {
    if one.actions != other.actions {
        return Some(format!("actions: {:?} and {:?}", one.actions, other.actions));
    }
    (one.after != other.after).then(|| format!("state: {:?} and {:?}", one.after, other.after))
}

#[cfg(test)]
mod tests {
    use rejoin_core::{Action, Input, Rejection, SessionCloseReason, StreamId};

    use super::super::fixtures::step;
    use super::*;

    #[test]
    fn sessions_that_differ_are_detected() {
        let same = step(Input::Tick);
        let stream = StreamId::Standalone;
        assert!(check(&same, &same.clone()).is_ok());
        let rejection = Rejection::Closed(SessionCloseReason::Idle);
        let result = Step { result: Err(rejection), ..same.clone() };
        let action = Step { actions: vec![Action::Release { stream }], ..same.clone() };
        let mut state = same.clone();
        state.after.pending = 1;
        for other in [result, action, state] {
            assert!(check(&same, &other).is_err(), "{other:?}");
        }
    }
}
