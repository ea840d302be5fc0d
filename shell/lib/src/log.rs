//! Log lines about sessions. They never contain the body of a message.

use std::{cell::LazyCell, fmt};

use rejoin_core::{ProtocolVersion, Report, UndeliverableReason};
use tracing::field;

use crate::{
    SessionId,
    observer::{ObservedRequest, SessionEvent, SessionOpened, SpanIds},
};

/// Maximum number of bytes that are logged of a text from a client.
#[cfg(feature = "http")]
const LOGGED_BYTES_MAX: usize = 200;

/// Truncates a text from a client for the log.
#[cfg(feature = "http")]
pub(crate) fn truncate(text: &str) -> &str {
    &text[..text.floor_char_boundary(LOGGED_BYTES_MAX)]
}

/// Logs that a request names a session that does not belong to its principal.
#[cfg(feature = "http")]
pub(crate) fn foreign_session(head: &http::request::Parts) {
    let peer = head.extensions.get::<crate::PeerAddress>().map(|crate::PeerAddress(peer)| peer);
    let peer = peer.map(tracing::field::display);
    tracing::info!(peer, "session of another principal requested");
}

/// Logs fields with the ids of a span, if there is one. They are only evaluated if the line is
/// logged.
macro_rules! with_span {
    ($level:ident, $span:expr, $message:literal, $($fields:tt)*) => {
        tracing::$level!(
            $($fields)*,
            trace_id = $span.map(|span| field::display(span.trace_id())),
            span_id = $span.map(|span| field::display(span.span_id())),
            $message
        )
    };
}

/// Logs an event, with the ids of the span of its request, if there is one: they are only asked for
/// if the line is logged. The name of the server is at the beginning of a session, and where it has
/// none.
pub(crate) fn event(
    session: SessionId,
    server: Option<&str>,
    event: &SessionEvent,
    span: impl FnOnce() -> Option<SpanIds>,
) {
    let session = session.short();
    let span = LazyCell::new(span);
    match event {
        SessionEvent::Opened(SessionOpened { client, revision, process }) => {
            let client = client.as_deref().unwrap_or_default();
            let revision = revision.as_ref().map(ProtocolVersion::as_str);
            tracing::info!(%session, server, ?client, revision, pid = process, "session opened");
        }
        SessionEvent::Closed { reason, was_opened: true, progress_dropped, .. } => {
            let progress_dropped = (*progress_dropped > 0).then_some(progress_dropped);
            tracing::info!(%session, ?reason, progress_dropped, "session closed");
        }
        SessionEvent::Closed { reason, was_opened: false, .. } => {
            tracing::info!(%session, server, ?reason, "session closed before it was initialized");
        }
        SessionEvent::RequestBegan { request, .. } => {
            let ObservedRequest { id, details, .. } = &**request;
            let method = &details.method;
            with_span!(trace, span, "request began", %session, %id, ?method);
        }
        SessionEvent::RequestEnded { request, end, duration } => {
            let ObservedRequest { id, details, .. } = &**request;
            let method = &details.method;
            with_span!(trace, span, "request ended", %session, %id, ?method, ?end, ?duration);
        }
        SessionEvent::Gap { stream, first, last } => {
            let missed = last.saturating_sub(*first).saturating_add(1);
            with_span!(
                warn, span, "gap: a client missed events",
                %session, %stream, first, last, missed
            );
        }
        SessionEvent::Restored { epoch } => {
            tracing::info!(%session, server, epoch, "session restored");
        }
        SessionEvent::GivenUp { reason } => {
            tracing::warn!(%session, ?reason, "session given up");
        }
        SessionEvent::ConnectionCut { connection, reason } => {
            with_span!(info, span, "connection cut", %session, %connection, ?reason);
        }
        SessionEvent::ConnectionClosed { connection, reason } => {
            with_span!(debug, span, "connection closed", %session, %connection, ?reason);
        }
        SessionEvent::RequestTimedOut { request } => {
            with_span!(warn, span, "request timed out", %session, %request);
        }
        SessionEvent::ConnectionLost { connection, stream, through } => {
            with_span!(info, span, "connection lost", %session, %stream, %connection, ?through);
        }
        SessionEvent::Resumed { stream, after, replayed, .. } => {
            with_span!(info, span, "stream resumed", %session, %stream, after, replayed);
        }
        SessionEvent::ProcessStarted { process, duration } => {
            tracing::debug!(%session, pid = process, ?duration, "stdio process started");
        }
        SessionEvent::ProcessEnded { process, .. } => {
            tracing::debug!(%session, pid = process, "stdio process ended");
        }
        SessionEvent::OpenFailed { error } => {
            tracing::error!(%session, server, %error, "failed to open backend");
        }
        SessionEvent::Report(report) => self::report(&session, report, &span),
    }
}

fn report<F: FnOnce() -> Option<SpanIds>>(
    session: &impl fmt::Display,
    report: &Report,
    span: &LazyCell<Option<SpanIds>, F>,
) {
    match report {
        Report::Undeliverable { id, reason: UndeliverableReason::CancelledRequest } => {
            tracing::debug!(%session, ?id, "response dropped: its request was cancelled");
        }
        Report::Undeliverable { id, reason } => {
            tracing::warn!(%session, ?id, ?reason, "response dropped: no matching pending request");
        }
        Report::ResponseEvicted { stream, id } => {
            with_span!(
                warn, span, "response evicted: too large to be retained",
                %session, %stream, %id
            );
        }
        Report::ResponseLost { stream } => {
            with_span!(
                warn, span, "client disconnected before it received its JSON response",
                %session, %stream
            );
        }
        Report::UnknownProgressToken { token } => {
            tracing::debug!(%session, %token, "progress notification dropped: unknown progress token");
        }
        Report::StreamExpired { stream } => {
            with_span!(
                debug, span, "stream expired before its client acknowledged its end",
                %session, %stream
            );
        }
        Report::ReaderStalled { connection } => {
            with_span!(debug, span, "reader stalled", %session, %connection);
        }
        Report::RequestEnded { .. } => {}
        report => {
            tracing::warn!(%session, ?report, "message not delivered");
        }
    }
}

/// Returns whether the log level includes requests.
pub(crate) fn logs_requests() -> bool {
    tracing::enabled!(tracing::Level::TRACE)
}

/// Returns whether the log level includes connections that were closed in order.
pub(crate) fn logs_closed_connections() -> bool {
    tracing::enabled!(tracing::Level::DEBUG)
}

pub(crate) fn backend_not_reading(session: SessionId) {
    tracing::error!(session = %session.short(), "backend stopped reading its messages; closing session");
}

/// Logs that the observer of a manager has panicked.
pub(crate) fn observer_panicked() {
    tracing::error!("observer panicked");
}

/// Logs that the hook for closed sessions has panicked.
pub(crate) fn hook_panicked(session: SessionId) {
    tracing::error!(session = %session.short(), "hook for closed sessions panicked");
}

/// Logs that memory is short: sessions are told to keep less.
pub(crate) fn reclaims_memory(sessions: usize, excess: usize, bytes_max: usize) {
    tracing::warn!(
        sessions,
        excess,
        bytes_max,
        "memory limit reached: reclaiming memory from the sessions that keep the most"
    );
}

pub(crate) fn panicked(session: SessionId) {
    tracing::error!(session = %session.short(), "session panicked and was closed");
}
