//! What happened in a session, as lines of the log: never a body of a message.

use rejoin_core::{ProtocolVersion, Report};

use crate::{
    SessionId,
    session::{LogEvent, SessionClosed, SessionOpened},
};

/// How much of what a client says of itself is logged, in bytes.
#[cfg(feature = "http")]
const LOGGED_BYTES_MAX: usize = 200;

/// Returns as much of a text as is logged.
#[cfg(feature = "http")]
pub(crate) fn truncate(text: &str) -> &str {
    &text[..text.floor_char_boundary(LOGGED_BYTES_MAX)]
}

pub(crate) fn event(session: SessionId, happened: &LogEvent) {
    let session = session.short();
    match happened {
        LogEvent::Gap { stream, first, last } => {
            let missed = last.saturating_sub(*first).saturating_add(1);
            tracing::warn!(%session, %stream, first, last, missed, "gap: a client missed events");
        }
        LogEvent::ConnectionClosed { connection, reason } if !reason.drains() => {
            tracing::info!(%session, %connection, ?reason, "connection lost");
        }
        LogEvent::ConnectionClosed { connection, reason } => {
            tracing::debug!(%session, %connection, ?reason, "connection ended");
        }
        LogEvent::RequestTimedOut { request } => {
            tracing::warn!(%session, %request, "request was not answered in time");
        }
        LogEvent::ConnectionLost { connection, stream, through } => {
            tracing::info!(%session, %stream, %connection, ?through, "connection lost");
        }
        LogEvent::Resumed { stream, after, replayed } => {
            tracing::info!(%session, %stream, after, replayed, "stream resumed");
        }
        LogEvent::Report(Report::Undeliverable { id, reason }) => {
            tracing::warn!(%session, ?id, ?reason, "response dropped: no request waits for it");
        }
        LogEvent::Report(Report::ResponseEvicted { stream, id }) => {
            tracing::warn!(%session, %stream, %id, "response was too large to be kept");
        }
        LogEvent::Report(Report::ResponseLost { stream }) => {
            tracing::warn!(%session, %stream, "client left without the JSON answer");
        }
        LogEvent::Report(Report::UnknownProgressToken { token }) => {
            tracing::debug!(%session, %token, "progress dropped: its request is not in progress");
        }
    }
}

/// Returns whether anybody reads of every connection that ends, and not only of lost ones.
pub(crate) fn logs_closed_connections() -> bool {
    tracing::enabled!(tracing::Level::DEBUG)
}

pub(crate) fn opened(session: SessionId, opened: &SessionOpened) {
    let SessionOpened { client, revision, process } = opened;
    let (session, client) = (session.short(), client.as_deref().unwrap_or_default());
    let revision = revision.as_ref().map(ProtocolVersion::as_str);
    tracing::info!(%session, ?client, revision, pid = process, "session opened");
}

pub(crate) fn closed(session: SessionId, closed: &SessionClosed) {
    let SessionClosed { reason, was_opened, progress_dropped } = closed;
    let session = session.short();
    if *was_opened {
        let progress_dropped = (*progress_dropped > 0).then_some(progress_dropped);
        tracing::info!(%session, ?reason, progress_dropped, "session closed");
    } else {
        tracing::info!(%session, ?reason, "session ended before it was initialized");
    }
}

pub(crate) fn backend_not_reading(session: SessionId) {
    tracing::error!(session = %session.short(), "server asks and does not listen: it is given up");
}

pub(crate) fn panicked(session: SessionId) {
    tracing::error!(session = %session.short(), "session is broken, and closed: it panicked");
}
