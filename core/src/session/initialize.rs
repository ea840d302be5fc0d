//! Handshake: `initialize` and its response.
//!
//! Specification: MCP 2025-11-25, Lifecycle, "Initialization".

use super::{
    Phase, Session,
    connection::{Connection, ConnectionKey, Role},
    stall_estimator::StallEstimator,
};
use crate::{
    ANSWER_INDEX, Actions, Answer, CloseReason, ConnectionId, Cursor, Failure, FailureReason,
    Initialized, Message, RequestId, SessionCloseReason, log, timers::TimerKind,
};

impl<C, S: Clone> Session<C, S> {
    /// Begins the handshake with the request `id`, whose response is awaited on `connection`.
    pub(super) fn begin_initialize(&mut self, connection: ConnectionId, id: RequestId) {
        let connection = self.connections.add(Connection::new(
            connection,
            Role::Initialize,
            Cursor::after(0),
            StallEstimator::new(self.config.timeouts().stall),
        ));
        self.phase = Phase::Initializing { id, connection };
    }

    /// Returns the connection that awaits the response to `initialize`, if `id` is its request.
    pub(super) fn initialize_connection(&self, id: &RequestId) -> Option<ConnectionKey> {
        match &self.phase {
            Phase::Initializing { id: initialize, connection } if initialize == id => {
                Some(*connection)
            }
            Phase::New | Phase::Initializing { .. } | Phase::Live | Phase::Closed(_) => None,
        }
    }

    /// Completes the handshake with the backend's response. Closes the session if that is an
    /// error response, or is too large and therefore replaced by a failure.
    pub(super) fn complete_initialize(
        &mut self,
        connection: ConnectionKey,
        id: RequestId,
        initialized: Option<Initialized>,
        message: Message<S>,
        out: &mut Actions<C, S>,
    ) {
        let fits = message.bytes <= self.config.message_bytes_max;
        let (answer, cost) = if fits {
            (Answer::Message(message.body), log::cost(message.bytes))
        } else {
            (Answer::Failure(Failure { id, reason: FailureReason::Evicted }), 0)
        };
        let initialized = initialized.filter(|_| fits);
        self.respond(connection, answer, cost, out);
        self.close_connection(connection, CloseReason::Complete, out);
        self.phase = Phase::Live;
        self.timers.clear(TimerKind::Initialize);
        match initialized {
            Some(_) => self.set_initialized(initialized),
            None => self.close(SessionCloseReason::InitializeRejected, out),
        }
    }

    /// Closes the session if the connection of `initialize` closed before its response was
    /// acknowledged. If the client has used the session, it has the response: the session id
    /// came with it, in the HTTP headers.
    pub(super) fn on_initialize_connection_closed(
        &mut self,
        first_unacknowledged: u64,
        out: &mut Actions<C, S>,
    ) {
        if first_unacknowledged <= ANSWER_INDEX && !self.was_used {
            self.close(SessionCloseReason::InitializeUnacknowledged, out);
        }
    }
}
