//! Law 3: a rejected input changes nothing, unless it closes the session: state and actions are
//! those of a tick.

use super::Step;
use super::law9_deterministic::difference;

/// Compares a rejected input with the tick that the twin handled instead.
pub(super) fn check(step: &Step, tick: &Step) -> Result<(), String> {
    if step.is_applied() {
        return Ok(());
    }
    match difference(step, tick) {
        Some(difference) => Err(format!("a rejection differs from a tick in {difference}")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use rejoin_core::{CloseReason, Input, Rejection};

    use super::super::fixtures::step;
    use super::*;

    #[test]
    fn a_rejection_that_leaves_a_trace_is_detected() {
        let mut rejected = step(Input::Delete);
        rejected.result = Err(Rejection::Closed(CloseReason::Deleted));
        assert!(check(&rejected, &step(Input::Tick)).is_ok());
        rejected.after.bytes = 1;
        assert!(check(&rejected, &step(Input::Tick)).is_err());
    }
}
