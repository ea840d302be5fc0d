//! Law 6: no request is lost. With activity reports, its end is reported once.

use std::collections::BTreeSet;

use rejoin_core::{Action, Config, Head, Method, Report, RequestId};

use super::{Step, View, posted, request_id};

/// Checks that the end of each request is reported, unless the session closes with it.
pub(super) fn check(config: &Config, before: &View, step: &Step) -> Result<(), String> {
    let mut reported = BTreeSet::new();
    for action in &step.actions {
        if let Action::Report(Report::RequestEnded { id, .. }) = action
            && !reported.insert(id)
        {
            return Err(format!("the end of {id} was reported twice"));
        }
    }
    let ended = if config.activity_reports { ended(before, step) } else { BTreeSet::new() };
    if reported == ended {
        return Ok(());
    }
    Err(format!("{ended:?} have ended, but the end of {reported:?} was reported"))
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
    use rejoin_core::{Input, RequestOutcome, SessionCloseReason, StreamId};

    use super::super::fixtures::{backend, response, step};
    use super::*;

    const STREAM: StreamId = StreamId::Request(0);

    fn check(actions: Vec<Action<u64>>) -> Result<(), String> {
        let mut config = Config::default();
        config.activity_reports = true;
        let before = View { requests: vec![(7.into(), STREAM)], ..View::default() };
        let mut answered = step(backend(response(7), 80));
        answered.actions = actions;
        super::check(&config, &before, &answered)
    }

    fn ended(id: i64) -> Action<u64> {
        let (id, outcome) = (id.into(), RequestOutcome::Result);
        Action::Report(Report::RequestEnded { stream: STREAM, id, outcome })
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
        assert!(super::check(&Config::default(), &View::default(), &tick).is_ok());
        tick.actions = vec![ended(7)];
        assert!(super::check(&Config::default(), &View::default(), &tick).is_err());
    }
}
