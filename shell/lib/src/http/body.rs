//! Response bodies.

use std::{
    fmt, io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep};

use super::{
    CredentialExpiry,
    config::HttpConfig,
    credential::Expired,
    session::{AnyConnection, Next},
    sse,
    unanswered::Unanswered,
};
use crate::SseEvent;

/// The body of a response: complete, or a stream of the events of a connection.
#[derive(Debug)]
pub struct ResponseBody(Kind);

#[derive(Debug)]
enum Kind {
    Full(Bytes),
    Events(Box<EventStream>),
}

struct EventStream {
    /// Events that were ready before the headers were sent, or a comment: some proxies delay
    /// the headers until the first byte of the body.
    first_chunk: Option<Bytes>,
    connection: AnyConnection,
    /// `None` for a GET, and without a store: there, connections are not lost.
    unanswered: Option<Unanswered>,
    /// Whether a message was written only in part.
    is_mid_message: bool,
    /// A buffer that is reused; empty between calls.
    events: Vec<SseEvent>,
    keep_alive: Option<KeepAlive>,
    reconnect: Option<ReconnectTimer>,
    expiry: Option<ExpiryTimer>,
}

/// The timer of keep-alive comments.
#[derive(Debug)]
struct KeepAlive {
    interval: Duration,
    sent_at: Instant,
    /// `None` until the connection had to wait for an event.
    timer: Option<Pin<Box<Sleep>>>,
}

/// Closes a long-lived connection so that its client reconnects.
#[derive(Debug)]
struct ReconnectTimer {
    interval: Duration,
    retry: Duration,
    timer: Pin<Box<Sleep>>,
}

/// Closes the connection of a client whose credential has expired.
struct ExpiryTimer {
    /// `None` once it has expired.
    expired: Option<Expired>,
    retry: Duration,
}

impl ResponseBody {
    pub(super) fn empty() -> Self {
        Self::full(Bytes::new())
    }

    pub(super) fn full(bytes: Bytes) -> Self {
        Self(Kind::Full(bytes))
    }

    pub(super) fn events(
        events: &[SseEvent],
        (connection, unanswered): (AnyConnection, Option<Unanswered>),
        config: &HttpConfig,
        expiry: Option<&CredentialExpiry>,
    ) -> Self {
        Self(Kind::Events(Box::new(EventStream {
            first_chunk: Some(match events {
                [] => Bytes::from_static(sse::COMMENT),
                events => sse::write(events),
            }),
            connection,
            unanswered: unanswered.filter(|_| !Unanswered::is_settled_by(events)),
            is_mid_message: false,
            events: Vec::new(),
            keep_alive: config.sse_keep_alive.and_then(KeepAlive::new),
            reconnect: config
                .reconnect_after
                .filter(|interval| *interval < INTERVAL_LIMIT)
                .map(|interval| ReconnectTimer::new(interval, config.reconnect_delay)),
            expiry: expiry.map(|expiry| ExpiryTimer::new(expiry, config.reconnect_delay)),
        })))
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    /// The connection was cut within a message, which must not look complete.
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match &mut self.get_mut().0 {
            Kind::Full(bytes) => {
                let bytes = Some(std::mem::take(bytes)).filter(|bytes| !bytes.is_empty());
                Poll::Ready(bytes.map(|bytes| Ok(Frame::data(bytes))))
            }
            Kind::Events(events) => events.poll(cx).map_ok(Frame::data),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Full(bytes) => bytes.is_empty(),
            Kind::Events(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Kind::Events(_) => SizeHint::default(),
        }
    }
}

impl EventStream {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if let Some(first) = self.first_chunk.take() {
            return Poll::Ready(Some(Ok(first)));
        }
        if let Some(reconnect) = &mut self.reconnect {
            reconnect.poll(cx, &self.connection);
        }
        if let Some(expiry) = &mut self.expiry
            && expiry.poll(cx, &mut self.connection)
            && !self.is_mid_message
        {
            return Poll::Ready(None);
        }
        let Poll::Ready(next) = self.connection.poll_next(cx, &mut self.events) else {
            return match &mut self.keep_alive {
                None => Poll::Pending,
                Some(keep_alive) => {
                    ready!(keep_alive.poll(cx));
                    Poll::Ready(Some(Ok(Bytes::from_static(sse::COMMENT))))
                }
            };
        };
        if let Some(keep_alive) = &mut self.keep_alive {
            keep_alive.sent_at = Instant::now();
        }
        Poll::Ready(match next {
            Next::Part(part) => {
                self.unanswered = None;
                self.is_mid_message = !part.is_last;
                Some(Ok(sse::write_part(&part)))
            }
            Next::Events { .. } if self.events.is_empty() => self.end(),
            Next::Events { .. } => {
                let written = sse::write(&self.events);
                if Unanswered::is_settled_by(&self.events) {
                    self.unanswered = None;
                }
                // Frees the events, which are now in `written`.
                self.events.clear();
                Some(Ok(written))
            }
        })
    }

    /// Returns what follows the last event.
    fn end(&mut self) -> Option<io::Result<Bytes>> {
        if std::mem::take(&mut self.is_mid_message) {
            let cut = "connection cut within a message";
            return Some(Err(io::Error::new(io::ErrorKind::ConnectionAborted, cut)));
        }
        let unanswered = self.unanswered.take()?;
        let refusal = self.connection.check_end().err()?;
        Some(Ok(unanswered.fail(&refusal)))
    }
}

/// Intervals of this length or more never elapse. It does not overflow any clock.
const INTERVAL_LIMIT: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

impl KeepAlive {
    /// Returns `None` for an interval that never elapses.
    fn new(interval: Duration) -> Option<Self> {
        let interval = (interval < INTERVAL_LIMIT).then_some(interval)?;
        Some(Self { interval, sent_at: Instant::now(), timer: None })
    }

    /// Ready when nothing was sent for the interval, which then restarts.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let due = self.sent_at + self.interval;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
        loop {
            ready!(timer.as_mut().poll(cx));
            let (now, due) = (Instant::now(), self.sent_at + self.interval);
            if due <= now {
                self.sent_at = now;
                timer.as_mut().reset(now + self.interval);
                return Poll::Ready(());
            }
            timer.as_mut().reset(due);
        }
    }
}

impl ReconnectTimer {
    fn new(interval: Duration, retry: Duration) -> Self {
        Self { interval, retry, timer: Box::pin(tokio::time::sleep(interval)) }
    }

    /// Closes the connection when it is due, unless its client cannot resume.
    fn poll(&mut self, cx: &mut Context<'_>, connection: &AnyConnection) {
        while self.timer.as_mut().poll(cx).is_ready() {
            connection.disconnect(self.retry);
            self.timer.as_mut().reset(Instant::now() + self.interval);
        }
    }
}

impl ExpiryTimer {
    fn new(expiry: &CredentialExpiry, retry: Duration) -> Self {
        Self { expired: Some(expiry.start()), retry }
    }

    /// Closes the connection once the credential has expired, at the first event after which its
    /// client can resume. Returns whether that is left to the body, because it is a shadow, which
    /// no stream knows.
    fn poll(&mut self, cx: &mut Context<'_>, connection: &mut AnyConnection) -> bool {
        if let Some(expired) = &mut self.expired {
            if expired.as_mut().poll(cx).is_pending() {
                return false;
            }
            self.expired = None;
        }
        connection.expire(self.retry)
    }
}

impl fmt::Debug for EventStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventStream").field("connection", &self.connection).finish_non_exhaustive()
    }
}
