//! Law 4, exactly once and in order: a client that always resumes after the last id that
//! it saw sees every event of a stream once, in order, except after a reported gap.
//!
//! No event id is used twice: a priming event has index 0 once, and an index of its own
//! later.
//!
//! An index without an event is not a gap: that of a priming event, or of a server
//! request that failed as undelivered, or whose backend was lost; or one that was kept for the retry
//! of a disconnect that waits for a commit, or is below the origin of a session that replaces another.

use std::collections::{BTreeMap, BTreeSet};

use rejoin_core::{
    Action, Change, Event, FailureReason, Input, RequestId, StreamId, UnansweredReason,
};

use super::readers::{Sent, SentEvent};
use super::{Step, View, request_id};

/// The contents of every stream, as far as seen.
#[derive(Clone, Debug, Default)]
pub(super) struct StreamEvents {
    streams: BTreeMap<StreamId, Contents>,
    /// The stream and index of each server request.
    server_requests: BTreeMap<RequestId, (StreamId, u64)>,
}

#[derive(Clone, Debug, Default)]
struct Contents {
    events: BTreeMap<u64, Event<u64>>,
    without_event: BTreeSet<u64>,
    /// The indexes of priming events.
    primed: BTreeSet<u64>,
    /// The last index that was assigned.
    last: u64,
    /// No event has an index below this one.
    origin: u64,
    /// Whether a disconnect with a retry may be deferred, for which no index was kept so far.
    may_keep_retry: bool,
}

/// Checks what was sent in a step.
pub(super) fn check(streams: &mut StreamEvents, step: &Step, sent: &[Sent]) -> Result<(), String> {
    if step.loses_backend() {
        for (stream, index) in std::mem::take(&mut streams.server_requests).into_values() {
            streams.streams.entry(stream).or_default().without_event.insert(index);
        }
    }
    for action in &step.actions {
        if let Action::FailServerRequest { id, reason: UnansweredReason::Undelivered } = action
            && let Some((stream, index)) = streams.server_requests.remove(id)
        {
            streams.streams.entry(stream).or_default().without_event.insert(index);
        }
    }
    streams.follow_retries(step);
    for sent in sent {
        streams.check_sent(sent)?;
    }
    let records = matches!(step.input, Input::BackendMessage { .. } | Input::BackendLost)
        || step.actions.iter().any(|action| matches!(action, Action::CancelRequest { .. }));
    if records {
        for log in &step.after.logs {
            if let Some(event) = &log.newest {
                streams.record(log.stream, log.last, event)?;
            }
        }
    }
    streams.record_server_request(step);
    Ok(())
}

impl StreamEvents {
    /// Returns the contents of a new session, which may replace another.
    pub(super) fn of_new(session: &View) -> Self {
        let mut events = Self::default();
        for log in &session.logs {
            let contents = events.streams.entry(log.stream).or_default();
            (contents.last, contents.origin) = (log.last, log.last);
        }
        events
    }

    fn check_sent(&mut self, sent: &Sent) -> Result<(), String> {
        let Sent { connection, event, floor, .. } = sent;
        if let Some(SentEvent { index, event, .. }) = event {
            let is_first_priming = *index == 0 && matches!(event, Event::Priming { retry: None });
            if index < floor || index == floor && !is_first_priming {
                return Err(format!(
                    "connection {connection} was sent {index}, but its client has everything up to {floor}"
                ));
            }
        }
        let Some(stream) = sent.stream else {
            return Ok(());
        };
        if let Some(SentEvent { index, event, .. }) = event {
            self.record(stream, *index, event)?;
        }
        let contents = self.streams.entry(stream).or_default();
        let is_reported = |index: &u64| sent.gaps.iter().any(|gap| gap.contains(index));
        let is_allowed = |index: &u64| {
            let has_no_event = *index < contents.origin || contents.without_event.contains(index);
            has_no_event || is_reported(index)
        };
        match sent.skipped.clone().find(|index| !is_allowed(index)) {
            Some(index) => Err(format!(
                "connection {connection} of {stream} got neither {index} nor a gap before {event:?}"
            )),
            None => Ok(()),
        }
    }

    /// Records the event at an index of a stream, which only a failure may replace.
    fn record(&mut self, stream: StreamId, index: u64, event: &Event<u64>) -> Result<(), String> {
        let contents = self.streams.entry(stream).or_default();
        if let Event::Gap { .. } = event {
            return Ok(());
        }
        if let Event::Priming { .. } = event {
            if !contents.primed.insert(index) || contents.events.contains_key(&index) {
                return Err(format!("index {index} of {stream} is reused by a priming event"));
            }
            contents.without_event.insert(index);
            return Ok(());
        }
        if contents.primed.contains(&index) {
            return Err(format!(
                "index {index} of {stream} was a priming event, and is now {event:?}"
            ));
        }
        match contents.events.insert(index, event.clone()) {
            Some(other) if !may_become(&other, event) => {
                Err(format!("index {index} of {stream} was {other:?}, and is now {event:?}"))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Notes the indexes that are kept for retries: at most one for each disconnect.
    fn follow_retries(&mut self, step: &Step) {
        for log in &step.after.logs {
            let contents = self.streams.entry(log.stream).or_default();
            let next = contents.last + 1;
            let is_recorded = || records(step, log.stream, next) || next <= log.missed;
            if contents.may_keep_retry && log.last >= next {
                contents.may_keep_retry = false;
                if !is_recorded() {
                    contents.without_event.insert(next);
                }
            }
            contents.last = log.last;
        }
        let is_deferred = !step.actions.iter().any(|action| matches!(action, Action::Close { .. }));
        if let (Input::Disconnect { stream, retry: Some(_) }, Ok(())) = (&step.input, &step.result)
        {
            self.streams.entry(*stream).or_default().may_keep_retry |= is_deferred;
        }
    }

    fn record_server_request(&mut self, step: &Step) {
        let (Input::BackendMessage { message, .. }, Ok(())) = (&step.input, &step.result) else {
            return;
        };
        let Some(id) = request_id(&message.head) else {
            return;
        };
        let body = Event::Message(message.body);
        let location = step.after.logs.iter().find(|log| log.newest.as_ref() == Some(&body));
        if let Some(log) = location {
            self.server_requests.insert(id.clone(), (log.stream, log.last));
        }
    }
}

/// Returns whether a step has recorded the event at an index.
fn records(step: &Step, stream: StreamId, index: u64) -> bool {
    step.actions.iter().any(|action| {
        let Action::Commit(record) = action else { return false };
        matches!(record.change, Change::Logged { stream: on, index: at, .. } if (on, at) == (stream, index))
    })
}

fn may_become(one: &Event<u64>, other: &Event<u64>) -> bool {
    match (one, other) {
        (Event::Message(_), Event::Failure(failure)) => {
            matches!(failure.reason, FailureReason::Evicted | FailureReason::Expired)
        }
        (Event::Failure(one), Event::Failure(other)) => {
            one == other || one.id == other.id && other.reason == FailureReason::Expired
        }
        (one, other) => one == other,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rejoin_core::{ConnectionId, EventId, Failure};

    use super::super::fixtures::{backend, gap, log, request, send, step};
    use super::super::readers::Readers;
    use super::*;

    const STREAM: StreamId = StreamId::Request(0);

    /// Checks two connections that resume after `indexes` and are sent some events.
    fn resumes(indexes: [u64; 2], actions: [Vec<Action<u64>>; 2]) -> Result<(), String> {
        let mut readers = Readers::default();
        let mut streams = StreamEvents::default();
        for ((connection, index), actions) in (1..).zip(indexes).zip(actions) {
            let last_event_id = Some(EventId::new(STREAM, index));
            let mut get = step(Input::Get { connection: ConnectionId(connection), last_event_id });
            get.actions = actions;
            let sent = readers.follow(&View::default(), &get);
            check(&mut streams, &get, &sent)?;
        }
        Ok(())
    }

    fn event(connection: u64, index: u64) -> Action<u64> {
        send(connection, STREAM, index, Event::Message(100 + index))
    }

    #[test]
    fn a_duplicate_event_is_detected() {
        assert!(resumes([0, 1], [vec![event(1, 1)], vec![event(2, 2)]]).is_ok());
        assert!(resumes([0, 1], [vec![event(1, 1)], vec![event(2, 1)]]).is_err());
        assert!(resumes([0, 1], [vec![event(1, 1), event(1, 1)], vec![]]).is_err());
    }

    #[test]
    fn an_event_on_an_unknown_connection_is_detected() {
        assert!(resumes([0, 0], [vec![event(3, 1)], vec![]]).is_err());
        let reason = rejoin_core::CloseReason::Requested;
        let end = Action::Close { connection: ConnectionId(1), reason };
        assert!(resumes([0, 1], [vec![event(1, 1), end.clone()], vec![]]).is_ok());
        assert!(resumes([0, 1], [vec![event(1, 1), end, event(1, 2)], vec![]]).is_err());
    }

    #[test]
    fn a_skipped_event_is_detected() {
        assert!(resumes([0, 1], [vec![event(1, 1)], vec![event(2, 3)]]).is_err());
        let gap = gap(2, STREAM, 2, 2);
        assert!(resumes([0, 1], [vec![event(1, 1)], vec![gap, event(2, 3)]]).is_ok());
    }

    #[test]
    fn a_reused_event_id_is_detected() {
        let prime = |on, index| send(on, STREAM, index, Event::Priming { retry: None });
        assert!(resumes([0, 0], [vec![prime(1, 0)], vec![event(2, 1), prime(2, 2)]]).is_ok());
        assert!(resumes([0, 0], [vec![prime(1, 0)], vec![prime(2, 0)]]).is_err());
        assert!(resumes([0, 1], [vec![event(1, 1)], vec![prime(2, 1)]]).is_err());
        assert!(resumes([0, 0], [vec![prime(1, 1)], vec![event(2, 1)]]).is_err());
    }

    #[test]
    fn the_index_of_a_priming_event_is_not_a_gap() {
        let priming = send(1, STREAM, 2, Event::Priming { retry: Some(Duration::from_secs(1)) });
        assert!(resumes([0, 1], [vec![event(1, 1), priming], vec![event(2, 3)]]).is_ok());
    }

    #[test]
    fn one_index_is_kept_for_the_retry_of_a_disconnect() {
        let stream = StreamId::Standalone;
        let get = |last| {
            let mut streams = StreamEvents::default();
            let mut disconnect =
                step(Input::Disconnect { stream, retry: Some(Duration::from_secs(1)) });
            disconnect.after.logs = vec![log(0)];
            check(&mut streams, &disconnect, &[]).unwrap();
            let mut recorded = step(backend(super::super::fixtures::notification(), last));
            recorded.after.logs = vec![log(last)];
            check(&mut streams, &recorded, &[]).unwrap();
            let connection = ConnectionId(1);
            let last_event_id = Some(EventId::new(stream, 0));
            let mut get = step(Input::Get { connection, last_event_id });
            get.actions = vec![send(1, stream, last, Event::Message(last))];
            get.after = recorded.after;
            let sent = Readers::default().follow(&View::default(), &get);
            check(&mut streams, &get, &sent)
        };
        assert!(get(2).is_ok());
        assert!(get(3).is_err());
    }

    #[test]
    fn another_event_at_the_same_index_is_detected() {
        let reason = FailureReason::Evicted;
        let failed = |on| send(on, STREAM, 1, Event::Failure(Failure { id: 7.into(), reason }));
        assert!(resumes([0, 0], [vec![event(1, 1)], vec![failed(2)]]).is_ok());
        assert!(resumes([0, 0], [vec![failed(1)], vec![event(2, 1)]]).is_err());
        let different = send(2, STREAM, 1, Event::Message(5));
        assert!(resumes([0, 0], [vec![event(1, 1)], vec![different]]).is_err());
    }

    #[test]
    fn a_close_before_the_last_event_is_detected() {
        let mut readers = Readers::default();
        let mut get = step(Input::Get {
            connection: ConnectionId(1),
            last_event_id: Some(EventId::new(StreamId::Standalone, 1)),
        });
        let reason = rejoin_core::CloseReason::Complete;
        get.actions = vec![Action::Close { connection: ConnectionId(1), reason }];
        get.after.logs = vec![log(2)];
        let sent = readers.follow(&View::default(), &get);
        assert!(check(&mut StreamEvents::default(), &get, &sent).is_err());
    }

    #[test]
    fn the_index_of_an_undelivered_request_is_not_a_gap() {
        let mut streams = StreamEvents::default();
        let mut request_step = step(backend(request(9), 50));
        request_step.after.logs = vec![log(1)];
        request_step.after.logs[0].newest = Some(Event::Message(50));
        check(&mut streams, &request_step, &[]).unwrap();
        let fail = |reason| {
            let mut failed = step(Input::Tick);
            failed.actions = vec![Action::FailServerRequest { id: 9.into(), reason }];
            let mut streams = streams.clone();
            check(&mut streams, &failed, &[]).unwrap();
            let mut get = step(Input::Get {
                connection: ConnectionId(1),
                last_event_id: Some(EventId::new(StreamId::Standalone, 0)),
            });
            get.actions = vec![send(1, StreamId::Standalone, 2, Event::Message(51))];
            let sent = Readers::default().follow(&View::default(), &get);
            check(&mut streams, &get, &sent)
        };
        assert!(fail(UnansweredReason::Undelivered).is_ok());
        assert!(fail(UnansweredReason::Evicted).is_err());
    }
}
