//! Law 4, no gap for a reader that keeps reading: an event that an active reader has not
//! acknowledged is not evicted, unless the sender of a message cannot wait and the session is
//! full. An event that is in flight is never evicted.

use std::collections::BTreeMap;

use rejoin_core::{
    Action, Config, EVENT_OVERHEAD_BYTES, Input, Instant, Overflow, Report, RequestId, StreamId,
    UnansweredReason,
};

use super::readers::Readers;
use super::silence::Silence;
use super::{ConnectionView, LogView, Step, View, answered_id};

/// The index of the response to each request.
#[derive(Clone, Debug, Default)]
pub(super) struct ResponseIndexes(BTreeMap<(StreamId, RequestId), u64>);

/// Checks every stream that has an active reader.
pub(super) fn check(
    responses: &mut ResponseIndexes,
    config: &Config,
    now: Instant,
    before: &View,
    step: &Step,
    silence: &Silence,
) -> Result<(), String> {
    responses.follow(config, before, step);
    check_recorded(config, now, before, step)?;
    if may_evict(config, before, step) {
        return Ok(());
    }
    for view in &step.after.connections {
        let stays_attached = before.stream_on(view.connection) == view.stream;
        if stays_attached
            && silence.is_active(config, now, view.connection)
            && let Some(missed) = responses.missed(before, step, view)
        {
            let connection = view.connection;
            return Err(format!("connection {connection} keeps reading, but misses {missed}"));
        }
    }
    Ok(())
}

/// Checks that events in flight stay in the log of their stream, unless a server request fails
/// as undelivered, or the backend is lost.
pub(super) fn check_in_flight(before: &View, step: &Step, readers: &Readers) -> Result<(), String> {
    let is_undelivered = |action: &Action<u64>| {
        matches!(action, Action::FailServerRequest { reason: UnansweredReason::Undelivered, .. })
    };
    if step.input == Input::BackendLost || step.actions.iter().any(is_undelivered) {
        return Ok(());
    }
    let evicted = readers.in_flight().find(|event| {
        let is_logged = |view: &View| {
            let log = view.log(event.stream?)?;
            Some(log.in_flight.iter().any(|(index, _)| *index == event.index))
        };
        is_logged(before) == Some(true) && is_logged(&step.after) == Some(false)
    });
    evicted.map_or(Ok(()), |event| Err(format!("{event:?} is in flight, but was evicted")))
}

/// Returns whether unacknowledged events of an active reader, or the new event, may be evicted: the
/// sender of the message cannot wait, and the session is full.
pub(super) fn may_evict(config: &Config, before: &View, step: &Step) -> bool {
    let Input::BackendMessage { message, overflow: Overflow::Evict, .. } = &step.input else {
        return false;
    };
    let cost = message.bytes.saturating_add(EVENT_OVERHEAD_BYTES);
    step.result.is_ok() && before.bytes.saturating_add(cost) > config.session_bytes_max
}

/// Checks that a message is not evicted as soon as it is recorded, unless its sender cannot wait and
/// the session is full, or the stream limits are zero. If a timer has fired, or a connection was
/// cut, this is not certain.
fn check_recorded(config: &Config, now: Instant, before: &View, step: &Step) -> Result<(), String> {
    let (Input::BackendMessage { message, .. }, Ok(())) = (&step.input, &step.result) else {
        return Ok(());
    };
    let is_due = before.deadline.is_some_and(|deadline| deadline <= now);
    let has_cut = step.actions.iter().any(|action| matches!(action, Action::Cut { .. }));
    let has_log = config.stream_events_max > 0 && config.stream_bytes_max > 0;
    if is_due || has_cut || !has_log || may_evict(config, before, step) {
        return Ok(());
    }
    let has_grown =
        |log: &LogView| before.log(log.stream).is_some_and(|earlier| earlier.last < log.last);
    let mut logs = step.after.logs.iter();
    let evicted = logs.find(|log| has_grown(log) && log.newest.is_none());
    evicted.map_or(Ok(()), |log| Err(format!("{message:?} was evicted at once: {log:?}")))
}

impl ResponseIndexes {
    /// Returns the index of an event that a step evicted although the attached connection
    /// has not acknowledged it.
    fn missed(&self, before: &View, step: &Step, view: &ConnectionView) -> Option<u64> {
        let stream = view.stream?;
        let (was, is) = (before.log(stream)?, step.after.log(stream)?);
        let responses = step.actions.iter().filter_map(|action| {
            let Action::Report(Report::ResponseEvicted { stream, id }) = action else {
                return None;
            };
            self.0.get(&(*stream, id.clone())).filter(|_| view.stream == Some(*stream)).copied()
        });
        let others = (is.missed > was.missed).then_some(is.missed);
        let first_unacknowledged = view.cursor?.first_unacknowledged;
        responses.chain(others).find(|index| *index >= first_unacknowledged)
    }

    /// Notes the index of a response that is not replaced because of its size.
    fn follow(&mut self, config: &Config, before: &View, step: &Step) {
        self.0.retain(|(stream, _), _| step.after.log(*stream).is_some());
        let (Input::BackendMessage { message, .. }, Ok(())) = (&step.input, &step.result) else {
            return;
        };
        let Some(id) = answered_id(&message.head) else { return };
        let Some(stream) = before.stream_of(id) else { return };
        if let Some(log) = step.after.log(stream)
            && message.bytes <= config.message_bytes_max
        {
            self.0.insert((stream, id.clone()), log.last);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rejoin_core::{ConnectionId, Event, EventId};

    use super::super::fixtures::{
        attached, backend, log, notification, position, response, send, step,
    };
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::new(Duration::from_secs(seconds))
    }

    fn config() -> Config {
        config! { stall_timeout_min: Duration::from_secs(2) }
    }

    /// A step that records an event on the standalone stream, where a connection acknowledges
    /// nothing.
    fn recorded(last: u64) -> Step {
        let mut recorded = step(backend(notification(), last));
        recorded.after.logs = vec![log(last)];
        recorded.after.logs[0].newest = Some(Event::Message(last));
        recorded.after.connections = vec![attached(1, 0)];
        recorded
    }

    /// Evicts an unacknowledged event this number of seconds after it was sent.
    fn evict(seconds: u64, config: &Config, overflow: Overflow) -> Result<(), String> {
        let mut silence = Silence::default();
        let mut before = recorded(1);
        before.after.connections[0].cursor = Some(position(1, 0));
        silence.follow(at(1), &View::default(), &before);
        let mut after = before.clone();
        after.after.logs = vec![LogView { missed: 1, ..recorded(2).after.logs.remove(0) }];
        if let Input::BackendMessage { overflow: it, .. } = &mut after.input {
            *it = overflow;
        }
        let responses = &mut ResponseIndexes::default();
        check(responses, config, at(1 + seconds), &before.after, &after, &silence)
    }

    #[test]
    fn an_event_missed_by_a_reader_is_detected() {
        let hold = Overflow::Hold;
        assert!(evict(1, &config(), hold).is_err());
        assert!(evict(2, &config(), hold).is_ok(), "the reader may be stalled");
        let hold_timeout = Some(Duration::from_secs(1));
        assert!(
            evict(1, &config! { hold_timeout, ..config() }, hold).is_ok(),
            "senders no longer wait for it"
        );
    }

    #[test]
    fn a_full_session_allows_a_loss_only_for_a_sender_that_cannot_wait() {
        let tiny = config! { session_bytes_max: 0, ..config() };
        assert!(evict(1, &tiny, Overflow::Hold).is_err());
        assert!(evict(1, &tiny, Overflow::Evict).is_ok());
        assert!(evict(1, &config(), Overflow::Evict).is_err(), "there is room");
    }

    #[test]
    fn a_message_that_is_evicted_at_once_is_detected() {
        let run = |config: &Config, newest| {
            let mut after = recorded(2);
            after.after.connections.clear();
            after.after.logs[0].newest = newest;
            let responses = &mut ResponseIndexes::default();
            check(responses, config, at(1), &recorded(1).after, &after, &Silence::default())
        };
        assert!(run(&config(), Some(Event::Message(2))).is_ok());
        assert!(run(&config(), None).is_err());
        assert!(run(&config! { stream_events_max: 0, ..config() }, None).is_ok());
    }

    #[test]
    fn an_evicted_event_in_flight_is_detected() {
        let connection = ConnectionId(1);
        let last_event_id = Some(EventId::new(StreamId::Standalone, 0));
        let mut readers = Readers::default();
        readers.follow(&View::default(), &step(Input::Get { connection, last_event_id }));
        let mut sent = recorded(1);
        sent.actions = vec![send(1, StreamId::Standalone, 1, Event::Message(1))];
        sent.after.logs[0].in_flight = vec![(1, EVENT_OVERHEAD_BYTES)];
        readers.follow(&View::default(), &sent);
        let mut evicted = recorded(2);
        let run = |evicted: &Step| check_in_flight(&sent.after, evicted, &readers);
        assert!(run(&evicted).is_err());
        evicted.after.logs[0].in_flight = vec![(1, EVENT_OVERHEAD_BYTES)];
        assert!(run(&evicted).is_ok());
        evicted.after.logs.clear();
        assert!(run(&evicted).is_ok(), "its stream was removed");
    }

    #[test]
    fn a_response_missed_by_a_reader_is_detected() {
        let stream = StreamId::Standalone;
        let evict = |bytes| {
            let mut responses = ResponseIndexes::default();
            let silence = Silence::default();
            let mut before = recorded(0);
            before.after.requests = vec![(7.into(), stream)];
            let mut answered = step(backend(response(7), 1));
            if let Input::BackendMessage { message, .. } = &mut answered.input {
                message.bytes = bytes;
            }
            answered.after = recorded(1).after;
            check(&mut responses, &config(), at(1), &before.after, &answered, &silence)?;
            let mut evicted = recorded(2);
            evicted.actions =
                vec![Action::Report(Report::ResponseEvicted { stream, id: 7.into() })];
            check(&mut responses, &config(), at(1), &answered.after, &evicted, &silence)
        };
        assert!(evict(0).is_err());
        assert!(evict(config().message_bytes_max + 1).is_ok(), "the response was never in the log");
    }
}
