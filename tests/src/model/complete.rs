//! Sections "Cancelled" and "Complete": how a stream ends.

use rejoin_core::{EndReason, RequestId, StreamId, UnansweredReason};

use super::{
    Model,
    stream::{Phase, Status},
};

impl Model {
    /// A request of the client was answered, and the answer recorded.
    pub(super) fn complete_if_answered(&mut self, stream: StreamId) {
        if self.streams[stream].pending().is_empty() {
            self.complete(stream);
        }
    }

    /// The client cancels a pending request.
    pub(super) fn cancel_by_client(&mut self, stream: StreamId, id: &RequestId) {
        self.cancel_request(stream, id);
        let it = &self.streams[stream];
        if !it.pending().is_empty() {
            return;
        }
        if it.requests.iter().any(|request| request.status == Status::Answered) {
            self.complete(stream);
        } else {
            self.cancel_stream(stream, EndReason::Cancelled);
        }
    }

    fn complete(&mut self, stream: StreamId) {
        let it = &mut self.streams[stream];
        it.phase = Phase::Complete;
        it.orphaned = None;
        self.close_if_complete(stream);
    }

    /// Ends the connection of a complete stream if all was sent on it.
    pub(super) fn close_if_complete(&mut self, stream: StreamId) {
        if self.streams[stream].phase != Phase::Complete {
            return;
        }
        let carrier = self.attached(stream).map(|carrier| carrier.id);
        if let Some(connection) = carrier.filter(|_| self.is_at_head(stream)) {
            self.close_connection(connection, EndReason::Complete);
        }
        if self.attached(stream).is_none() {
            self.retain(stream);
        }
    }

    /// A stream is cancelled.
    pub(super) fn cancel_stream(&mut self, stream: StreamId, reason: EndReason) {
        if let Some(connection) = self.attached(stream).map(|carrier| carrier.id) {
            self.close_connection(connection, reason);
        }
        if self.streams[stream].phase == Phase::Reserved {
            for connection in self.connections.iter_mut() {
                if connection.stream == Some(stream) {
                    connection.stream = None;
                }
            }
            self.streams.remove(stream);
        } else {
            self.fail_unacknowledged(stream, UnansweredReason::Cancelled);
            self.leave_tombstone(stream, true);
        }
    }

    /// Nobody wants a stream any more.
    pub(super) fn abandon(&mut self, stream: StreamId) {
        for id in self.streams[stream].pending() {
            self.cancel_request(stream, &id);
        }
        self.cancel_stream(stream, EndReason::Abandoned);
    }
}
