//! Law 7, cancelled requests: what a backend has to work on is bounded, too.
//!
//! A cancelled request counts until it is answered, the backend is lost or `cancelled_timeout` has
//! passed. It
//! counts as a pending one only beyond `cancelled_requests_max`.

use std::collections::BTreeMap;

use rejoin_core::{ClientFault, Config, Head, Input, Instant, Method, Rejection, RequestId};

use super::{Step, View, answered_id, posted, request_id};

/// Since when each unanswered request is cancelled.
pub(super) type Cancelled = BTreeMap<RequestId, Instant>;

/// Checks the limits, and that requests are rejected only when a limit is reached.
pub(super) fn check(
    cancelled: &mut Cancelled,
    config: &Config,
    now: Instant,
    before: &View,
    step: &Step,
) -> Result<(), String> {
    update(cancelled, config, now, before, step);
    let (pending, max) = (step.after.pending, config.pending_requests_max);
    let (both, both_max) =
        (pending + cancelled.len(), max.saturating_add(config.cancelled_requests_max));
    if both > both_max {
        return Err(format!("{both} pending and cancelled requests, but the limit is {both_max}"));
    }
    let more = posted(&step.input).iter().filter(|message| message.head.is_request()).count();
    let is_limit = match &step.result {
        Err(Rejection::Client(ClientFault::TooManyRequests { .. })) => pending + more > max,
        Err(Rejection::Client(ClientFault::TooManyCancelled { .. })) => both + more > both_max,
        Ok(()) | Err(_) => true,
    };
    if is_limit {
        return Ok(());
    }
    Err(format!(
        "{:?}, but there are only {pending} pending and {} cancelled requests",
        step.result,
        cancelled.len()
    ))
}

/// Adds cancelled requests, and removes those that no longer count.
fn update(cancelled: &mut Cancelled, config: &Config, now: Instant, before: &View, step: &Step) {
    if step.after.closed.is_some() || step.input == Input::BackendLost {
        cancelled.clear();
        return;
    }
    let due = |since: Instant| {
        let due = since.saturating_add(config.cancelled_timeout?);
        (due < Instant::MAX).then_some(due)
    };
    cancelled.retain(|_, since| due(*since).is_none_or(|due| now < due));
    let answered = match (&step.input, &step.result) {
        (Input::BackendMessage { message, .. }, Ok(())) => answered_id(&message.head),
        (_, Ok(()) | Err(_)) => None,
    };
    let posted = if step.result.is_ok() { posted(&step.input) } else { &[] };
    let opened = posted.iter().filter_map(|message| opened_id(&message.head));
    for id in before.requests.iter().map(|(id, _)| id).chain(opened) {
        if step.after.stream_of(id).is_none() && answered != Some(id) {
            cancelled.entry(id.clone()).or_insert(now);
        }
    }
    if let Some(id) = answered {
        cancelled.remove(id);
    }
}

/// Returns the id of a request that becomes pending, which `initialize` does not.
fn opened_id(head: &Head) -> Option<&RequestId> {
    let is_initialize = matches!(head, Head::Request { method: Method::Initialize { .. }, .. });
    request_id(head).filter(|_| !is_initialize)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rejoin_core::StreamId;

    use super::super::fixtures::{backend, post, response, step};
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::new(Duration::from_secs(seconds))
    }

    /// A view of a session with one pending request.
    fn pending(id: i64) -> View {
        let requests = vec![(id.into(), StreamId::Request(0))];
        View { pending: 1, requests, ..View::default() }
    }

    #[test]
    fn a_limit_bypassed_by_cancelling_is_detected() {
        let config = config! { pending_requests_max: 1, cancelled_requests_max: 0 };
        let mut cancelled = Cancelled::default();
        let abandoned = step(Input::Abandon { stream: StreamId::Request(0) });
        assert!(check(&mut cancelled, &config, at(1), &pending(1), &abandoned).is_ok());
        let mut accepted = step(post(2, 2, 5));
        accepted.after = pending(2);
        let run = |cancelled: &Cancelled, config: &Config, seconds: u64| {
            check(&mut cancelled.clone(), config, at(seconds), &View::default(), &accepted)
        };
        assert!(run(&cancelled, &config, 60).is_err());
        assert!(run(&cancelled, &config, 61).is_ok(), "the timeout has passed");
        assert!(
            run(&cancelled, &config! { cancelled_requests_max: 1, ..config.clone() }, 60).is_ok()
        );
        let late = step(backend(response(1), 6));
        assert!(check(&mut cancelled, &config, at(2), &View::default(), &late).is_ok());
        assert!(run(&cancelled, &config, 60).is_ok(), "it was answered");
    }

    #[test]
    fn an_unfounded_rejection_is_detected() {
        let config = config! { pending_requests_max: 1, cancelled_requests_max: 1 };
        let refused = |fault: ClientFault| {
            let mut refused = step(post(2, 2, 5));
            refused.result = Err(fault.into());
            refused
        };
        let many = refused(ClientFault::TooManyRequests { max: 1 });
        let mut busy = many.clone();
        busy.after = pending(1);
        let run = |cancelled: &[i64], step: &Step| {
            let mut cancelled = cancelled.iter().map(|id| ((*id).into(), at(1))).collect();
            check(&mut cancelled, &config, at(1), &View::default(), step)
        };
        assert!(run(&[7], &many).is_err(), "cancelled requests do not count as pending");
        assert!(run(&[7], &busy).is_ok());
        let cancelled = refused(ClientFault::TooManyCancelled { max: 1 });
        assert!(run(&[7], &cancelled).is_err(), "one more may be cancelled");
        assert!(run(&[7, 8], &cancelled).is_ok());
    }
}
