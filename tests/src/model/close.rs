//! Section "Closing the session".

use rejoin_core::{
    Action, Answer, CloseReason, Failure, FailureReason, RequestId, SessionCloseReason, StreamId,
};

use super::{
    Model,
    connection::Role,
    state::Stage,
    stream::{Phase, RecordedEvent, Status, Stream},
};

impl Model {
    pub(super) fn close(&mut self, reason: SessionCloseReason) {
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
        let initialize = match &self.stage {
            Stage::Unanswered { id, .. } => Some(id.clone()),
            Stage::Expected | Stage::Initialized(_) => None,
        };
        let pending = self.streams.iter().flat_map(Stream::pending);
        let mut pending_requests: Vec<RequestId> = initialize.into_iter().chain(pending).collect();
        pending_requests.sort();
        let requests = self.server_requests.iter().map(|request| request.id.clone());
        let mut server_requests: Vec<RequestId> = requests.collect();
        server_requests.sort();
        self.fail_initialize(failure);
        let open = self.streams.iter().filter(|stream| stream.phase == Phase::Open);
        let mut open: Vec<StreamId> = open.map(|stream| stream.id).collect();
        open.sort();
        for stream in open {
            if self.is_at_head(stream) {
                self.fail_pending(stream, failure);
            }
        }
        for connection in self.connections() {
            if self.connections[connection].role != Role::Draining {
                self.close_connection(connection, CloseReason::SessionClosed);
            }
        }
        self.connections.clear();
        self.emit(Action::SessionClosed { reason, pending_requests, server_requests });
        self.closed = Some(reason);
    }

    fn fail_initialize(&mut self, reason: FailureReason) {
        if let Stage::Unanswered { id, connection } = &self.stage
            && self.connections.get(*connection).is_some()
        {
            let failure = Failure { id: id.clone(), reason };
            self.respond(*connection, 0, Answer::Failure(failure));
        }
    }

    /// Sends failures for the pending requests of a stream, as far as the window admits them.
    fn fail_pending(&mut self, stream: StreamId, reason: FailureReason) {
        for id in self.streams[stream].pending() {
            let index = self.streams[stream].last + 1;
            if let Some(live) = self.live(stream, index).map(|live| live.id) {
                self.streams[stream].last = index;
                self.streams[stream].set_status(&id, Status::Answered);
                self.send_live(live, stream, &RecordedEvent::failure(index, id, reason));
            }
        }
    }
}
