//! Law 6: no request is lost. With activity reports, its end is reported once, with its stream and
//! its outcome.

use std::collections::BTreeSet;

use rejoin_core::{
    Action, Config, Head, Input, Instant, Method, Report, RequestId, RequestOutcome, StreamId,
};

use super::{Step, View, answered_id, cancelled_id, posted, request_id};

/// Checks that the end of each request is reported, unless the session closes with it.
pub(super) fn check(
    config: &Config,
    now: Instant,
    before: &View,
    step: &Step,
) -> Result<(), String> {
    let mut reported = BTreeSet::new();
    for action in &step.actions {
        let Action::Report(Report::RequestEnded { stream, id, outcome }) = action else { continue };
        if !reported.insert(id) {
            return Err(format!("the end of {id} was reported twice"));
        }
        let known = before.requests.iter().find(|(pending, _)| pending == id);
        if known.is_some_and(|(_, known)| known != stream) {
            return Err(format!("{id} is not on {stream}, as reported, but {known:?}"));
        }
        let is_due = before.deadline.is_some_and(|deadline| deadline <= now);
        if !may_end(config, is_due, step, (*stream, id), *outcome) {
            return Err(format!("{id} cannot have ended as reported: {outcome:?}"));
        }
    }
    let ended = if config.activity_reports { ended(before, step) } else { BTreeSet::new() };
    if reported == ended {
        return Ok(());
    }
    Err(format!("{ended:?} have ended, but the end of {reported:?} was reported"))
}

/// Returns whether a step can end a request in this way. `is_due` is whether a timer fires.
fn may_end(
    config: &Config,
    is_due: bool,
    step: &Step,
    (stream, id): (StreamId, &RequestId),
    outcome: RequestOutcome,
) -> bool {
    let response = if let Input::BackendMessage { message, .. } = &step.input {
        Some(message).filter(|message| answered_id(&message.head) == Some(id))
    } else {
        None
    };
    let is_result = |head: &Head| matches!(head, Head::Response { .. });
    let fits = |bytes: usize| bytes <= config.message_bytes_max;
    match outcome {
        RequestOutcome::Result => response.is_some_and(|it| is_result(&it.head) && fits(it.bytes)),
        RequestOutcome::Error => response.is_some_and(|it| !is_result(&it.head) && fits(it.bytes)),
        RequestOutcome::TooLarge => response.is_some(),
        RequestOutcome::Cancelled => {
            posted(&step.input).iter().any(|message| cancelled_id(&message.head) == Some(id))
        }
        RequestOutcome::Abandoned => step.input == Input::Abandon { stream },
        RequestOutcome::Orphaned => is_due,
        RequestOutcome::BackendLost => step.input == Input::BackendLost,
    }
}

/// Returns the requests that were pending, or were posted, and are neither pending any more nor
/// listed by the close of the session.
fn ended<'a>(before: &'a View, step: &'a Step) -> BTreeSet<&'a RequestId> {
    let is_initialize =
        |head: &Head| matches!(head, Head::Request { method: Method::Initialize { .. }, .. });
    let messages = if step.result.is_ok() { posted(&step.input) } else { &[] };
    let heads = messages.iter().map(|message| &message.head);
    let posted = heads.filter(|head| !is_initialize(head)).filter_map(request_id);
    let were_pending = before.requests.iter().map(|(id, _)| id);
    let is_pending = |id: &RequestId| step.after.requests.iter().any(|(pending, _)| pending == id);
    let is_listed = |id: &RequestId| {
        step.actions.iter().any(|action| {
            let Action::SessionClosed { pending_requests, .. } = action else { return false };
            pending_requests.contains(id)
        })
    };
    were_pending.chain(posted).filter(|id| !is_pending(id) && !is_listed(id)).collect()
}

#[cfg(test)]
mod tests {
    use rejoin_core::SessionCloseReason;

    use super::super::fixtures::{backend, response, step};
    use super::*;

    const STREAM: StreamId = StreamId::Request(0);

    fn check_step(
        input: Input<u64>,
        deadline: Option<Instant>,
        actions: Vec<Action<u64>>,
    ) -> Result<(), String> {
        let mut config = Config::default();
        config.activity_reports = true;
        let before = View { deadline, requests: vec![(7.into(), STREAM)], ..View::default() };
        let mut step = step(input);
        step.actions = actions;
        super::check(&config, Instant::EPOCH, &before, &step)
    }

    fn check(actions: Vec<Action<u64>>) -> Result<(), String> {
        check_step(backend(response(7), 80), None, actions)
    }

    fn ended_on(stream: StreamId, id: i64, outcome: RequestOutcome) -> Action<u64> {
        Action::Report(Report::RequestEnded { stream, id: id.into(), outcome })
    }

    fn ended(id: i64) -> Action<u64> {
        ended_on(STREAM, id, RequestOutcome::Result)
    }

    #[test]
    fn a_wrong_stream_or_outcome_is_detected() {
        assert!(check(vec![ended_on(StreamId::Request(1), 7, RequestOutcome::Result)]).is_err());
        let now = Some(Instant::EPOCH);
        let abandon = |stream| Input::Abandon { stream };
        for (input, deadline, allowed) in [
            (
                backend(response(7), 80),
                None,
                &[RequestOutcome::Result, RequestOutcome::TooLarge][..],
            ),
            (
                backend(Head::Error { id: Some(7.into()) }, 80),
                None,
                &[RequestOutcome::Error, RequestOutcome::TooLarge],
            ),
            (backend(response(8), 80), None, &[]),
            (abandon(STREAM), None, &[RequestOutcome::Abandoned]),
            (abandon(StreamId::Request(1)), None, &[]),
            (Input::Tick, now, &[RequestOutcome::Orphaned]),
            (Input::Tick, None, &[]),
        ] {
            for outcome in [
                RequestOutcome::Result,
                RequestOutcome::Error,
                RequestOutcome::TooLarge,
                RequestOutcome::Cancelled,
                RequestOutcome::Abandoned,
                RequestOutcome::Orphaned,
            ] {
                let checked =
                    check_step(input.clone(), deadline, vec![ended_on(STREAM, 7, outcome)]);
                assert_eq!(checked.is_ok(), allowed.contains(&outcome), "{input:?}, {outcome:?}");
            }
        }
    }

    #[test]
    fn a_missing_wrong_or_repeated_report_is_detected() {
        assert!(check(vec![ended(7)]).is_ok());
        assert!(check(Vec::new()).is_err());
        assert!(check(vec![ended(8)]).is_err());
        assert!(check(vec![ended(7), ended(7)]).is_err());
    }

    #[test]
    fn a_request_that_ends_with_its_session_is_listed_instead() {
        let closed = || Action::SessionClosed {
            reason: SessionCloseReason::Deleted,
            pending_requests: vec![7.into()],
            server_requests: Vec::new(),
        };
        assert!(check(vec![closed()]).is_ok());
        assert!(check(vec![ended(7), closed()]).is_err());
    }

    #[test]
    fn a_report_without_activity_reports_is_detected() {
        let mut tick = step(Input::Tick);
        let check =
            |tick: &Step| super::check(&Config::default(), Instant::EPOCH, &View::default(), tick);
        assert!(check(&tick).is_ok());
        tick.actions = vec![ended(7)];
        assert!(check(&tick).is_err());
    }
}
