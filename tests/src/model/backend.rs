//! Section "Messages of the backend".

use rejoin_core::{
    Action, BackendFault, EVENT_OVERHEAD_BYTES, FailureReason, Head, Message, Notification,
    Rejection, Report, RequestId, StreamId, UnansweredReason, UndeliverableReason,
    UnrelatedRouting,
};

use super::{
    Model,
    state::Stage,
    stream::{Entry, Kind, Phase, Status},
};

impl Model {
    pub(super) fn check_backend(&self, message: &Message<u64>) -> Result<(), Rejection> {
        let max = self.config.message_bytes_max;
        let is_response = matches!(message.head, Head::Response { .. } | Head::Error { .. });
        if message.bytes > max && !is_response {
            return Err(BackendFault::MessageTooLarge { max }.into());
        }
        if let Head::Request { id, .. } = &message.head {
            if self.server_request(id).is_some() {
                return Err(BackendFault::RequestIdInUse(id.clone()).into());
            }
            let max = self.config.server_requests_max;
            if self.server_requests.len() >= max {
                return Err(BackendFault::TooManyRequests { max }.into());
            }
        }
        Ok(())
    }

    /// Handles a message of the backend. Returns the stream that it was recorded on.
    pub(super) fn backend(
        &mut self,
        message: &Message<u64>,
        related: Option<&RequestId>,
    ) -> Option<StreamId> {
        let entry = Entry::Message(message.body);
        let cost = message.bytes.saturating_add(EVENT_OVERHEAD_BYTES);
        match &message.head {
            Head::Response { id, .. } => self.answer_request(Some(id), message, cost),
            Head::Error { id } => self.answer_request(id.as_ref(), message, cost),
            Head::Notification(Notification::Progress { token }) => {
                let of_task = || self.tasks.contains(token).then_some(StreamId::Standalone);
                let Some(stream) = self.stream_of_token(token).or_else(of_task) else {
                    let token = token.clone();
                    self.emit(Action::Report(Report::UnknownProgressToken { token }));
                    return None;
                };
                self.record(stream, Kind::Notification, entry, cost);
                Some(stream)
            }
            Head::Notification(Notification::Cancelled { request }) => {
                let stream = self.stream_of_cancellation(request);
                self.remove_server_request(request);
                self.record(stream, Kind::Notification, entry, cost);
                Some(stream)
            }
            Head::Notification(Notification::Log) => {
                let stream = self.stream_related_to(related, true);
                self.record(stream, Kind::Notification, entry, cost);
                Some(stream)
            }
            Head::Notification(Notification::Other) => {
                let stream = self.stream_related_to(related, false);
                self.record(stream, Kind::Notification, entry, cost);
                Some(stream)
            }
            Head::Request { id, .. } if !matches!(self.stage, Stage::Initialized(_)) => {
                self.fail_server_request(id.clone(), UnansweredReason::Undelivered);
                None
            }
            Head::Request { id, .. } => {
                let stream = self.stream_related_to(related, true);
                self.record(stream, Kind::Request(id.clone()), entry, cost);
                Some(stream)
            }
        }
    }

    fn answer_request(
        &mut self,
        id: Option<&RequestId>,
        message: &Message<u64>,
        cost: usize,
    ) -> Option<StreamId> {
        let reason = match id {
            Some(id) if self.is_unanswered_initialize(id) => {
                self.answer_initialize(id, message);
                return None;
            }
            Some(id) if self.is_id_reserved(id) => {
                self.free_id(id);
                UndeliverableReason::CancelledRequest
            }
            Some(id) => {
                if let Some(stream) = self.stream_of(id) {
                    self.streams[stream].set_status(id, Status::Answered);
                    if message.bytes > self.config.message_bytes_max {
                        let entry = Entry::Failure(FailureReason::Evicted);
                        self.record(stream, Kind::Response(id.clone()), entry, 0);
                        self.emit(Action::Report(Report::ResponseEvicted {
                            stream,
                            id: id.clone(),
                        }));
                    } else {
                        self.note_task(stream, id, &message.head);
                        let entry = Entry::Message(message.body);
                        self.record(stream, Kind::Response(id.clone()), entry, cost);
                    }
                    self.complete_if_answered(stream);
                    return Some(stream);
                }
                UndeliverableReason::UnknownRequest
            }
            None => UndeliverableReason::UnknownRequest,
        };
        self.emit(Action::Report(Report::Undeliverable { id: id.cloned(), reason }));
        None
    }

    /// Keeps the progress token of a request whose response creates a task.
    fn note_task(&mut self, stream: StreamId, id: &RequestId, head: &Head) {
        let mut requests = self.streams[stream].requests.iter();
        let token = requests.find(|request| request.id == *id).and_then(|it| it.token.clone());
        if let (Head::Response { creates_task: true, .. }, Some(token)) = (head, token) {
            self.tasks.push(token);
            let excess = self.tasks.len().saturating_sub(self.config.pending_requests_max);
            self.tasks.drain(..excess);
        }
    }

    /// Returns the stream that the cancellation of a server request is recorded on.
    fn stream_of_cancellation(&self, request: &RequestId) -> StreamId {
        let stream = self.server_request(request).map(|request| request.stream);
        let open = stream
            .and_then(|stream| self.streams.get(stream))
            .filter(|stream| matches!(stream.phase, Phase::Standalone | Phase::Open));
        open.map_or(StreamId::Standalone, |stream| stream.id)
    }

    /// Returns the stream that a server request or a notification is recorded on.
    fn stream_related_to(&self, related: Option<&RequestId>, follows_sole: bool) -> StreamId {
        let follows_sole =
            follows_sole && self.config.unrelated_routing == UnrelatedRouting::SoleRequest;
        let stream = match related {
            Some(id) => self.stream_of(id),
            None if follows_sole => self.sole_stream(),
            None => None,
        };
        stream.unwrap_or(StreamId::Standalone)
    }
}
