//! Closing of a session.

use alloc::vec::Vec;

use super::{
    Phase, Session,
    connection::{Connections, Role},
    in_flight::Sent,
    initialize::RESPONSE_INDEX,
    requests::{Requests, ServerRequests},
    stream::{StreamKey, Streams, answered_next},
};
use crate::{
    Action, Actions, CloseReason, EndReason, Event, Failure, FailureReason, timers::Timers,
};

impl<M: Clone> Session<M> {
    /// Closes the session: sends failures for pending requests where the window admits them,
    /// closes all connections, and clears all state.
    pub(super) fn close(&mut self, reason: CloseReason, out: &mut Actions<M>) {
        let failure = match reason {
            CloseReason::BackendGone => FailureReason::BackendGone,
            CloseReason::Deleted
            | CloseReason::ServerShutdown
            | CloseReason::Cancelled
            | CloseReason::ExpectedInitialize
            | CloseReason::InitializeRejected
            | CloseReason::InitializeTimeout
            | CloseReason::InitializeUnacknowledged
            | CloseReason::Idle
            | CloseReason::Exhausted => FailureReason::SessionClosed,
        };
        self.fail_initialize(failure, out);
        let open: Vec<StreamKey> =
            self.streams.request_streams().filter(|key| self.streams[*key].is_open()).collect();
        for stream in open {
            self.fail_pending(stream, failure, out);
        }
        for (id, key) in self.connections.iter() {
            if self.connections[key].role != Role::Draining {
                let reason = EndReason::SessionClosed;
                out.push(Action::Close { connection: id, reason });
            }
        }
        out.push(Action::SessionClosed { reason });
        self.clear(reason);
    }

    fn fail_initialize(&mut self, reason: FailureReason, out: &mut Actions<M>) {
        let Phase::Initializing { id, connection } = &self.phase else {
            return;
        };
        let (id, connection) = (id.clone(), *connection);
        if self.connections.contains(connection) {
            let event = Event::Failure(Failure { id, reason });
            self.send_without_id(connection, Sent { index: RESPONSE_INDEX, cost: 0 }, event, out);
        }
    }

    fn fail_pending(&mut self, stream: StreamKey, reason: FailureReason, out: &mut Actions<M>) {
        let Some(connection) = self.streams[stream].attached else {
            return;
        };
        if !self.is_at_head(stream, connection) {
            return;
        }
        let pending: Vec<_> = self.streams[stream].pending().cloned().collect();
        for id in pending {
            if !self.may_send_next(stream, connection, 0)
                || self.streams[stream].log.allocate_index().is_none()
            {
                return;
            }
            self.resolve(&id, answered_next);
            let event = Event::Failure(Failure { id, reason });
            self.send_next(stream, connection, event, 0, true, out);
        }
    }

    /// Clears all state but the configuration.
    pub(super) fn clear(&mut self, reason: CloseReason) {
        self.phase = Phase::Closed(reason);
        self.streams = Streams::new();
        self.connections = Connections::new();
        self.requests = Requests::new();
        self.server_requests = ServerRequests::new();
        self.timers = Timers::new();
        self.logged_bytes = 0;
        self.in_flight = 0;
        self.is_window_exceeded = false;
        self.held_streams.clear();
    }
}
