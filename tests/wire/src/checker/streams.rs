//! Streams: what a client received matches what was recorded.

use std::ops::RangeInclusive;

use bytes::Bytes;
use rejoin_core::{Event, EventId, Failure, Head, RequestId, StreamId};
use rejoin_tests::kit::checker::StreamChecker;
use serde_json::Value;

use super::history::History;
use crate::client_session::{Observation, ReaderKind, StreamReader};
use crate::message::{Stamp, failure_of, gap_of, head_of};

/// Checks what a client received. Returns the stream it was on.
pub(super) fn check(
    history: &History,
    reader: &StreamReader,
    is_stamped: bool,
) -> Result<Option<StreamId>, String> {
    let mut checker = match reader.kind {
        ReaderKind::Requests(_) | ReaderKind::DuplicateRequest(_) => StreamChecker::from_start(),
        ReaderKind::Standalone | ReaderKind::Spurious(None) => StreamChecker::standalone(),
        ReaderKind::Spurious(Some(id)) => StreamChecker::after(id),
    };
    // A competing GET receives only what the client's own GET does not.
    checker.is_strict &= reader.kind != ReaderKind::Spurious(None);
    let mut reported = None;
    for observation in &reader.observations {
        match observation {
            Observation::Connected { .. } | Observation::Disconnected { .. } => {}
            Observation::Resumed => checker.is_strict = true,
            Observation::Relaxed => {
                // This is not an event of the connection, which may be in the middle of
                // reporting a gap.
                checker.is_strict = false;
                continue;
            }
            Observation::Gap(missed) => {
                checker.on_gap(missed.clone())?;
                reported = Some(missed);
                continue;
            }
            Observation::Priming { id, retry } => {
                let event = Event::Priming { retry: *retry };
                checker.on_event(&history.ground_truth, Some(*id), &event)?;
            }
            Observation::Message { id, data, .. } => {
                let message: Value = serde_json::from_slice(data).map_err(|it| it.to_string())?;
                let event = match (id, reported, gap_of(&message)) {
                    (Some(id), Some(missed), Some(gap)) => check_gap(*id, missed, gap)?,
                    _ => identify(history, *id, data, &message, is_stamped)?,
                };
                checker.on_event(&history.ground_truth, *id, &event)?;
            }
        }
        reported = None;
    }
    Ok(checker.stream)
}

/// Checks the log notification that reports a gap.
fn check_gap(
    id: EventId,
    reported: &RangeInclusive<u64>,
    gap: (&str, u64, u64),
) -> Result<Event<u64>, String> {
    let (stream, first, last) = gap;
    let EventId { stream: own, index } = id;
    if own.to_string() == stream && *reported == (first..=last) && index == last {
        return Ok(Event::Gap { first });
    }
    Err(format!("gap {reported:?} was reported, but as {gap:?} in the log notification {id}"))
}

/// Identifies a message, and checks that it is what the backend sent.
fn identify(
    history: &History,
    id: Option<EventId>,
    data: &Bytes,
    message: &Value,
    is_stamped: bool,
) -> Result<Event<u64>, String> {
    let head = head_of(data)?;
    if let (Some(reason), Head::Error { id: Some(request) }) = (failure_of(message), &head) {
        return Ok(Event::Failure(Failure { id: request.clone(), reason }));
    }
    let stamp = Stamp::of(message);
    let by_stamp = stamp.as_ref().and_then(|stamp| history.backend_message(stamp.serial));
    let by_position =
        id.and_then(|EventId { stream, index }| history.ground_truth.at(stream, index));
    let by_position = by_position.map(|recorded| recorded.body);
    let body = if id.is_some() { by_position } else { by_stamp };
    let known = body.and_then(|body| history.message(body));
    let is_same = known.is_some_and(|known| known.head == head && known.bytes == data.len());
    // A message without an id has no position: without a stamp it cannot be identified.
    let is_anything = id.is_none() && !is_stamped;
    if is_anything || is_same && (!is_stamped || by_stamp == body) {
        return Ok(Event::Message(body.unwrap_or(0)));
    }
    Err(format!("{message} was received as {id:?}, but {known:?} was recorded"))
}

/// Checks that a stream was received by the client that made its requests.
pub(super) fn check_owner(
    history: &History,
    reader: &StreamReader,
    stream: Option<StreamId>,
) -> Result<(), String> {
    // What has no id arrived alone, and was identified by its stamp.
    let Some(stream) = stream else { return Ok(()) };
    let own = history.streams.get(&stream);
    let is_of = |id: &RequestId| own.is_some_and(|ids| ids.contains(id));
    let is_own = match &reader.kind {
        ReaderKind::Requests(ids) => ids.iter().all(is_of),
        ReaderKind::DuplicateRequest(id) => is_of(id),
        ReaderKind::Standalone | ReaderKind::Spurious(None) => stream == StreamId::Standalone,
        ReaderKind::Spurious(Some(id)) => stream == id.stream,
    };
    if is_own {
        return Ok(());
    }
    Err(format!("stream {stream} of {own:?} was received by {:?}", reader.kind))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn detects_stream_of_another_reader() {
        const OWN: StreamId = StreamId::Request(3);
        const OTHER: StreamId = StreamId::Request(4);
        const ALL: StreamId = StreamId::Standalone;
        let mut history = History::default();
        history.streams.insert(OWN, BTreeSet::from([1.into(), 2.into()]));
        history.streams.insert(OTHER, BTreeSet::from([5.into()]));
        for (kind, own, others) in [
            (ReaderKind::Requests(vec![1.into(), 2.into()]), OWN, [OTHER, ALL]),
            (ReaderKind::DuplicateRequest(2.into()), OWN, [OTHER, ALL]),
            (ReaderKind::Standalone, ALL, [OWN, OTHER]),
            (ReaderKind::Spurious(None), ALL, [OWN, OTHER]),
            (ReaderKind::Spurious(Some(EventId::new(OWN, 7))), OWN, [OTHER, ALL]),
        ] {
            let reader = StreamReader { kind, observations: Vec::new(), last_event_id: None };
            let check = |stream| check_owner(&history, &reader, Some(stream));
            assert_eq!(check(own), Ok(()), "{reader:?}");
            assert!(others.into_iter().all(|other| check(other).is_err()), "{reader:?}");
        }
    }
}
