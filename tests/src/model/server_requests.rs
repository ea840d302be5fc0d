//! Section "Server requests".

use rejoin_core::{Action, Change, RequestId, StreamId, UnansweredReason};

use super::{Model, state::Stamp, stream::Entry};

/// A server request that has no response yet.
#[derive(Clone, Debug)]
pub(super) struct ServerRequest {
    pub(super) id: RequestId,
    /// The stream that it was recorded on, and its index there.
    pub(super) stream: StreamId,
    pub(super) index: u64,
    /// While `delivery_timeout` runs: since when.
    pub(super) undelivered_since: Option<Stamp>,
    /// While `server_request_timeout` runs: since it was acknowledged.
    pub(super) delivered_since: Option<Stamp>,
}

impl Model {
    pub(super) fn server_request(&self, id: &RequestId) -> Option<&ServerRequest> {
        self.server_requests.iter().find(|request| request.id == *id)
    }

    /// Adds a server request that was just recorded.
    pub(super) fn add_server_request(&mut self, id: RequestId, stream: StreamId, index: u64) {
        let is_attached = self.attached(stream).is_some();
        let undelivered_since = Some(self.stamp_when_expected(stream)).filter(|_| !is_attached);
        self.server_requests.push(ServerRequest {
            id,
            stream,
            index,
            undelivered_since,
            delivered_since: None,
        });
    }

    /// Ends a server request that was recorded, if this is one. Its event leaves the log if it is
    /// retracted.
    pub(super) fn end_server_request(&mut self, id: &RequestId, is_retracted: bool) {
        let Some(ServerRequest { stream, index, .. }) = self.server_request(id).cloned() else {
            return;
        };
        self.server_requests.retain(|request| request.id != *id);
        if is_retracted {
            self.streams[stream].replace(index, Entry::Removed);
        }
        self.commit(Change::ServerRequestEnded { id: id.clone(), is_retracted });
    }

    pub(super) fn is_acknowledged(&self, request: &ServerRequest) -> bool {
        match self.streams.get(request.stream) {
            Some(stream) => request.index <= stream.acknowledged,
            // Unacknowledged ones were failed when it was removed.
            None => true,
        }
    }

    /// Returns the unacknowledged server requests on `stream`, by index.
    pub(super) fn unacknowledged_server_requests(&self, stream: StreamId) -> Vec<ServerRequest> {
        let mut requests = self.server_requests.clone();
        requests.retain(|request| request.stream == stream && !self.is_acknowledged(request));
        requests.sort_by_key(|request| request.index);
        requests
    }

    pub(super) fn fail_server_request(&mut self, id: RequestId, reason: UnansweredReason) {
        self.end_server_request(&id, false);
        self.emit(Action::FailServerRequest { id, reason });
    }

    /// Fails the server requests on `stream` that can no longer be acknowledged.
    pub(super) fn fail_unacknowledged(&mut self, stream: StreamId, reason: UnansweredReason) {
        for request in self.unacknowledged_server_requests(stream) {
            self.fail_server_request(request.id, reason);
        }
    }

    /// Stops the delivery timers of a stream to which a connection is attached.
    pub(super) fn stop_delivery_timers(&mut self, stream: StreamId) {
        for request in self.unacknowledged_server_requests(stream) {
            if !self.streams[stream].has_logged(request.index) {
                self.fail_server_request(request.id, UnansweredReason::Evicted);
            }
        }
        for request in &mut self.server_requests {
            if request.stream == stream {
                request.undelivered_since = None;
            }
        }
    }

    /// Starts the delivery timers of a stream that has no connection.
    pub(super) fn start_delivery_timers(&mut self, stream: StreamId) {
        for request in self.unacknowledged_server_requests(stream) {
            if self.streams[stream].has_logged(request.index) {
                let stamp = self.stamp_when_expected(stream);
                let requests = self.server_requests.iter_mut();
                for it in requests.filter(|it| it.id == request.id) {
                    it.undelivered_since.get_or_insert(stamp);
                }
            } else {
                self.fail_server_request(request.id, UnansweredReason::Evicted);
            }
        }
    }

    /// Fails a server request that was not delivered in time.
    pub(super) fn fail_undelivered(&mut self, id: RequestId) {
        self.end_server_request(&id, true);
        self.emit(Action::FailServerRequest { id, reason: UnansweredReason::Undelivered });
    }
}
