//! Streams: what a client saw of them, held against what stood there.

use bytes::Bytes;
use rejoin_core::{Event, EventId, Failure, Head, RequestId, StreamId};
use rejoin_tests::world::witness::Chain;
use serde_json::Value;

use super::history::History;
use crate::message::{Stamp, failure_of, gap_of, head_of};
use crate::visit::{Kind, Reading, Seen};

/// Checks what a client saw. Returns which stream it was.
pub(super) fn check(
    history: &History,
    reading: &Reading,
    is_stamped: bool,
) -> Result<Option<StreamId>, String> {
    let mut chain = match reading.kind {
        Kind::Requests(_) | Kind::Double(_) => Chain::fresh(),
        Kind::Standalone | Kind::Stray(None) => Chain::standalone(),
        Kind::Stray(Some(id)) => Chain::after(id),
    };
    // Whoever comes beside the client's own GET gets what that one does not.
    chain.is_sure &= reading.kind != Kind::Stray(None);
    let mut told = None;
    for seen in &reading.seen {
        match seen {
            Seen::Began { .. } | Seen::Ended { .. } => {}
            Seen::Resumed => chain.is_sure = true,
            Seen::Doubted => {
                // It says nothing of the connection, which may be telling of a gap.
                chain.is_sure = false;
                continue;
            }
            Seen::Gap(missed) => {
                chain.tell(missed.clone())?;
                told = Some(missed);
                continue;
            }
            Seen::Priming { id, retry } => {
                if id.is_none() {
                    return Err("a priming event has no id".to_owned());
                }
                chain.see(&history.truth, *id, &Event::Priming { retry: *retry })?;
            }
            Seen::Message { id, data, .. } => {
                let message: Value = serde_json::from_slice(data).map_err(|it| it.to_string())?;
                if let (None, Some(missed), Some(gap)) = (id, told, gap_of(&message)) {
                    check_gap(&chain, (*missed.start(), *missed.end()), gap)?;
                } else {
                    let event = identify(history, *id, data, &message, is_stamped)?;
                    chain.see(&history.truth, *id, &event)?;
                }
            }
        }
        told = None;
    }
    Ok(chain.stream)
}

/// Checks the log message that tells of a gap, too.
fn check_gap(chain: &Chain, told: (u64, u64), gap: (&str, u64, u64)) -> Result<(), String> {
    let (stream, first, last) = gap;
    let is_own = chain.stream.is_none_or(|known| known.to_string() == stream);
    if is_own && told == (first, last) {
        return Ok(());
    }
    Err(format!("told of a gap {told:?}, and by a log message of {gap:?}: {chain:?}"))
}

/// Returns what a message is, if it is what the backend said.
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
    let by_stamp = stamp.as_ref().and_then(|stamp| history.said(stamp.serial));
    let by_place = id.and_then(|EventId { stream, index }| history.truth.at(stream, index));
    let by_place = by_place.map(|fact| fact.body);
    let body = if id.is_some() { by_place } else { by_stamp };
    let known = body.and_then(|body| history.message(body));
    let is_same = known.is_some_and(|known| known.head == head && known.bytes == data.len());
    // What has no id has no place, either: without stamps, nothing is known of it.
    let is_anything = id.is_none() && !is_stamped;
    if is_anything || is_same && (!is_stamped || by_stamp == body) {
        return Ok(Event::Message(body.unwrap_or(0)));
    }
    Err(format!("{message} came as {id:?}, where the backend had said {known:?}"))
}

/// Checks that a stream came to whoever made its requests.
pub(super) fn check_owner(
    history: &History,
    reading: &Reading,
    stream: Option<StreamId>,
) -> Result<(), String> {
    // Whatever has no id has come alone, and was told by its stamp.
    let Some(stream) = stream else { return Ok(()) };
    let own = history.streams.get(&stream);
    let is_of = |id: &RequestId| own.is_some_and(|ids| ids.contains(id));
    let is_own = match &reading.kind {
        Kind::Requests(ids) => ids.iter().all(is_of),
        Kind::Double(id) => is_of(id),
        Kind::Standalone | Kind::Stray(None) => stream == StreamId::Standalone,
        Kind::Stray(Some(id)) => stream == id.stream,
    };
    if is_own {
        return Ok(());
    }
    Err(format!("the stream {stream} of {own:?} came to {:?}", reading.kind))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_stream_that_comes_to_another_is_seen() {
        const OWN: StreamId = StreamId::Request(3);
        const OTHER: StreamId = StreamId::Request(4);
        const ALL: StreamId = StreamId::Standalone;
        let mut history = History::default();
        history.streams.insert(OWN, BTreeSet::from([1.into(), 2.into()]));
        history.streams.insert(OTHER, BTreeSet::from([5.into()]));
        for (kind, own, others) in [
            (Kind::Requests(vec![1.into(), 2.into()]), OWN, [OTHER, ALL]),
            (Kind::Double(2.into()), OWN, [OTHER, ALL]),
            (Kind::Standalone, ALL, [OWN, OTHER]),
            (Kind::Stray(None), ALL, [OWN, OTHER]),
            (Kind::Stray(Some(EventId::new(OWN, 7))), OWN, [OTHER, ALL]),
        ] {
            let reading = Reading { kind, seen: Vec::new(), last: None };
            let check = |stream| check_owner(&history, &reading, Some(stream));
            assert_eq!(check(own), Ok(()), "{reading:?}");
            assert!(others.into_iter().all(|other| check(other).is_err()), "{reading:?}");
        }
    }
}
