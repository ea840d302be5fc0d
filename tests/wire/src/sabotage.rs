//! Sabotage: what a server must not do, done on purpose, so that the witness is seen to
//! see it.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use http_body::{Body, Frame};
use hyper::body::Incoming;
use parking_lot::Mutex;
use rejoin::{ResponseBody, StreamableHttp};
use rejoin_core::EventId;
use rejoin_tests::world::Sabotage;
use tower_service::Service;

/// The service, and what it does wrong.
#[derive(Clone, Debug)]
pub(crate) struct Sabotaged {
    service: StreamableHttp,
    sabotage: Option<Sabotage>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// How many events came by.
    events: u64,
    /// Whether what is sent elsewhere stays in its session.
    stays: bool,
    /// The last ones, each with its session.
    last: VecDeque<(HeaderValue, String)>,
}

/// How many of the last events are kept.
const LAST_MAX: usize = 32;

/// One in so many events is not what it should be.
const EVERY: u64 = 23;

impl Sabotaged {
    /// Does something wrong, if that is wanted; what is sent elsewhere may stay in its
    /// session.
    pub(crate) fn new(service: StreamableHttp, sabotage: Option<Sabotage>, stays: bool) -> Self {
        let state = State { stays, ..State::default() };
        Self { service, sabotage, state: Arc::new(Mutex::new(state)) }
    }
}

impl Service<Request<Incoming>> for Sabotaged {
    type Response = Response<SabotagedBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Service::<Request<Incoming>>::poll_ready(&mut self.service, cx)
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let session = request.headers().get("mcp-session-id").cloned();
        let answer = self.service.call(request);
        let (sabotage, state) = (self.sabotage, Arc::clone(&self.state));
        Box::pin(async move {
            let response = answer.await?;
            let is_stream = response
                .headers()
                .get(http::header::CONTENT_TYPE)
                .is_some_and(|kind| kind == "text/event-stream");
            let sabotage = sabotage.filter(|_| is_stream && session.is_some());
            Ok(response.map(|body| SabotagedBody {
                body: Some(body),
                sabotage: sabotage.zip(session),
                state,
                is_held: false,
            }))
        })
    }
}

/// The body of a response, and what is done to it.
#[derive(Debug)]
pub(crate) struct SabotagedBody {
    /// Always there, until it is dropped.
    body: Option<ResponseBody>,
    /// What is done, and in which session.
    sabotage: Option<(Sabotage, HeaderValue)>,
    state: Arc<Mutex<State>>,
    is_held: bool,
}

impl Body for SabotagedBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        loop {
            if self.is_held {
                return Poll::Pending;
            }
            let Some(body) = &mut self.body else { return Poll::Ready(None) };
            let frame = ready!(Pin::new(body).poll_frame(cx));
            let Some((sabotage, session)) = &self.sabotage else { return Poll::Ready(frame) };
            let Some(Ok(frame)) = frame else { return Poll::Ready(frame) };
            let Ok(data) = frame.into_data() else { continue };
            let done = self.state.lock().spoil(*sabotage, session, &data);
            self.is_held = done.is_none();
            if let Some(data) = done.filter(|data| !data.is_empty()) {
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> http_body::SizeHint {
        let body = self.body.as_ref().filter(|_| self.sabotage.is_none());
        body.map(Body::size_hint).unwrap_or_default()
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
    /// Returns what is sent instead of some events; `None` is nothing any more.
    fn spoil(&mut self, sabotage: Sabotage, session: &HeaderValue, data: &Bytes) -> Option<Bytes> {
        let text = String::from_utf8_lossy(data);
        let mut out = String::new();
        for event in text.split_inclusive("\n\n") {
            self.events += 1;
            let is_turn = self.events.is_multiple_of(EVERY);
            let is_message = event.starts_with("event: message\nid:");
            match sabotage {
                Sabotage::Loses if is_turn && is_message => {}
                // An answer that comes twice would be seen at once.
                Sabotage::Repeats if is_turn && is_message && event.contains("\"method\"") => {
                    out.push_str(event);
                    out.push_str(event);
                }
                Sabotage::Misroutes if is_turn && is_message => {
                    out.push_str(self.other(session, event).unwrap_or(event));
                }
                Sabotage::HidesGaps if event.starts_with(": gap") => {}
                Sabotage::Holds if is_turn => return None,
                Sabotage::Loses
                | Sabotage::Repeats
                | Sabotage::Misroutes
                | Sabotage::HidesGaps
                | Sabotage::Holds
                | Sabotage::Leaks => out.push_str(event),
            }
            if is_message {
                self.last.truncate(LAST_MAX - 1);
                self.last.push_front((session.clone(), event.to_owned()));
            }
        }
        Some(out.into())
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
