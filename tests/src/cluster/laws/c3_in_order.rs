//! C3: a client that resumes at any node gets each kept event of a stream once, in order, or is told
//! of a gap.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use rejoin_core::{
    Change, Entry as LogEntry, Event, EventId, FailureReason, MessageKind, Record, RequestId,
    Session, StreamId,
};

use super::c1_committed::event_of;
use crate::cluster::names::SessionNo;
use crate::cluster::store::Content;

/// The events that a client must get.
#[derive(Debug, Default)]
pub(in crate::cluster) struct InOrder {
    streams: BTreeMap<(SessionNo, StreamId), BTreeMap<u64, Kept>>,
    server_requests: BTreeMap<(SessionNo, RequestId), EventId>,
}

/// An event that the store has accepted.
#[derive(Debug)]
struct Kept {
    event: Event<u64>,
    response_to: Option<RequestId>,
    /// Whether the store has lost it together with its owner, or no client needs it any more.
    is_excused: bool,
}

/// How far a client has read a stream.
#[derive(Clone, Debug, Default)]
pub(in crate::cluster) struct Position {
    pub(in crate::cluster) last: Option<EventId>,
    gaps: Vec<RangeInclusive<u64>>,
}

impl InOrder {
    /// Notes what the store has accepted.
    pub(in crate::cluster) fn on_accepted(&mut self, session: SessionNo, content: &Content) {
        match content {
            Content::Whole(whole) => {
                for (stream, log) in &whole.logs {
                    for logged in log.range(0..u64::MAX) {
                        self.add(session, EventId::new(*stream, logged.index), &logged.entry);
                    }
                }
            }
            Content::Records(records) => {
                for record in records {
                    if let Change::Logged { stream, index, entry } = &record.change {
                        self.add(session, EventId::new(*stream, *index), entry);
                    }
                }
            }
            Content::Claimed | Content::Released | Content::Closed => {}
        }
    }

    fn add(&mut self, session: SessionNo, id: EventId, entry: &LogEntry<u64>) {
        let response_to = match entry {
            LogEntry::Message { kind: MessageKind::Response(request), .. } => Some(request.clone()),
            LogEntry::Message { .. } | LogEntry::Failure(_) => None,
        };
        let kept = Kept { event: event_of(entry), response_to, is_excused: false };
        let events = self.streams.entry((session, id.stream)).or_default();
        events.entry(id.index).or_insert(kept);
    }

    /// Notes what a session has recorded: the event of a server request may leave its log.
    pub(in crate::cluster) fn on_recorded(&mut self, session: SessionNo, record: &Record<u64>) {
        match &record.change {
            Change::Logged {
                stream,
                index,
                entry: LogEntry::Message { kind: MessageKind::Request(id), .. },
            } => {
                let event = EventId::new(*stream, *index);
                self.server_requests.insert((session, id.clone()), event);
            }
            Change::ServerRequestEnded { id, is_retracted: true } => {
                if let Some(event) = self.server_requests.get(&(session, id.clone())).copied() {
                    self.excuse(session, event);
                }
            }
            Change::Opened { .. }
            | Change::Logged { .. }
            | Change::Missed { .. }
            | Change::Completed { .. }
            | Change::Cancelled { .. }
            | Change::RequestCancelled { .. }
            | Change::ServerRequestEnded { .. }
            | Change::TaskCreated { .. }
            | Change::Acknowledged { .. } => {}
        }
    }

    fn excuse(&mut self, session: SessionNo, id: EventId) {
        let placeholder =
            || Kept { event: Event::Priming { retry: None }, response_to: None, is_excused: true };
        let events = self.streams.entry((session, id.stream)).or_default();
        events.entry(id.index).or_insert_with(placeholder).is_excused = true;
    }

    /// Notes that a session goes on with what a store has that has forgotten something.
    pub(in crate::cluster) fn on_restored(&mut self, no: SessionNo, session: &Session<u64>) {
        let streams = self.streams.range_mut((no, StreamId::Standalone)..);
        for ((_, stream), events) in streams.take_while(|((session, _), _)| *session == no) {
            let log = session.log(*stream);
            for (index, kept) in events {
                let is_here = |log: &rejoin_core::Log<u64>| {
                    log.range(0..u64::MAX).any(|logged| logged.index == *index)
                };
                kept.is_excused |= !log.is_some_and(is_here);
            }
        }
    }

    /// Checks an event that a client gets.
    pub(in crate::cluster) fn check_received(
        &self,
        session: SessionNo,
        position: &mut Position,
        id: EventId,
        event: &Event<u64>,
    ) -> Result<(), String> {
        let fail = |what: String| {
            Err(format!(
                "law C3 (once, in order): {what}: {id} {event:?} of session {session}, {position:?}"
            ))
        };
        let EventId { stream, index } = id;
        if let Some(last) = position.last {
            let is_priming = matches!(event, Event::Priming { .. });
            if last.stream != stream {
                return fail("another stream".to_owned());
            }
            if index < last.index || index == last.index && !is_priming {
                return fail("twice, or out of order".to_owned());
            }
        }
        if let Event::Gap { first } = event {
            position.gaps.push(*first..=index);
        }
        let from = match position.last {
            Some(last) => last.index + 1,
            None if stream == StreamId::Standalone => index,
            None => 1,
        };
        let events = self.streams.get(&(session, stream));
        let between = events.into_iter().flat_map(|events| events.range(from.min(index)..index));
        for (missing, kept) in between {
            let is_told = position.gaps.iter().any(|gap| gap.contains(missing));
            if !kept.is_excused && !is_told {
                return Err(format!(
                    "law C3 (once, in order): {missing} is missing ({:?}): {id} {event:?} of session {session}, {position:?}",
                    kept.event
                ));
            }
        }
        if let Event::Failure(failure) = event
            && !matches!(failure.reason, FailureReason::Evicted | FailureReason::Expired)
            && let Some((at, _)) = events.into_iter().flatten().find(|(_, kept)| {
                !kept.is_excused && kept.response_to.as_ref() == Some(&failure.id)
            })
        {
            return Err(format!(
                "law C3 (once, in order): the response at {at} is replaced: {id} {event:?} of session {session}"
            ));
        }
        position.last = Some(id);
        position.gaps.retain(|gap| *gap.end() > index);
        Ok(())
    }
}
