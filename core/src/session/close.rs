//! Closing of a session.

use alloc::vec::Vec;

use super::{
    Phase, Session,
    connection::{Connections, Role},
    limit::Limit,
    requests::{Requests, ServerRequests},
    stream::{StreamKey, Streams},
};
use crate::{
    Action, Actions, Answer, CloseReason, Entry, Failure, FailureReason, SessionCloseReason,
    timers::Timers,
};

impl<C, S: Clone> Session<C, S> {
    /// Closes the session: sends failures for pending requests where the window admits them,
    /// closes all connections, and clears all state.
    pub(super) fn close(&mut self, reason: SessionCloseReason, out: &mut Actions<C, S>) {
        let failure = match reason {
            SessionCloseReason::BackendGone => FailureReason::BackendGone,
            SessionCloseReason::Deleted
            | SessionCloseReason::ServerShutdown
            | SessionCloseReason::Cancelled
            | SessionCloseReason::InternalError
            | SessionCloseReason::ExpectedInitialize
            | SessionCloseReason::InitializeRejected
            | SessionCloseReason::InitializeTimeout
            | SessionCloseReason::InitializeUnacknowledged
            | SessionCloseReason::Idle
            | SessionCloseReason::Exhausted
            | SessionCloseReason::Moved => FailureReason::SessionClosed,
        };
        let initialize = self.unanswered_initialize().cloned();
        let pending = self.streams.request_streams().flat_map(|key| self.streams[key].pending());
        let mut pending_requests: Vec<_> = initialize.into_iter().chain(pending.cloned()).collect();
        pending_requests.sort_unstable();
        let server_requests = self.server_requests.ids().cloned().collect();
        self.fail_initialize(failure, out);
        let open: Vec<StreamKey> =
            self.streams.request_streams().filter(|key| self.streams[*key].is_open()).collect();
        for stream in open {
            self.fail_pending(stream, failure, out);
        }
        for (id, key) in self.connections.iter() {
            if !matches!(self.connections[key].role(), Role::Draining(_)) {
                let reason = CloseReason::SessionClosed;
                out.push(Action::Close { connection: id, reason });
            }
        }
        out.push(Action::SessionClosed { reason, pending_requests, server_requests });
        self.clear(reason);
    }

    fn fail_initialize(&mut self, reason: FailureReason, out: &mut Actions<C, S>) {
        let Phase::Initializing { id, connection } = &self.phase else {
            return;
        };
        let (id, connection) = (id.clone(), *connection);
        if self.connections.contains(connection) {
            self.respond(connection, Answer::Failure(Failure { id, reason }), 0, out);
        }
    }

    fn fail_pending(&mut self, stream: StreamKey, reason: FailureReason, out: &mut Actions<C, S>) {
        let Some(connection) = self.streams[stream].attached() else {
            return;
        };
        if !self.is_at_head(stream, connection) {
            return;
        }
        let pending: Vec<_> = self.streams[stream].pending().cloned().collect();
        for id in pending {
            let is_exhausted = self.streams[stream].log.is_exhausted();
            if is_exhausted || !self.may_send_next(stream, connection) {
                return;
            }
            let index = self.allocate_index(stream);
            let failure = Entry::Failure(Failure { id, reason });
            self.send_entry(stream, connection, index, &failure, out);
        }
    }

    /// Clears all state but the configuration.
    pub(super) fn clear(&mut self, reason: SessionCloseReason) {
        self.phase = Phase::Closed(reason);
        self.streams = Streams::new();
        self.connections = Connections::new();
        self.requests = Requests::new();
        self.server_requests = ServerRequests::new();
        self.timers = Timers::new();
        self.logged_bytes = 0;
        self.unlogged_bytes = 0;
        self.limit = Limit::new(self.config.session_bytes_max, false);
        self.drain_retry = None;
        self.held_streams.clear();
        self.commits = None;
    }
}
