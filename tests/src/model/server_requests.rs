//! The requests of the backend to the client that wait.

use rejoin_core::{Action, RequestId, StreamId, UnansweredReason};

use super::{Model, state::Stamp};

/// A request of the backend that waits.
#[derive(Clone, Debug)]
pub(super) struct ServerRequest {
    pub(super) id: RequestId,
    /// The stream that it was recorded on, and where.
    pub(super) stream: StreamId,
    pub(super) index: u64,
    /// While it has `delivery_timeout`.
    pub(super) undelivered_since: Option<Stamp>,
    /// While it has `server_request_timeout`: since it was taken.
    pub(super) delivered_since: Option<Stamp>,
}

impl Model {
    pub(super) fn server_request(&self, id: &RequestId) -> Option<&ServerRequest> {
        self.server_requests.iter().find(|question| question.id == *id)
    }

    /// A request was recorded: it waits from now on.
    pub(super) fn add_server_request(&mut self, id: RequestId, stream: StreamId, index: u64) {
        let is_heard = self.attached(stream).is_some();
        let unheard = Some(self.stamp_when_expected(stream)).filter(|_| !is_heard);
        self.server_requests.push(ServerRequest {
            id,
            stream,
            index,
            undelivered_since: unheard,
            delivered_since: None,
        });
    }

    /// A request waits no longer.
    pub(super) fn remove_server_request(&mut self, id: &RequestId) {
        self.server_requests.retain(|question| question.id != *id);
    }

    pub(super) fn is_acknowledged(&self, question: &ServerRequest) -> bool {
        match self.streams.get(question.stream) {
            Some(stream) => question.index <= stream.acknowledged,
            // Those that were not taken got a `Fail` when it was buried.
            None => true,
        }
    }

    /// The waiting requests on `stream` that were not taken, by index.
    pub(super) fn unacknowledged_server_requests(&self, stream: StreamId) -> Vec<ServerRequest> {
        let mut questions = self.server_requests.clone();
        questions.retain(|question| question.stream == stream && !self.is_acknowledged(question));
        questions.sort_by_key(|question| question.index);
        questions
    }

    pub(super) fn fail_server_request(&mut self, id: RequestId, reason: UnansweredReason) {
        self.remove_server_request(&id);
        self.emit(Action::FailServerRequest { id, reason });
    }

    /// The requests that nobody took will not be taken any more.
    pub(super) fn fail_unacknowledged(&mut self, stream: StreamId, reason: UnansweredReason) {
        for question in self.unacknowledged_server_requests(stream) {
            self.fail_server_request(question.id, reason);
        }
    }

    /// A connection begins to carry `stream`.
    pub(super) fn stop_delivery_timers(&mut self, stream: StreamId) {
        for question in self.unacknowledged_server_requests(stream) {
            if !self.streams[stream].has_logged(question.index) {
                self.fail_server_request(question.id, UnansweredReason::Evicted);
            }
        }
        for question in &mut self.server_requests {
            if question.stream == stream {
                question.undelivered_since = None;
            }
        }
    }

    /// A stream is without a connection now.
    pub(super) fn start_delivery_timers(&mut self, stream: StreamId) {
        for question in self.unacknowledged_server_requests(stream) {
            if self.streams[stream].has_logged(question.index) {
                let begun = self.stamp_when_expected(stream);
                let questions = self.server_requests.iter_mut();
                for it in questions.filter(|it| it.id == question.id) {
                    it.undelivered_since.get_or_insert(begun);
                }
            } else {
                self.fail_server_request(question.id, UnansweredReason::Evicted);
            }
        }
    }

    /// No connection came in time.
    pub(super) fn fail_undelivered(&mut self, id: RequestId) {
        if let Some(ServerRequest { stream, index, .. }) = self.server_request(&id).cloned() {
            self.fail_server_request(id, UnansweredReason::Undelivered);
            self.streams[stream].remove_from_log(index);
            self.update_eviction_order(stream);
        }
    }
}
