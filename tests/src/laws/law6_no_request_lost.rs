//! Law 6: no request is lost.
//!
//! A forwarded request has exactly one outcome: its response is acknowledged or retained,
//! it is cancelled, the session is closed, or the client gets a `Failure`. A session that closes
//! lists the requests that are still pending.

use std::collections::{BTreeMap, BTreeSet};

use rejoin_core::{
    Action, Config, Event, Failure, FailureReason, Head, Input, Message, Method, RequestId,
    StreamId,
};

use super::law4_without_gap::may_evict;
use super::readers::{Sent, SentEvent};
use super::{Step, View, answered_id, cancelled_id, posted, request_id};

/// The requests of the client, and their outcomes.
#[derive(Clone, Debug, Default)]
pub(super) struct Requests {
    /// The id of `initialize`, until it is answered.
    initialize: Option<RequestId>,
    pending: BTreeMap<RequestId, StreamId>,
    /// The outcomes of which the client may still be sent something, by stream.
    outcomes: BTreeMap<StreamId, BTreeMap<RequestId, Outcome>>,
    /// The indexes of the responses of each stream.
    responses: BTreeMap<StreamId, BTreeSet<u64>>,
}

/// The outcome of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Answered,
    Orphaned,
    BackendLost,
    SessionClosed,
}

/// Checks the effect of a step on requests.
pub(super) fn check(
    requests: &mut Requests,
    config: &Config,
    (before, step): (&View, &Step),
    sent: &[Sent],
) -> Result<(), String> {
    requests.note_orphaned(step)?;
    requests.note_input(config, before, step, sent)?;
    requests.check_listed(step)?;
    if step.after.closed.is_some() {
        for (id, stream) in std::mem::take(&mut requests.pending) {
            requests.outcomes.entry(stream).or_default().insert(id, Outcome::SessionClosed);
        }
    }
    for sent in sent {
        requests.check_sent(sent)?;
    }
    let pending: BTreeMap<RequestId, StreamId> = step.after.requests.iter().cloned().collect();
    if pending != requests.pending || pending.len() != step.after.pending {
        return Err(format!(
            "expected pending requests {:?}, but they are {pending:?}, and the session counts {}",
            requests.pending, step.after.pending
        ));
    }
    Ok(())
}

impl Requests {
    /// Notes the requests that the session itself cancels at the backend.
    fn note_orphaned(&mut self, step: &Step) -> Result<(), String> {
        for action in &step.actions {
            let Action::CancelRequest { id } = action else {
                continue;
            };
            match self.pending.remove(id) {
                Some(stream) => self.note_outcome(stream, id, Outcome::Orphaned),
                None => return Err(format!("{id} was cancelled, but was not pending")),
            }
        }
        Ok(())
    }

    fn note_input(
        &mut self,
        config: &Config,
        before: &View,
        step: &Step,
        sent: &[Sent],
    ) -> Result<(), String> {
        if step.result.is_err() {
            return Ok(());
        }
        match &step.input {
            Input::Post { .. } => self.note_posted(step),
            Input::Abandon { stream } => {
                self.pending.retain(|_, other| other != stream);
                Ok(())
            }
            Input::BackendMessage { message, .. } => match answered_id(&message.head) {
                Some(id) => {
                    let may_fail = may_evict(config, before, step) || may_fail(config, message);
                    self.note_response(step, sent, (id, message.body), may_fail)
                }
                None => Ok(()),
            },
            Input::BackendLost => {
                if step.loses_backend() {
                    for (id, stream) in std::mem::take(&mut self.pending) {
                        self.note_outcome(stream, &id, Outcome::BackendLost);
                    }
                }
                Ok(())
            }
            Input::Get { .. }
            | Input::Acknowledged { .. }
            | Input::ConnectionClosed { .. }
            | Input::Delete
            | Input::CloseSession { .. }
            | Input::Disconnect { .. }
            | Input::BackendGone
            | Input::Committed { .. }
            | Input::LimitBytes { .. }
            | Input::Drain { .. }
            | Input::Tick => Ok(()),
        }
    }

    fn note_posted(&mut self, step: &Step) -> Result<(), String> {
        let messages = posted(&step.input);
        for (nth, message) in messages.iter().enumerate() {
            if let Some(id) = cancelled_id(&message.head) {
                self.pending.remove(id);
            }
            let Some(id) = request_id(&message.head) else {
                continue;
            };
            if matches!(message.head, Head::Request { method: Method::Initialize { .. }, .. }) {
                self.initialize = Some(id.clone());
                continue;
            }
            let mut later = messages.iter().skip(nth);
            let is_cancelled = later.any(|later| cancelled_id(&later.head) == Some(id));
            match step.after.stream_of(id) {
                Some(stream) => {
                    self.pending.insert(id.clone(), stream);
                }
                None if is_cancelled => {}
                // The session closes with it.
                None if step.after.closed.is_some() => {
                    self.pending.insert(id.clone(), StreamId::Standalone);
                }
                None => return Err(format!("{id} was accepted, but is not pending")),
            }
        }
        Ok(())
    }

    /// Checks that the response to a pending request is sent or logged, or a failure if that is
    /// possible, and that any other response is neither.
    fn note_response(
        &mut self,
        step: &Step,
        sent: &[Sent],
        (id, body): (&RequestId, u64),
        may_fail: bool,
    ) -> Result<(), String> {
        let sent_at = sent.iter().find_map(|sent| {
            let SentEvent { index, event, .. } = sent.event.as_ref()?;
            (*event == Event::Message(body)).then_some(*index)
        });
        if self.initialize.as_ref() == Some(id) {
            self.initialize = None;
            return Ok(());
        }
        let Some(stream) = self.pending.remove(id) else {
            return match sent_at {
                Some(index) => {
                    Err(format!("the response to {id}, which is not pending, was sent at {index}"))
                }
                None => Ok(()),
            };
        };
        self.note_outcome(stream, id, Outcome::Answered);
        let log = step.after.log(stream);
        let logged_at = log.filter(|log| match &log.newest {
            Some(Event::Message(logged)) => *logged == body,
            Some(Event::Failure(failure)) => failure.id == *id && may_fail,
            Some(Event::Priming { .. } | Event::Gap { .. }) | None => false,
        });
        let location = sent_at.or(logged_at.map(|log| log.last));
        if let Some(index) = location {
            self.responses.entry(stream).or_default().insert(index);
        } else if log.is_some() && step.after.closed.is_none() {
            return Err(format!(
                "the response to {id} is neither sent nor logged on {stream}: {log:?}"
            ));
        }
        Ok(())
    }

    /// Checks that a session that closes lists the requests that are pending.
    fn check_listed(&mut self, step: &Step) -> Result<(), String> {
        let listed = step.actions.iter().find_map(|action| {
            let Action::SessionClosed { pending_requests, .. } = action else {
                return None;
            };
            Some(pending_requests)
        });
        let Some(listed) = listed else {
            return Ok(());
        };
        let pending: BTreeSet<&RequestId> = self.pending.keys().chain(&self.initialize).collect();
        if !listed.iter().eq(pending.iter().copied()) {
            return Err(format!("{pending:?} were pending at the close, but it lists {listed:?}"));
        }
        self.initialize = None;
        Ok(())
    }

    fn note_outcome(&mut self, stream: StreamId, id: &RequestId, outcome: Outcome) {
        self.outcomes.entry(stream).or_default().insert(id.clone(), outcome);
    }

    /// Checks that a failure fits the outcome of its request, and that no response is
    /// skipped, not even in a gap.
    fn check_sent(&self, sent: &Sent) -> Result<(), String> {
        let Some(stream) = sent.stream else {
            return Ok(());
        };
        if let Some(SentEvent { event: Event::Failure(failure), .. }) = &sent.event {
            self.check_failure(stream, failure)?;
        }
        let responses = self.responses.get(&stream).into_iter().flatten();
        match responses.copied().find(|index| sent.skipped.contains(index)) {
            Some(index) => Err(format!(
                "connection {} was not sent the response at {index} of {stream}",
                sent.connection
            )),
            None => Ok(()),
        }
    }

    fn check_failure(&self, stream: StreamId, failure: &Failure) -> Result<(), String> {
        let outcome = self.outcomes.get(&stream).and_then(|ended| ended.get(&failure.id));
        let fits = match failure.reason {
            FailureReason::Evicted => outcome == Some(&Outcome::Answered),
            FailureReason::Orphaned => outcome == Some(&Outcome::Orphaned),
            FailureReason::Expired => {
                let ended = [Outcome::Answered, Outcome::Orphaned, Outcome::BackendLost];
                outcome.is_some_and(|outcome| ended.contains(outcome))
            }
            FailureReason::BackendGone => {
                matches!(outcome, Some(Outcome::BackendLost | Outcome::SessionClosed))
            }
            FailureReason::SessionClosed => outcome == Some(&Outcome::SessionClosed),
        };
        if fits {
            return Ok(());
        }
        Err(format!("{failure:?} on {stream}, but the outcome was {outcome:?}"))
    }
}

/// Returns whether a response may be replaced by a failure as soon as it is recorded although there
/// is room: it is too large, or the log of its stream cannot have it.
fn may_fail(config: &Config, message: &Message<u64>) -> bool {
    message.bytes > config.message_bytes_max
        || config.stream_events_max == 0
        || config.stream_bytes_max == 0
}

#[cfg(test)]
mod tests {
    use rejoin_core::{
        CloseReason, ConnectionId, EventId, Overflow, Post, Rejection, SessionCloseReason,
    };

    use super::super::LogView;
    use super::super::fixtures::{backend, gap, log, post, response, send, step};
    use super::super::readers::Readers;
    use super::*;

    const STREAM: StreamId = StreamId::Request(0);

    fn run(steps: &[Step]) -> Result<(), String> {
        let mut requests = Requests::default();
        let mut readers = Readers::default();
        let mut before = View::default();
        steps.iter().try_for_each(|step| {
            let sent = readers.follow(&before, step);
            check(&mut requests, &Config::default(), (&before, step), &sent)?;
            before = step.after.clone();
            Ok(())
        })
    }

    fn requested() -> Step {
        let mut requested = step(post(1, 7, 70));
        requested.after.pending = 1;
        requested.after.requests = vec![(7.into(), STREAM)];
        requested
    }

    fn answered(newest: Option<Event<u64>>) -> Step {
        let mut answered = step(backend(response(7), 80));
        answered.after.logs = vec![LogView { stream: STREAM, newest, ..log(3) }];
        answered
    }

    fn resumed(actions: Vec<Action<u64>>) -> Step {
        let last_event_id = Some(EventId::new(STREAM, 0));
        let mut resumed = step(Input::Get { connection: ConnectionId(2), last_event_id });
        resumed.actions = actions;
        resumed.after.logs = vec![LogView { stream: STREAM, ..log(3) }];
        resumed
    }

    fn failure(reason: FailureReason) -> Event<u64> {
        Event::Failure(Failure { id: 7.into(), reason })
    }

    #[test]
    fn a_request_that_disappears_is_detected() {
        assert!(run(&[requested()]).is_ok());
        assert!(run(&[step(post(1, 7, 70))]).is_err());
        assert!(run(&[requested(), step(Input::Tick)]).is_err());
    }

    #[test]
    fn a_pending_request_that_is_not_listed_at_the_close_is_detected() {
        let initialize = || {
            let mut initialize = step(post(1, 7, 70));
            if let Input::Post { post: Post::Single(message), .. } = &mut initialize.input {
                let method = Method::Initialize { version: None };
                message.head = Head::Request { id: 7.into(), method, progress_token: None };
            }
            initialize
        };
        let run = |first: Step, listed: &[i64]| {
            let mut closed = step(Input::Delete);
            closed.actions = vec![Action::SessionClosed {
                reason: SessionCloseReason::Deleted,
                pending_requests: listed.iter().map(|id| (*id).into()).collect(),
                server_requests: Vec::new(),
            }];
            closed.after.closed = Some(SessionCloseReason::Deleted);
            run(&[first, closed]).is_ok()
        };
        for first in [requested(), initialize()] {
            assert!(run(first.clone(), &[7]));
            assert!(!run(first.clone(), &[]) && !run(first, &[7, 7]));
        }
        assert!(run(step(Input::Tick), &[]) && !run(step(Input::Tick), &[7]));
    }

    #[test]
    fn a_request_that_does_not_stay_pending_in_a_full_session_is_detected() {
        let mut full = step(backend(response(7), 80));
        full.result = Err(Rejection::Full);
        assert!(run(&[requested(), full.clone()]).is_err());
        full.after = requested().after;
        assert!(run(&[requested(), full]).is_ok());
    }

    #[test]
    fn a_dropped_response_is_detected() {
        assert!(run(&[requested(), answered(Some(Event::Message(80)))]).is_ok());
        let failed = |overflow| {
            let mut failed = answered(Some(failure(FailureReason::Evicted)));
            if let Input::BackendMessage { overflow: it, .. } = &mut failed.input {
                *it = overflow;
            }
            failed
        };
        let mut full = requested();
        full.after.bytes = Config::default().session_bytes_max;
        assert!(run(&[full.clone(), failed(Overflow::Evict)]).is_ok());
        assert!(run(&[full, failed(Overflow::Hold)]).is_err(), "its sender can wait");
        assert!(run(&[requested(), failed(Overflow::Evict)]).is_err(), "there is room");
        assert!(run(&[requested(), answered(Some(Event::Message(81)))]).is_err());
        assert!(run(&[requested(), answered(None)]).is_err());
    }

    #[test]
    fn a_response_to_a_finished_request_is_detected() {
        let mut again = step(backend(response(7), 81));
        again.actions = vec![send(1, STREAM, 4, Event::Message(81))];
        let first = answered(Some(Event::Message(80)));
        assert!(run(&[requested(), first.clone(), step(backend(response(7), 81))]).is_ok());
        assert!(run(&[requested(), first, again]).is_err());
    }

    #[test]
    fn a_skipped_response_is_detected() {
        let logged = answered(Some(Event::Message(80)));
        let gap = gap(2, STREAM, 1, 2);
        let close = Action::Close { connection: ConnectionId(2), reason: CloseReason::Complete };
        let evicted = send(2, STREAM, 3, failure(FailureReason::Evicted));
        let reported = resumed(vec![gap.clone(), evicted, close.clone()]);
        assert!(run(&[requested(), logged.clone(), reported]).is_ok());
        assert!(run(&[requested(), logged, resumed(vec![gap, close])]).is_err());
    }

    #[test]
    fn a_failure_without_a_cause_is_detected() {
        let orphaned = resumed(vec![send(2, STREAM, 3, failure(FailureReason::Orphaned))]);
        let logged = answered(Some(Event::Message(80)));
        assert!(run(&[requested(), logged, orphaned]).is_err());
    }

    #[test]
    fn a_cancellation_of_an_unknown_request_is_detected() {
        let mut cancelled = step(Input::Tick);
        cancelled.actions = vec![Action::CancelRequest { id: 7.into() }];
        assert!(run(&[cancelled.clone()]).is_err());
        assert!(run(&[requested(), cancelled]).is_ok());
    }
}
