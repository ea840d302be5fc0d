//! Requests of the client: pending ones, and the ids of cancelled ones.

use rejoin_core::{Action, ProgressToken, Report, RequestId, RequestOutcome, StreamId};

use super::{
    Model,
    state::{Stage, Stamp},
    stream::Status,
};

/// The id of a cancelled request that the backend has not answered yet.
#[derive(Clone, Debug)]
pub(super) struct ReservedId {
    pub(super) id: RequestId,
    pub(super) since: Stamp,
}

impl Model {
    /// Returns the stream of a pending request.
    pub(super) fn stream_of(&self, id: &RequestId) -> Option<StreamId> {
        let stream = self.streams.iter().find(|stream| stream.is_pending(id))?;
        Some(stream.id)
    }

    /// Returns the stream of the pending request with this progress token.
    pub(super) fn stream_of_token(&self, token: &ProgressToken) -> Option<StreamId> {
        let stream = self.streams.iter().find(|stream| {
            stream.requests.iter().any(|request| {
                request.status == Status::Pending && request.token.as_ref() == Some(token)
            })
        })?;
        Some(stream.id)
    }

    /// Returns the stream of the only pending request, if there is exactly one.
    pub(super) fn sole_stream(&self) -> Option<StreamId> {
        if self.pending_requests() != 1 {
            return None;
        }
        let stream = self.streams.iter().find(|stream| !stream.pending().is_empty())?;
        Some(stream.id)
    }

    pub(super) fn is_id_reserved(&self, id: &RequestId) -> bool {
        self.reserved_ids.iter().any(|reserved| reserved.id == *id)
    }

    pub(super) fn is_unanswered_initialize(&self, id: &RequestId) -> bool {
        matches!(&self.stage, Stage::Unanswered { id: initialize, .. } if initialize == id)
    }

    /// Returns whether a request of the client must not have this id.
    pub(super) fn is_in_use(&self, id: &RequestId) -> bool {
        self.stream_of(id).is_some() || self.is_id_reserved(id) || self.is_unanswered_initialize(id)
    }

    pub(super) fn reserve_id(&mut self, id: RequestId) {
        let stamp = self.stamp();
        self.reserved_ids.push(ReservedId { id, since: stamp });
    }

    pub(super) fn free_id(&mut self, id: &RequestId) {
        self.reserved_ids.retain(|reserved| reserved.id != *id);
    }

    /// Cancels a pending request of `stream`.
    pub(super) fn cancel_request(
        &mut self,
        stream: StreamId,
        id: &RequestId,
        outcome: RequestOutcome,
    ) {
        self.streams[stream].set_status(id, Status::Cancelled);
        self.report_ended(stream, id, outcome);
        self.reserve_id(id.clone());
    }

    /// Reports the end of a request, if the configuration asks for it.
    pub(super) fn report_ended(
        &mut self,
        stream: StreamId,
        id: &RequestId,
        outcome: RequestOutcome,
    ) {
        self.report_activity(Report::RequestEnded { stream, id: id.clone(), outcome });
    }

    /// Reports something, if the configuration asks for it.
    pub(super) fn report_activity(&mut self, report: Report) {
        if self.config.activity_reports {
            self.emit(Action::Report(report));
        }
    }
}
