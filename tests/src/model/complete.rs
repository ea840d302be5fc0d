//! Sections "Cancelled" and "Complete".

use rejoin_core::{Change, CloseReason, RequestId, RequestOutcome, StreamId, UnansweredReason};

use super::{
    Case, Model,
    stream::{Phase, Status},
};

impl Model {
    /// Completes a stream whose last response was recorded.
    pub(super) fn complete_if_answered(&mut self, stream: StreamId) {
        if self.streams[stream].pending().is_empty() {
            self.complete(stream);
        }
    }

    /// Handles the client's cancellation of a pending request.
    pub(super) fn cancel_by_client(&mut self, stream: StreamId, id: &RequestId) {
        self.cancel_request(stream, id, RequestOutcome::Cancelled);
        let it = &self.streams[stream];
        let was_last = it.pending().is_empty();
        if was_last && it.requests.iter().all(|request| request.status == Status::Cancelled) {
            self.cancel_stream(stream, CloseReason::Cancelled);
            return;
        }
        self.commit(Change::RequestCancelled { id: id.clone() });
        if was_last {
            self.complete(stream);
        }
    }

    fn complete(&mut self, stream: StreamId) {
        self.take_number();
        if let StreamId::Request(number) = stream {
            self.commit(Change::Completed { number });
        }
        let it = &mut self.streams[stream];
        it.phase = Phase::Complete;
        it.orphaned = None;
        let is_dropped = it.deferred.take().is_some() && self.attached(stream).is_some();
        if is_dropped {
            self.reach(Case::DroppedDisconnect);
        }
        let it = &self.streams[stream];
        if it.is_fully_acknowledged() {
            self.commit_acknowledged(stream);
        }
        self.close_if_complete(stream);
    }

    /// Closes the connection of a complete stream once everything was sent on it.
    pub(super) fn close_if_complete(&mut self, stream: StreamId) {
        if self.streams[stream].phase != Phase::Complete {
            return;
        }
        let attached = self.attached(stream).map(|attached| attached.id);
        if let Some(connection) = attached.filter(|_| self.is_at_head(stream)) {
            self.close_connection(connection, CloseReason::Complete);
        }
        if self.attached(stream).is_none() {
            self.retain(stream);
        }
    }

    /// Cancels a stream.
    pub(super) fn cancel_stream(&mut self, stream: StreamId, reason: CloseReason) {
        if let Some(connection) = self.attached(stream).map(|attached| attached.id) {
            self.close_connection(connection, reason);
        }
        self.take_number();
        if let StreamId::Request(number) = stream {
            self.commit(Change::Cancelled { number });
        }
        self.fail_unacknowledged(stream, UnansweredReason::Cancelled);
        self.leave_tombstone(stream, true);
    }

    /// Abandons a stream on behalf of the driver.
    pub(super) fn abandon(&mut self, stream: StreamId) {
        for id in self.streams[stream].pending() {
            self.cancel_request(stream, &id, RequestOutcome::Abandoned);
        }
        self.cancel_stream(stream, CloseReason::Abandoned);
    }
}
