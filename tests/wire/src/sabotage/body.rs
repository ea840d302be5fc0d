//! What is done to the bodies of responses.

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

use super::Sabotage;

/// What all bodies share.
#[derive(Debug)]
pub(super) struct State {
    /// How many events and requests came by.
    count: u64,
    /// Whether what is sent elsewhere stays in its session.
    stays: bool,
    /// The last events, each with its session.
    last: VecDeque<(HeaderValue, String)>,
}

/// How many of the last events are kept.
const LAST_MAX: usize = 32;

/// One in so many events is not what it should be.
const EVERY: u64 = 23;

/// The body of a response, and what is done to it.
#[derive(Debug)]
pub(crate) struct SabotagedBody {
    /// There until it is dropped, or has ended.
    body: Option<ResponseBody>,
    /// What is done, and in which session.
    sabotage: Option<(Sabotage, HeaderValue)>,
    state: Arc<Mutex<State>>,
    is_held: bool,
}

impl SabotagedBody {
    /// A body to which nothing is done.
    pub(super) fn sound(body: ResponseBody, state: Arc<Mutex<State>>) -> Self {
        Self { body: Some(body), sabotage: None, state, is_held: false }
    }

    /// A body with nothing in it.
    pub(super) fn empty(state: Arc<Mutex<State>>) -> Self {
        Self { body: None, sabotage: None, state, is_held: false }
    }

    /// A stream of events of a session.
    pub(super) fn new(
        body: ResponseBody,
        state: Arc<Mutex<State>>,
        sabotage: Sabotage,
        session: HeaderValue,
    ) -> Self {
        Self { body: Some(body), sabotage: Some((sabotage, session)), state, is_held: false }
    }
}

/// What is sent instead of some events.
enum Spoiled {
    Other(Bytes),
    /// It, and then the end.
    Last(Bytes),
    /// Nothing any more.
    Nothing,
}

impl Body for SabotagedBody {
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
            let Some((sabotage, session)) = &self.sabotage else { return Poll::Ready(frame) };
            let Some(Ok(frame)) = frame else { return Poll::Ready(frame) };
            let Ok(data) = frame.into_data() else { continue };
            let spoiled = self.state.lock().spoil(*sabotage, session, &data);
            match spoiled {
                Spoiled::Other(data) if data.is_empty() => {}
                Spoiled::Other(data) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Spoiled::Last(data) => {
                    self.body = None;
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Spoiled::Nothing => self.is_held = true,
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> http_body::SizeHint {
        match (&self.body, &self.sabotage) {
            (Some(body), None) => body.size_hint(),
            (Some(_), Some(_)) => http_body::SizeHint::default(),
            (None, _) => http_body::SizeHint::with_exact(0),
        }
    }
}

impl Drop for SabotagedBody {
    fn drop(&mut self) {
        let body = self.body.take();
        if matches!(self.sabotage, Some((Sabotage::Leaks, _))) {
            tokio::spawn(async move {
                std::future::pending::<()>().await;
                drop(body);
            });
        }
    }
}

impl State {
    pub(super) fn new(stays: bool) -> Self {
        Self { count: 0, stays, last: VecDeque::new() }
    }

    /// Returns whether it is the turn of an event or a request.
    pub(super) fn is_turn(&mut self, every: u64) -> bool {
        self.count += 1;
        self.count.is_multiple_of(every)
    }

    /// Returns what is sent instead of some events.
    fn spoil(&mut self, sabotage: Sabotage, session: &HeaderValue, data: &Bytes) -> Spoiled {
        let text = String::from_utf8_lossy(data);
        let mut out = String::new();
        for event in text.split_inclusive("\n\n") {
            let is_turn = self.is_turn(EVERY);
            let is_message = event.starts_with("event: message\nid:");
            if sabotage == Sabotage::Holds && is_turn {
                return Spoiled::Nothing;
            }
            if sabotage == Sabotage::CutsEvents && is_turn {
                out.push_str(event.get(..event.len() / 2).unwrap_or_default());
                return Spoiled::Last(out.into());
            }
            let is_spoiled = is_turn && is_message;
            let is_lost = sabotage == Sabotage::Loses && is_spoiled
                || sabotage == Sabotage::HidesGaps && event.starts_with(": gap");
            if is_lost {
                // Nothing stands in its place.
            } else if sabotage == Sabotage::Misroutes && is_spoiled {
                out.push_str(self.other(session, event).unwrap_or(event));
            } else if sabotage == Sabotage::Miscounts && event.contains("\"logger\":\"rejoin\"") {
                out.push_str(&event.replace("\"first\":", "\"first\":9"));
            } else {
                out.push_str(event);
            }
            // An answer that comes twice would be seen at once.
            if sabotage == Sabotage::Repeats && is_spoiled && event.contains("\"method\"") {
                out.push_str(event);
            }
            if is_message {
                self.last.truncate(LAST_MAX - 1);
                self.last.push_front((session.clone(), event.to_owned()));
            }
        }
        Spoiled::Other(out.into())
    }

    /// Returns an event of another stream of the session, or of another session.
    fn other(&self, session: &HeaderValue, event: &str) -> Option<&str> {
        let stream = |event: &str| {
            let id: EventId =
                event.lines().find_map(|line| line.strip_prefix("id: "))?.parse().ok()?;
            Some(id.stream)
        };
        let is_other = |(of, other): &&(HeaderValue, String)| {
            (of == session) == self.stays && stream(other) != stream(event)
        };
        self.last.iter().find(is_other).map(|(_, event)| event.as_str())
    }
}
