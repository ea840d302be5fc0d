//! Section "Losing the backend".

use rejoin_core::{
    Action, FailureReason, Overflow, RequestId, RequestOutcome, SessionCloseReason, StreamId,
};

use super::{
    Model,
    state::Stage,
    stream::{Entry, Kind, Phase, Status},
};

impl Model {
    pub(super) fn lose_backend(&mut self) {
        if !matches!(self.stage, Stage::Initialized(_)) {
            self.close(SessionCloseReason::BackendGone);
            return;
        }
        self.held.sort_by_key(|held| held.stream);
        for held in std::mem::take(&mut self.held) {
            self.emit(Action::Release { stream: held.stream });
        }
        self.end_server_requests();
        self.reserved_ids.clear();
        self.tasks.clear();
        let mut streams: Vec<StreamId> = self.streams.iter().map(|stream| stream.id).collect();
        streams.sort();
        for stream in streams {
            // Those before may have left its tombstone.
            match self.streams.get(stream).map(|it| it.phase) {
                Some(Phase::Standalone) | None => {}
                Some(Phase::Open) => self.fail_unanswered(stream),
                Some(Phase::Complete) => {
                    if self.attached(stream).is_some() && self.is_at_head(stream) {
                        self.close_if_complete(stream);
                    }
                }
            }
        }
    }

    fn end_server_requests(&mut self) {
        let mut ids: Vec<RequestId> =
            self.server_requests.iter().map(|request| request.id.clone()).collect();
        ids.sort();
        for id in ids {
            let is_retracted = self.server_request(&id).is_some_and(|request| {
                !self.is_acknowledged(request)
                    && self.streams[request.stream].has_logged(request.index)
            });
            self.end_server_request(&id, is_retracted);
        }
    }

    fn fail_unanswered(&mut self, stream: StreamId) {
        for id in self.streams[stream].pending() {
            let entry = Entry::Failure(FailureReason::BackendGone);
            self.record(stream, Kind::Response(id.clone()), entry, 0, Overflow::Hold);
            self.streams[stream].set_status(&id, Status::Answered);
            self.report_ended(stream, &id, RequestOutcome::BackendLost);
        }
        self.complete_if_answered(stream);
    }
}
