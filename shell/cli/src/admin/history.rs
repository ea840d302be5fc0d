//! What is remembered of each session, for somebody who opens its page later: the rare events, and
//! their number.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use rejoin::{Observer, SessionEvent, SessionId, rejoin_core::Report};
use tokio::time::Instant;

use crate::timeline::{Mark, Row, What, cut};

/// The histories of all open sessions. A clone is the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Histories(Arc<Mutex<HashMap<SessionId, History>>>);

/// The history of one session.
#[derive(Debug, Default)]
struct History {
    /// The last events, at most [`EVENTS_MAX`].
    events: VecDeque<(Instant, Row, What)>,
    counts: Counts,
}

/// How often something happened to a session.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    /// Connections that were lost, or cut because the client did not read.
    pub(super) lost: u64,
    pub(super) resumed: u64,
    /// Events that are missing.
    pub(super) missed: u64,
    /// Responses that the client did not get.
    pub(super) failed: u64,
}

/// Maximum number of events that are remembered of a session.
const EVENTS_MAX: usize = 32;

impl Histories {
    /// Returns the counts of a session.
    pub(super) fn counts(&self, session: SessionId) -> Counts {
        self.0.lock().get(&session).map(|history| history.counts).unwrap_or_default()
    }

    /// Returns the marks of a session that is `age` old now.
    pub(super) fn marks(&self, session: SessionId, age: Duration) -> Vec<Mark> {
        let now = Instant::now();
        let histories = self.0.lock();
        let events = histories.get(&session).into_iter().flat_map(|history| history.events.iter());
        let mark = |(at, row, what): &(Instant, Row, What)| {
            let at = age.saturating_sub(now.saturating_duration_since(*at));
            Mark::new(at, *row, what.clone())
        };
        events.map(mark).collect()
    }
}

impl Observer for Histories {
    fn on_session_event(&self, session: SessionId, event: &SessionEvent) {
        if let SessionEvent::Closed { .. } = event {
            self.0.lock().remove(&session);
            return;
        }
        let Some((row, what)) = rare(event) else { return };
        let mut histories = self.0.lock();
        if let SessionEvent::Opened(_) = event {
            histories.insert(session, History::default());
        }
        let Some(history) = histories.get_mut(&session) else { return };
        history.counts.add(event);
        history.add(Instant::now(), row, what);
    }
}

impl History {
    fn add(&mut self, now: Instant, row: Row, what: What) {
        if self.events.len() >= EVENTS_MAX {
            // The first one is the beginning.
            self.events.remove(1);
        }
        // A gap is told before the resumption that it belongs to.
        let gap = self.events.pop_back_if(|(_, last_row, last)| {
            matches!((&what, last), (What::Resumed { .. }, What::Gap { .. })) && *last_row == row
        });
        self.events.push_back((now, row, what));
        self.events.extend(gap.map(|(_, row, gap)| (now, row, gap)));
    }
}

impl Counts {
    fn add(&mut self, event: &SessionEvent) {
        match event {
            SessionEvent::ConnectionLost { .. } => self.lost = self.lost.saturating_add(1),
            SessionEvent::Resumed { .. } => self.resumed = self.resumed.saturating_add(1),
            SessionEvent::Gap { first, last, .. } => {
                let missed = last.saturating_sub(*first).saturating_add(1);
                self.missed = self.missed.saturating_add(missed);
            }
            SessionEvent::Report(
                Report::ResponseEvicted { .. }
                | Report::ResponseLost { .. }
                | Report::StreamExpired { .. },
            ) => self.failed = self.failed.saturating_add(1),
            SessionEvent::Opened(_)
            | SessionEvent::Closed { .. }
            | SessionEvent::RequestBegan { .. }
            | SessionEvent::RequestEnded { .. }
            | SessionEvent::RequestTimedOut { .. }
            | SessionEvent::ConnectionClosed { .. }
            | SessionEvent::ConnectionCut { .. }
            | SessionEvent::Report(_)
            | SessionEvent::ProcessStarted { .. }
            | SessionEvent::OpenFailed { .. }
            | SessionEvent::ProcessEnded { .. }
            | _ => {}
        }
    }
}

/// Returns the mark of an event that explains later what a client got; most events are none.
fn rare(event: &SessionEvent) -> Option<(Row, What)> {
    Some(match event {
        SessionEvent::Opened(opened) => {
            let revision = opened.revision.map(|revision| revision.as_str().to_owned());
            (Row::Session, What::Opened { client: opened.client.clone(), revision })
        }
        SessionEvent::Resumed { connection, stream, after, replayed } => {
            let (connection, after, replayed) = (connection.0, *after, *replayed);
            (Row::Stream(*stream), What::Resumed { connection, after, replayed, again: None })
        }
        SessionEvent::Gap { stream, first, last } => {
            (Row::Stream(*stream), What::Gap { first: *first, last: *last })
        }
        SessionEvent::ConnectionLost { connection, stream, through } => {
            let (connection, through) = (connection.0, *through);
            (Row::Stream(*stream), What::Lost { connection, through, in_flight: None })
        }
        SessionEvent::ConnectionCut { connection, reason } => {
            let (connection, reason) = (connection.0, cut(*reason));
            (Row::Session, What::Cut { connection, reason })
        }
        SessionEvent::RequestTimedOut { request } => {
            (Row::Session, What::TimedOut { request: request.to_string() })
        }
        SessionEvent::ProcessEnded { was_unexpected: true, .. } => {
            (Row::Session, What::ProcessEnded)
        }
        SessionEvent::Report(
            report @ (Report::StreamExpired { .. }
            | Report::ReaderStalled { .. }
            | Report::ResponseEvicted { .. }
            | Report::ResponseLost { .. }
            | Report::Undeliverable { .. }),
        ) => {
            let Mark { row, what, .. } = Mark::of_report(Duration::ZERO, report)?;
            (row, what)
        }
        SessionEvent::Closed { .. }
        | SessionEvent::RequestBegan { .. }
        | SessionEvent::RequestEnded { .. }
        | SessionEvent::ConnectionClosed { .. }
        | SessionEvent::Report(_)
        | SessionEvent::ProcessStarted { .. }
        | SessionEvent::OpenFailed { .. }
        | SessionEvent::ProcessEnded { .. }
        | _ => return None,
    })
}
