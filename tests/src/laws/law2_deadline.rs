//! Law 2: `deadline()` is later than the last `now`, or `None`; a tick at the deadline
//! makes progress.
//!
//! Progress needs no check of its own: a tick at the deadline that does not move the
//! deadline leaves it at `now`. A tick before the deadline has no effect.

use rejoin_core::{Input, Instant};

use super::{Step, View};

/// Checks the deadline after a step at `now`, which never decreases.
pub(super) fn check(now: Instant, before: &View, step: &Step) -> Result<(), String> {
    let deadline = step.after.deadline;
    if let Some(deadline) = deadline.filter(|deadline| *deadline <= now) {
        return Err(format!("the deadline at {now:?} is {deadline:?}, which is not later"));
    }
    let is_early = before.deadline.is_none_or(|deadline| now < deadline);
    let is_idle = step.actions.is_empty() && step.after == *before;
    if step.input == Input::Tick && is_early && !is_idle {
        return Err(format!(
            "a tick at {now:?} returned {:?}, or changed the session, before its deadline {:?}; before: {before:?}, after: {:?}",
            step.actions, before.deadline, step.after
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rejoin_core::{Action, StreamId};

    use super::super::fixtures::step;
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::new(Duration::from_secs(seconds))
    }

    #[test]
    fn a_deadline_in_the_past_is_detected() {
        let mut due = step(Input::Delete);
        due.after.deadline = Some(at(5));
        assert!(check(at(4), &View::default(), &due).is_ok());
        assert!(check(at(5), &View::default(), &due).is_err());
    }

    #[test]
    fn an_early_tick_with_an_effect_is_detected() {
        let before = View { deadline: Some(at(5)), ..View::default() };
        let mut early = step(Input::Tick);
        early.after.deadline = Some(at(5));
        assert!(check(at(4), &before, &early).is_ok());
        early.after.deadline = Some(at(6));
        assert!(check(at(4), &before, &early).is_err());
        assert!(check(at(5), &before, &early).is_ok());
        early.after.deadline = Some(at(5));
        early.actions = vec![Action::Release { stream: StreamId::Standalone }];
        assert!(check(at(4), &before, &early).is_err());
    }
}
