//! Law 3: a rejected input changes nothing, unless it closes the session: state and actions are
//! those of a tick.
//!
//! A message that is rejected as full only holds its sender. Readers that have stopped are cut
//! then.

use rejoin_core::{Action, CutReason, Input, Instant, Overflow, Rejection, StreamId};

use super::law9_deterministic::difference;
use super::{Step, View, answered_id};

/// Compares a rejected input with the tick that the twin handled instead.
pub(super) fn check(now: Instant, before: &View, step: &Step, tick: &Step) -> Result<(), String> {
    if step.result == Err(Rejection::Full) {
        return check_full(now, before, step);
    }
    if step.is_applied() {
        return Ok(());
    }
    match difference(step, tick) {
        Some(difference) => Err(format!("a rejection differs from a tick in {difference}")),
        None => Ok(()),
    }
}

/// Checks a message that was rejected as full: the twin handled it, too.
fn check_full(now: Instant, before: &View, step: &Step) -> Result<(), String> {
    let Input::BackendMessage { message, overflow: Overflow::Hold, .. } = &step.input else {
        return Err("an input whose sender cannot be held was rejected as full".to_owned());
    };
    let held = |(at, action): (usize, &Action<u64>)| {
        if let Action::Hold { stream } = action { Some((at, *stream)) } else { None }
    };
    let mut held = step.actions.iter().enumerate().filter_map(held);
    let (Some((at, stream)), None) = (held.next(), held.next()) else {
        return Err(format!("a full session holds not exactly one stream: {:?}", step.actions));
    };
    let answers = answered_id(&message.head).and_then(|id| step.after.stream_of(id));
    if answers.is_some_and(|answered| answered != stream) {
        return Err(format!("a response on {answers:?} is held by {stream}"));
    }
    let mut until_cut = step.actions.iter().skip(at + 1).take_while(|action| !cuts(action));
    if let Some(other) = until_cut.find(|action| !releases_other(action, stream)) {
        return Err(format!("a message that was rejected as full caused {other:?}"));
    }
    let is_due = before.deadline.is_some_and(|deadline| deadline <= now);
    let without_deadline = |view: &View| View { deadline: None, ..view.clone() };
    if step.actions.len() > 1 || is_due || without_deadline(&step.after) == without_deadline(before)
    {
        return Ok(());
    }
    Err(format!(
        "a message that was rejected as full changed the state: {before:?} and {:?}",
        step.after
    ))
}

/// Returns whether an action cuts a reader that has stopped.
fn cuts(action: &Action<u64>) -> bool {
    matches!(action, Action::Cut { reason: CutReason::Stalled, .. })
}

/// Returns whether an action releases another stream than the one that was just held.
fn releases_other(action: &Action<u64>, held: StreamId) -> bool {
    matches!(action, Action::Release { stream } if *stream != held)
}

#[cfg(test)]
mod tests {
    use rejoin_core::{ConnectionId, Event, SessionCloseReason};

    use super::super::fixtures::{backend, notification, response, send, step};
    use super::*;

    #[test]
    fn a_rejection_that_leaves_a_trace_is_detected() {
        let mut rejected = step(Input::Delete);
        rejected.result = Err(Rejection::Closed(SessionCloseReason::Deleted));
        let run = |step: &Step, tick: &Step| check(Instant::EPOCH, &View::default(), step, tick);
        let tick = step(Input::Tick);
        assert!(run(&rejected, &tick).is_ok());
        rejected.after.bytes = 1;
        assert!(run(&rejected, &tick).is_err());
    }

    #[test]
    fn a_rejection_after_a_timer_has_closed_the_session_is_detected() {
        let closed = Action::SessionClosed {
            reason: SessionCloseReason::Idle,
            pending_requests: Vec::new(),
            server_requests: Vec::new(),
        };
        let mut tick = step(Input::Tick);
        tick.actions = vec![closed];
        let mut rejected = Step { input: Input::Delete, ..tick.clone() };
        rejected.result = Err(Rejection::Closed(SessionCloseReason::Idle));
        assert!(check(Instant::EPOCH, &View::default(), &rejected, &tick).is_ok());
        rejected.actions.insert(0, Action::Release { stream: StreamId::Standalone });
        assert!(check(Instant::EPOCH, &View::default(), &rejected, &tick).is_err());
    }

    fn full(input: Input<u64>, actions: Vec<Action<u64>>) -> Step {
        Step { result: Err(Rejection::Full), actions, ..step(input) }
    }

    fn run(full: &Step) -> Result<(), String> {
        check(Instant::EPOCH, &View::default(), full, full)
    }

    #[test]
    fn a_full_session_that_does_more_than_to_hold_a_sender_is_detected() {
        let hold = || Action::Hold { stream: StreamId::Standalone };
        let cut = || Action::Cut { connection: ConnectionId(1), reason: CutReason::Stalled };
        let release = |stream| Action::Release { stream };
        let event = || send(1, StreamId::Standalone, 1, Event::Message(5));
        let other = StreamId::Request(1);
        let run = |actions| run(&full(backend(notification(), 5), actions)).is_ok();
        assert!(run(vec![hold()]) && run(vec![hold(), release(other)]));
        assert!(run(vec![hold(), cut(), event(), release(StreamId::Standalone)]));
        assert!(!run(Vec::new()), "no one will release its sender");
        assert!(!run(vec![hold(), Action::Hold { stream: other }]));
        assert!(!run(vec![hold(), release(StreamId::Standalone)]), "there is no room");
        assert!(!run(vec![hold(), event()]));
    }

    #[test]
    fn a_message_that_has_an_effect_and_is_rejected_as_full_is_detected() {
        let hold = Action::Hold { stream: StreamId::Standalone };
        let mut recorded = full(backend(notification(), 5), vec![hold]);
        assert!(run(&recorded).is_ok());
        recorded.after.bytes = 1;
        assert!(run(&recorded).is_err());
    }

    #[test]
    fn a_full_session_that_holds_the_wrong_sender_is_detected() {
        let hold = |stream| vec![Action::Hold { stream }];
        let before = View { requests: vec![(7.into(), StreamId::Request(1))], ..View::default() };
        let run = |stream| {
            let after = before.clone();
            let full = Step { after, ..full(backend(response(7), 5), hold(stream)) };
            check(Instant::EPOCH, &before, &full, &full)
        };
        assert!(run(StreamId::Request(1)).is_ok());
        assert!(run(StreamId::Standalone).is_err());
        let mut evicts = full(backend(notification(), 5), hold(StreamId::Standalone));
        assert!(super::tests::run(&evicts).is_ok());
        if let Input::BackendMessage { overflow, .. } = &mut evicts.input {
            *overflow = Overflow::Evict;
        }
        assert!(super::tests::run(&evicts).is_err(), "its sender cannot wait");
    }
}
