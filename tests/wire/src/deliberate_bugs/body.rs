//! Deliberate bugs in response bodies.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderValue;
use http_body::{Body, Frame};
use parking_lot::Mutex;
use rejoin::ResponseBody;
use rejoin_core::EventId;
use rejoin_tests::kit::DeliberateBug;

/// State shared by all bodies.
#[derive(Debug)]
pub(super) struct State {
    /// Number of events and requests seen.
    count: u64,
    /// Whether misrouted events stay in their session.
    same_session: bool,
    /// The last events, each with its session id.
    last: VecDeque<(HeaderValue, String)>,
}

/// How many of the last events are kept.
const LAST_MAX: usize = 32;

/// A bug affects one in this many events.
const EVERY: u64 = 23;

/// A response body with a deliberate bug.
#[derive(Debug)]
pub(crate) struct BuggyBody {
    /// `None` once it has ended.
    body: Option<ResponseBody>,
    /// The bug, and the session id.
    bug: Option<(DeliberateBug, HeaderValue)>,
    state: Arc<Mutex<State>>,
    is_held: bool,
}

impl BuggyBody {
    /// Returns a body without a bug.
    pub(super) fn unaltered(body: ResponseBody, state: Arc<Mutex<State>>) -> Self {
        Self { body: Some(body), bug: None, state, is_held: false }
    }

    /// Returns an empty body.
    pub(super) fn empty(state: Arc<Mutex<State>>) -> Self {
        Self { body: None, bug: None, state, is_held: false }
    }

    /// Returns the event stream of a session.
    pub(super) fn new(
        body: ResponseBody,
        state: Arc<Mutex<State>>,
        bug: DeliberateBug,
        session: HeaderValue,
    ) -> Self {
        Self { body: Some(body), bug: Some((bug, session)), state, is_held: false }
    }
}

/// What is sent in place of some data.
enum Altered {
    Other(Bytes),
    /// The data, followed by the end.
    Last(Bytes),
    /// Nothing any more.
    Nothing,
}

impl Body for BuggyBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        loop {
            if self.is_held {
                return Poll::Pending;
            }
            let Some(body) = &mut self.body else { return Poll::Ready(None) };
            let frame = ready!(Pin::new(body).poll_frame(cx));
            let Some((bug, session)) = &self.bug else { return Poll::Ready(frame) };
            let Some(Ok(frame)) = frame else { return Poll::Ready(frame) };
            let Ok(data) = frame.into_data() else { continue };
            let altered = self.state.lock().alter(*bug, session, &data);
            match altered {
                Altered::Other(data) if data.is_empty() => {}
                Altered::Other(data) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Altered::Last(data) => {
                    self.body = None;
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Altered::Nothing => self.is_held = true,
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> http_body::SizeHint {
        match (&self.body, &self.bug) {
            (Some(body), None) => body.size_hint(),
            (Some(_), Some(_)) => http_body::SizeHint::default(),
            (None, _) => http_body::SizeHint::with_exact(0),
        }
    }
}

impl Drop for BuggyBody {
    fn drop(&mut self) {
        let body = self.body.take();
        if matches!(self.bug, Some((DeliberateBug::LeaksConnection, _))) {
            tokio::spawn(async move {
                std::future::pending::<()>().await;
                drop(body);
            });
        }
    }
}

impl State {
    pub(super) fn new(same_session: bool) -> Self {
        Self { count: 0, same_session, last: VecDeque::new() }
    }

    /// Counts an event or request, and returns whether it is one of `every`.
    pub(super) fn is_nth(&mut self, every: u64) -> bool {
        self.count += 1;
        self.count.is_multiple_of(every)
    }

    /// Returns what is sent in place of some data.
    fn alter(&mut self, bug: DeliberateBug, session: &HeaderValue, data: &Bytes) -> Altered {
        let text = String::from_utf8_lossy(data);
        let mut out = String::new();
        for event in text.split_inclusive("\n\n") {
            let is_nth = self.is_nth(EVERY);
            let is_gap_log = event.contains("\"logger\":\"rejoin\"");
            let is_message = event.starts_with("event: message\nid:") && !is_gap_log;
            if bug == DeliberateBug::StopsSending && is_nth {
                return Altered::Nothing;
            }
            if bug == DeliberateBug::TruncatesEvent && is_nth {
                out.push_str(event.get(..event.len() / 2).unwrap_or_default());
                return Altered::Last(out.into());
            }
            let is_altered = is_nth && is_message;
            let is_lost = bug == DeliberateBug::LosesEvent && is_altered
                || bug == DeliberateBug::HidesGaps && event.starts_with(": gap");
            if is_lost {
                // The event is dropped.
            } else if bug == DeliberateBug::MisroutesEvent && is_altered {
                out.push_str(self.other(session, event).unwrap_or(event));
            } else if bug == DeliberateBug::WrongGapLog && is_gap_log {
                out.push_str(&event.replace("\"first\":", "\"first\":9"));
            } else {
                out.push_str(event);
            }
            // A duplicate response would be found at once.
            if bug == DeliberateBug::DuplicatesEvent && is_altered && event.contains("\"method\"") {
                out.push_str(event);
            }
            if is_message {
                self.last.truncate(LAST_MAX - 1);
                self.last.push_front((session.clone(), event.to_owned()));
            }
        }
        Altered::Other(out.into())
    }

    /// Returns an event of another stream, of the same session or of another one.
    fn other(&self, session: &HeaderValue, event: &str) -> Option<&str> {
        let stream = |event: &str| {
            let id: EventId =
                event.lines().find_map(|line| line.strip_prefix("id: "))?.parse().ok()?;
            Some(id.stream)
        };
        let is_other = |(of, other): &&(HeaderValue, String)| {
            (of == session) == self.same_session && stream(other) != stream(event)
        };
        self.last.iter().find(is_other).map(|(_, event)| event.as_str())
    }
}
