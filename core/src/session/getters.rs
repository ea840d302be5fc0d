//! What a driver can ask of a session.

use super::{Phase, STANDALONE, Session, connection::Role};
use crate::{
    ConnectionId, Cursor, Initialized, Log, Profile, RequestId, SessionCloseReason, StreamId,
    ValidConfig,
};

impl<C, S> Session<C, S> {
    /// Returns the limits, timeouts and policies of the session.
    #[must_use]
    pub fn config(&self) -> &ValidConfig {
        &self.config
    }

    /// Returns the cursor of a known connection.
    #[must_use]
    pub fn cursor(&self, connection: ConnectionId) -> Option<&Cursor> {
        let key = self.connections.find(connection)?;
        Some(&self.connections[key].cursor)
    }

    /// Returns the log of a stream; `None` if it is unknown or only a tombstone remains.
    #[must_use]
    pub fn log(&self, stream: StreamId) -> Option<&Log<S>> {
        if matches!(self.phase, Phase::Closed(_)) {
            return None;
        }
        let key = self.streams.find(stream)?;
        Some(&self.streams[key].log)
    }

    /// Returns the stream that a connection is attached to.
    #[must_use]
    pub fn stream_on(&self, connection: ConnectionId) -> Option<StreamId> {
        let key = self.connections.find(connection)?;
        let stream = self.connections[key].role().attached_to()?;
        Some(self.streams[stream].id)
    }

    /// Returns whether closing the session now would lose events on a connection: it is attached
    /// to a request stream, and either has not been sent all of its log, or could not be sent
    /// the failure of a pending request.
    #[must_use]
    pub fn has_backlog(&self, connection: ConnectionId) -> bool {
        let Some(key) = self.connections.find(connection) else { return false };
        let Role::Attached(stream) = self.connections[key].role() else { return false };
        let is_behind = !self.is_at_head(stream, key);
        let has_pending = self.streams[stream].pending_count() > 0;
        let admits_failure = || self.may_send_next(stream, key);
        stream != STANDALONE && (is_behind || has_pending && !admits_failure())
    }

    /// Returns the stream of a pending request of the client.
    #[must_use]
    pub fn stream_of(&self, request: &RequestId) -> Option<StreamId> {
        let key = self.requests.pending.get(request)?;
        Some(self.streams[key].id)
    }

    /// Iterates over the known connections, by id.
    pub fn connections(&self) -> impl Iterator<Item = ConnectionId> {
        self.connections.iter().map(|(id, _)| id)
    }

    /// Returns whether there is neither a connection nor a request stream, except tombstones: no
    /// client waits for anything, or can still get a response.
    #[must_use]
    pub fn is_vacant(&self) -> bool {
        self.connections.len() == 0 && self.streams.request_streams().next().is_none()
    }

    /// Returns the number of pending requests of the client, excluding `initialize`.
    #[must_use]
    pub fn pending_requests(&self) -> usize {
        self.requests.pending.len()
    }

    /// Returns whether a request of the client is pending, including `initialize`.
    #[must_use]
    pub fn is_unanswered(&self, request: &RequestId) -> bool {
        self.unanswered_initialize() == Some(request) || self.requests.pending.contains(request)
    }

    /// Returns whether the id is that of a cancelled request, and reserved because the backend may
    /// respond after all.
    #[must_use]
    pub fn is_reserved(&self, request: &RequestId) -> bool {
        self.requests.cancelled.find(request).is_some()
    }

    /// Returns the pending request of the client, including `initialize`, if there is exactly
    /// one.
    #[must_use]
    pub fn sole_unanswered(&self) -> Option<&RequestId> {
        match self.unanswered_initialize() {
            Some(initialize) => self.requests.pending.is_empty().then_some(initialize),
            None => self.requests.pending.sole().map(|(id, _)| id),
        }
    }

    pub(super) fn unanswered_initialize(&self) -> Option<&RequestId> {
        match &self.phase {
            Phase::Initializing { id, .. } => Some(id),
            Phase::New | Phase::Live | Phase::Closed(_) => None,
        }
    }

    /// Returns what the response to `initialize` negotiated; `None` until then.
    #[must_use]
    pub fn initialized(&self) -> Option<Initialized> {
        self.initialized
    }

    /// Returns the profile of the negotiated revision; until then, that of the oldest.
    #[must_use]
    pub fn profile(&self) -> &'static Profile {
        self.profile
    }

    /// Returns why the session closed, if it did.
    #[must_use]
    pub fn close_reason(&self) -> Option<SessionCloseReason> {
        match self.phase {
            Phase::Closed(reason) => Some(reason),
            Phase::New | Phase::Initializing { .. } | Phase::Live => None,
        }
    }
}
