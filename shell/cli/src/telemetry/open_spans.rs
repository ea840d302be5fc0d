//! The spans of one server that have not ended, by session.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use rejoin::{
    ObservedRequest, SessionEvent, SessionId,
    rejoin_core::{ConnectionId, ProtocolVersion, Report, RequestId, StreamId},
};

use super::request_span::RequestSpan;
use crate::observers::ClosedSessions;

/// The spans of all sessions: at most [`SPANS_MAX`] in [`SESSIONS_MAX`] sessions.
#[derive(Default)]
pub(super) struct OpenSpans {
    sessions: HashMap<SessionId, SessionSpans>,
    count: usize,
    closed: ClosedSessions,
}

/// Maximum number of open spans of a server. Further requests get their span when they end,
/// without events.
const SPANS_MAX: usize = 10_000;

/// Maximum number of sessions with spans. Those of further sessions end with their requests.
const SESSIONS_MAX: usize = 100_000;

#[derive(Default)]
struct SessionSpans {
    revision: Option<ProtocolVersion>,
    spans: Vec<RequestSpan>,
    /// Requests that have ended without an open span, the latest ones: if the beginning of one is
    /// told after its end, it has no further span. At most [`ENDED_MAX`].
    ended: VecDeque<Arc<ObservedRequest>>,
}

/// Maximum number of requests of which this is known.
const ENDED_MAX: usize = 16;

/// Which spans of a session are meant.
pub(super) enum Which<'e> {
    Request(&'e Arc<ObservedRequest>),
    /// The pending request with this id.
    Pending(&'e RequestId),
    Stream(StreamId),
    /// Those whose stream the connection is attached to.
    Connection(ConnectionId),
}

impl<'e> Which<'e> {
    /// Returns which spans an event concerns.
    pub(super) fn of(event: &'e SessionEvent) -> Option<Self> {
        match event {
            SessionEvent::RequestBegan { request, .. }
            | SessionEvent::RequestEnded { request, .. } => Some(Self::Request(request)),
            SessionEvent::RequestTimedOut { request } => Some(Self::Pending(request)),
            SessionEvent::Resumed { stream, .. }
            | SessionEvent::Gap { stream, .. }
            | SessionEvent::ConnectionLost { stream, .. }
            | SessionEvent::Report(
                Report::StreamExpired { stream }
                | Report::ResponseLost { stream }
                | Report::ResponseEvicted { stream, .. },
            ) => Some(Self::Stream(*stream)),
            SessionEvent::ConnectionClosed { connection, .. }
            | SessionEvent::ConnectionCut { connection, .. }
            | SessionEvent::Report(Report::ReaderStalled { connection }) => {
                Some(Self::Connection(*connection))
            }
            SessionEvent::Opened(_)
            | SessionEvent::Closed { .. }
            | SessionEvent::Report(_)
            | SessionEvent::ProcessStarted { .. }
            | SessionEvent::OpenFailed { .. }
            | SessionEvent::ProcessEnded { .. }
            | _ => None,
        }
    }

    fn has(&self, span: &RequestSpan) -> bool {
        match self {
            Self::Request(request) => Arc::ptr_eq(request, &span.request),
            Self::Pending(id) => **id == span.request.id && span.ended_at.is_none(),
            Self::Stream(stream) => span.stream == Some(*stream),
            Self::Connection(connection) => span.connection == Some(*connection),
        }
    }
}

impl OpenSpans {
    /// Adds the span of a request that has begun, unless it has one or has ended.
    pub(super) fn begin(
        &mut self,
        session: SessionId,
        request: &Arc<ObservedRequest>,
        begin: impl FnOnce() -> RequestSpan,
    ) {
        if self.count >= SPANS_MAX || self.find(session, &Which::Request(request)).is_some() {
            return;
        }
        let Some(session) = self.session(session) else { return };
        if let Some(at) = session.ended.iter().position(|ended| Arc::ptr_eq(ended, request)) {
            session.ended.remove(at);
            return;
        }
        session.spans.push(begin());
        self.count += 1;
    }

    /// Notes that a request has ended without an open span.
    pub(super) fn note_ended(&mut self, session: SessionId, request: &Arc<ObservedRequest>) {
        let Some(session) = self.session(session) else { return };
        if session.ended.len() == ENDED_MAX {
            session.ended.pop_front();
        }
        session.ended.push_back(Arc::clone(request));
    }

    /// Notes the revision of a session.
    pub(super) fn note_revision(&mut self, session: SessionId, revision: Option<ProtocolVersion>) {
        if let Some(session) = self.session(session) {
            session.revision = revision;
        }
    }

    /// Returns the revision of a session, if it is known.
    pub(super) fn revision(&self, session: SessionId) -> Option<ProtocolVersion> {
        self.sessions.get(&session)?.revision
    }

    /// Returns the first of some spans.
    pub(super) fn find(&self, session: SessionId, which: &Which<'_>) -> Option<&RequestSpan> {
        self.sessions.get(&session)?.spans.iter().find(|span| which.has(span))
    }

    /// Changes some spans.
    pub(super) fn change(
        &mut self,
        session: SessionId,
        which: &Which<'_>,
        change: impl FnMut(&mut RequestSpan),
    ) {
        if let Some(session) = self.sessions.get_mut(&session) {
            session.spans.iter_mut().filter(|span| which.has(span)).for_each(change);
        }
    }

    /// Removes some spans, to end them.
    pub(super) fn take(
        &mut self,
        session: SessionId,
        which: &Which<'_>,
        is_meant: impl Fn(&RequestSpan) -> bool,
    ) -> Vec<RequestSpan> {
        let Some(session) = self.sessions.get_mut(&session) else { return Vec::new() };
        let taken = session.spans.extract_if(.., |span| which.has(span) && is_meant(span));
        let taken: Vec<_> = taken.collect();
        self.count -= taken.len();
        taken
    }

    /// Returns whether a session was closed: what is told of it later has no span.
    pub(super) fn is_closed(&self, session: SessionId) -> bool {
        self.closed.has(session)
    }

    /// Removes a session, and returns its spans.
    pub(super) fn close(&mut self, session: SessionId) -> Vec<RequestSpan> {
        self.closed.add(session);
        let spans = self.sessions.remove(&session).unwrap_or_default().spans;
        self.count -= spans.len();
        spans
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.sessions.is_empty() && self.count == 0
    }

    fn session(&mut self, session: SessionId) -> Option<&mut SessionSpans> {
        let is_full = self.sessions.len() >= SESSIONS_MAX && !self.sessions.contains_key(&session);
        if is_full || self.closed.has(session) {
            return None;
        }
        Some(self.sessions.entry(session).or_default())
    }
}
