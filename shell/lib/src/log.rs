//! Log lines about sessions. They never contain the body of a message.

use rejoin_core::{
    CloseReason, ConnectionId, CutReason, ProtocolVersion, Report, RequestId, SessionCloseReason,
    StreamId, UndeliverableReason,
};

use crate::SessionId;

/// The end of a session, for the log.
#[derive(Debug)]
pub(crate) struct SessionClosed {
    pub(crate) reason: SessionCloseReason,
    /// Whether it was initialized before.
    pub(crate) was_opened: bool,
    /// Number of progress notifications that were dropped for an unknown token.
    pub(crate) progress_dropped: u32,
}

/// The beginning of a session, for the log.
#[derive(Debug)]
pub(crate) struct SessionOpened {
    pub(crate) client: Option<Box<str>>,
    pub(crate) revision: Option<ProtocolVersion>,
    pub(crate) process: Option<i32>,
}

/// An event in a session that is logged.
#[derive(Debug)]
pub(crate) enum LogEvent {
    Report(Report),
    Gap {
        stream: StreamId,
        first: u64,
        last: u64,
    },
    ConnectionClosed {
        connection: ConnectionId,
        reason: CloseReason,
    },
    ConnectionCut {
        connection: ConnectionId,
        reason: CutReason,
    },
    /// A client disconnected before the end of a stream.
    ConnectionLost {
        connection: ConnectionId,
        stream: StreamId,
        through: Option<u64>,
    },
    /// A client resumed a stream.
    Resumed {
        stream: StreamId,
        after: u64,
        replayed: usize,
    },
    RequestTimedOut {
        request: RequestId,
    },
}

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

pub(crate) fn event(session: SessionId, event: &LogEvent) {
    let session = session.short();
    match event {
        LogEvent::Gap { stream, first, last } => {
            let missed = last.saturating_sub(*first).saturating_add(1);
            tracing::warn!(%session, %stream, first, last, missed, "gap: a client missed events");
        }
        LogEvent::ConnectionCut { connection, reason } => {
            tracing::info!(%session, %connection, ?reason, "connection cut");
        }
        LogEvent::ConnectionClosed { connection, reason } => {
            tracing::debug!(%session, %connection, ?reason, "connection closed");
        }
        LogEvent::RequestTimedOut { request } => {
            tracing::warn!(%session, %request, "request timed out");
        }
        LogEvent::ConnectionLost { connection, stream, through } => {
            tracing::info!(%session, %stream, %connection, ?through, "connection lost");
        }
        LogEvent::Resumed { stream, after, replayed } => {
            tracing::info!(%session, %stream, after, replayed, "stream resumed");
        }
        LogEvent::Report(Report::Undeliverable {
            id,
            reason: UndeliverableReason::CancelledRequest,
        }) => {
            tracing::debug!(%session, ?id, "response dropped: its request was cancelled");
        }
        LogEvent::Report(Report::Undeliverable { id, reason }) => {
            tracing::warn!(%session, ?id, ?reason, "response dropped: no matching pending request");
        }
        LogEvent::Report(Report::ResponseEvicted { stream, id }) => {
            tracing::warn!(%session, %stream, %id, "response evicted: too large to be retained");
        }
        LogEvent::Report(Report::ResponseLost { stream }) => {
            tracing::warn!(%session, %stream, "client disconnected before it received its JSON response");
        }
        LogEvent::Report(Report::UnknownProgressToken { token }) => {
            tracing::debug!(%session, %token, "progress notification dropped: unknown progress token");
        }
        LogEvent::Report(report) => {
            tracing::warn!(%session, ?report, "message not delivered");
        }
    }
}

/// Returns whether the log level includes connections that were closed in order.
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
        tracing::info!(%session, ?reason, "session closed before it was initialized");
    }
}

pub(crate) fn backend_not_reading(session: SessionId) {
    tracing::error!(session = %session.short(), "backend stopped reading its messages; closing session");
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
