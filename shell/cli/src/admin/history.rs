//! What is remembered of each session, for somebody who opens its page later: the rare events, and
//! their number.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use rejoin::{SessionEvent, SessionId, rejoin_core::Report};
use tokio::time::Instant;

use crate::{
    observers::ClosedSessions,
    timeline::{Mark, Row, What, cut},
};

/// The histories of all open sessions. A clone is the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Histories(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    open: HashMap<SessionId, History>,
    closed: ClosedSessions,
}

/// The history of one session.
#[derive(Debug, Default)]
struct History {
    /// The last events, at most [`EVENTS_MAX`].
    events: VecDeque<(Instant, Row, What)>,
    /// Whether there were more, after the first one.
    has_dropped: bool,
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
        self.0.lock().open.get(&session).map(|history| history.counts).unwrap_or_default()
    }

    /// Returns the marks of a session that is `age` old now.
    pub(super) fn marks(&self, session: SessionId, age: Duration) -> Vec<Mark> {
        let now = Instant::now();
        let histories = self.0.lock();
        let Some(history) = histories.open.get(&session) else { return Vec::new() };
        let mark = |(at, row, what): &(Instant, Row, What)| {
            let at = age.saturating_sub(now.saturating_duration_since(*at));
            Mark::new(at, *row, what.clone())
        };
        let mut marks: Vec<Mark> = history.events.iter().map(mark).collect();
        if history.has_dropped
            && let Some(first) = marks.first()
        {
            let missing = Mark { at: first.at, row: Row::Session, what: What::Missing };
            marks.insert(1, missing);
        }
        marks
    }

    /// Remembers an event, if it is rare.
    pub(super) fn on_session_event(&self, session: SessionId, event: &SessionEvent) {
        if let SessionEvent::Closed { .. } = event {
            let mut histories = self.0.lock();
            histories.open.remove(&session);
            histories.closed.add(session);
            return;
        }
        let Some((row, what)) = rare(event) else { return };
        let mut histories = self.0.lock();
        if let SessionEvent::Opened(_) = event
            && !histories.closed.has(session)
        {
            histories.open.insert(session, History::default());
        }
        let Some(history) = histories.open.get_mut(&session) else { return };
        history.counts.add(event);
        history.add(Instant::now(), row, what);
    }
}

impl History {
    fn add(&mut self, now: Instant, row: Row, what: What) {
        if self.events.len() >= EVENTS_MAX {
            // The first one is the beginning.
            self.events.remove(1);
            self.has_dropped = true;
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

#[cfg(test)]
mod tests {
    use rejoin::{
        ManagerConfig, Observer, SessionManager,
        rejoin_core::{AnswerFormat, ConnectionId, SessionCloseReason, StreamId},
    };
    use rejoin_local_client::{post, response};
    use serde_json::json;

    use super::*;
    use crate::demo::Demo;

    #[derive(Default)]
    struct Told(Mutex<Vec<(SessionId, SessionEvent)>>);

    impl Observer for Told {
        fn on_session_event(&self, session: SessionId, event: &SessionEvent) {
            self.0.lock().push((session, event.clone()));
        }
    }

    /// Returns a session, and the event that it was opened.
    async fn opened() -> (SessionId, SessionEvent) {
        let told = Arc::<Told>::default();
        let sessions = SessionManager::builder(Demo, ManagerConfig::default());
        let sessions = sessions.observer(Arc::clone(&told) as Arc<dyn Observer>).build().unwrap();
        let session = sessions.create_session().await.unwrap();
        let params =
            json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {} });
        let request =
            json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params });
        let request = session.request(post(&request), AnswerFormat::Json).await.unwrap();
        response(request).await;
        let told = told.0.lock();
        told.iter().find(|(_, event)| matches!(event, SessionEvent::Opened(_))).unwrap().clone()
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_kept_of_a_session_that_is_told_to_be_opened_after_its_end() {
        let (session, opened) = opened().await;
        let histories = Histories::default();
        let closed = SessionEvent::Closed {
            reason: SessionCloseReason::Deleted,
            was_opened: true,
            age: Duration::ZERO,
            progress_dropped: 0,
        };
        histories.on_session_event(session, &closed);
        histories.on_session_event(session, &opened);
        assert!(histories.0.lock().open.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_history_says_that_it_is_not_whole() {
        let (session, opened) = opened().await;
        let histories = Histories::default();
        histories.on_session_event(session, &opened);
        let stream = StreamId::Standalone;
        let lose = |number| {
            let connection = ConnectionId(number);
            let lost = SessionEvent::ConnectionLost { connection, stream, through: None };
            histories.on_session_event(session, &lost);
            histories.marks(session, Duration::from_secs(1))
        };
        let is_missing = |mark: &Mark| mark.what == What::Missing;
        for number in 1..EVENTS_MAX as u64 {
            assert!(!lose(number).iter().any(is_missing));
        }
        let marks = lose(EVENTS_MAX as u64);
        assert!(matches!(marks[0].what, What::Opened { .. }));
        assert!(is_missing(&marks[1]));
        assert!(matches!(marks[2].what, What::Lost { connection: 2, .. }));
        assert_eq!(marks.len(), EVENTS_MAX + 1);
    }
}
