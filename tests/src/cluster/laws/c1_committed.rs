//! C1: what a client can come back by is in the store before it is sent.

use std::collections::{BTreeMap, BTreeSet};

use rejoin_core::{Change, Entry as LogEntry, Event, EventId, Failure, FailureReason, StreamId};

use crate::cluster::names::SessionNo;
use crate::cluster::store::Content;

/// All that the store has ever accepted.
#[derive(Debug, Default)]
pub(in crate::cluster) struct Committed {
    sessions: BTreeSet<SessionNo>,
    streams: BTreeSet<(SessionNo, StreamId)>,
    events: BTreeMap<(SessionNo, EventId), Vec<Event<u64>>>,
    bodies: BTreeSet<(SessionNo, u64)>,
}

impl Committed {
    /// Notes what the store has accepted.
    pub(in crate::cluster) fn on_accepted(&mut self, session: SessionNo, content: &Content) {
        match content {
            Content::Whole(whole) => {
                self.sessions.insert(session);
                for (stream, log) in &whole.logs {
                    self.streams.insert((session, *stream));
                    for logged in log.range(0..u64::MAX) {
                        self.add(session, EventId::new(*stream, logged.index), &logged.entry);
                    }
                }
            }
            Content::Records(records) => {
                for record in records {
                    if let Change::Opened { number, .. } = record.change {
                        self.streams.insert((session, StreamId::Request(number)));
                    } else if let Change::Logged { stream, index, entry } = &record.change {
                        self.add(session, EventId::new(*stream, *index), entry);
                    }
                }
            }
            Content::Claimed | Content::Released | Content::Closed => {}
        }
    }

    fn add(&mut self, session: SessionNo, id: EventId, entry: &LogEntry<u64>) {
        let event = event_of(entry);
        if let Event::Message(body) = event {
            self.bodies.insert((session, body));
        }
        let events = self.events.entry((session, id)).or_default();
        if !events.contains(&event) {
            events.push(event);
        }
    }

    /// Returns whether a session was ever in the store.
    pub(in crate::cluster) fn has_session(&self, session: SessionNo) -> bool {
        self.sessions.contains(&session)
    }

    /// Checks an event that is sent.
    pub(in crate::cluster) fn check_sent(
        &self,
        session: SessionNo,
        id: Option<EventId>,
        event: &Event<u64>,
    ) -> Result<(), String> {
        let is_committed = match (id, event) {
            // Nobody comes back by these.
            (
                _,
                Event::Gap { .. }
                | Event::Failure(Failure { reason: FailureReason::SessionClosed, .. }),
            )
            | (None, Event::Failure(_) | Event::Priming { .. }) => true,
            // These replace a response that was there.
            (
                Some(id),
                Event::Failure(Failure {
                    reason: FailureReason::Evicted | FailureReason::Expired,
                    ..
                }),
            ) => self.streams.contains(&(session, id.stream)),
            (Some(id), Event::Priming { .. }) => {
                id.stream == StreamId::Standalone || self.streams.contains(&(session, id.stream))
            }
            (Some(id), Event::Message(_) | Event::Failure(_)) => {
                self.events.get(&(session, id)).is_some_and(|events| events.contains(event))
            }
            (None, Event::Message(body)) => self.bodies.contains(&(session, *body)),
        };
        if is_committed {
            return Ok(());
        }
        Err(format!("law C1 (committed before sent): {id:?} {event:?} of session {session}"))
    }
}

/// Returns what is sent for an entry of a log.
pub(super) fn event_of(entry: &LogEntry<u64>) -> Event<u64> {
    match entry {
        LogEntry::Message { body, .. } => Event::Message(*body),
        LogEntry::Failure(failure) => Event::Failure(failure.clone()),
    }
}
