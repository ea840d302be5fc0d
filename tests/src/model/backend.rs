//! Section "Messages of the backend".

use rejoin_core::{
    Action, BackendFault, Change, EVENT_OVERHEAD_BYTES, FailureReason, Head, Message, Notification,
    Overflow, Rejection, Report, RequestId, RequestOutcome, StreamId, UnansweredReason,
    UndeliverableReason, UnrelatedRouting,
};

use super::{
    Model,
    state::Stage,
    stream::{Entry, Kind, Phase, Status},
};

impl Model {
    pub(super) fn check_backend(
        &self,
        message: &Message<u64>,
        related: Option<&RequestId>,
        overflow: Overflow,
    ) -> Result<(), Rejection> {
        let max = self.config.message_bytes_max;
        if message.bytes > max && !is_response(message) {
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
        let is_recorded = message.bytes <= max && self.stream_for(message, related).is_some();
        if overflow == Overflow::Hold && is_recorded && !self.has_room(cost(message)) {
            return Err(Rejection::Full);
        }
        Ok(())
    }

    /// Returns the stream that a message of the backend is recorded on.
    pub(super) fn stream_for(
        &self,
        message: &Message<u64>,
        related: Option<&RequestId>,
    ) -> Option<StreamId> {
        match &message.head {
            Head::Response { id, .. } | Head::Error { id: Some(id) } => self.stream_of(id),
            Head::Error { id: None } => None,
            Head::Notification(Notification::Progress { token }) => {
                let of_task = || self.tasks.contains(token).then_some(StreamId::Standalone);
                self.stream_of_token(token).or_else(of_task)
            }
            Head::Notification(Notification::Cancelled { request }) => {
                Some(self.stream_of_cancellation(request))
            }
            Head::Notification(Notification::Log) => Some(self.stream_related_to(related, true)),
            Head::Notification(Notification::Other) => Some(self.stream_related_to(related, false)),
            Head::Request { .. } => {
                let is_initialized = matches!(self.stage, Stage::Initialized(_));
                is_initialized.then(|| self.stream_related_to(related, true))
            }
        }
    }

    /// Handles a message of the backend. Returns the stream that it was recorded on.
    pub(super) fn backend(
        &mut self,
        message: &Message<u64>,
        related: Option<&RequestId>,
        overflow: Overflow,
    ) -> Option<StreamId> {
        let Some(stream) = self.stream_for(message, related) else {
            self.drop_message(message);
            return None;
        };
        let kind = match &message.head {
            Head::Response { id, .. } | Head::Error { id: Some(id) } => {
                self.answer_request(stream, id, message, overflow);
                return Some(stream);
            }
            Head::Request { id, .. } => Kind::Request(id.clone()),
            Head::Notification(_) | Head::Error { id: None } => Kind::Notification,
        };
        if let Head::Notification(Notification::Cancelled { request }) = &message.head {
            self.end_server_request(request, false);
        }
        self.record(stream, kind, Entry::Message(message.body), cost(message), overflow);
        Some(stream)
    }

    fn answer_request(
        &mut self,
        stream: StreamId,
        id: &RequestId,
        message: &Message<u64>,
        overflow: Overflow,
    ) {
        let kind = Kind::Response(id.clone());
        let is_result = matches!(message.head, Head::Response { .. });
        let mut outcome = if is_result { RequestOutcome::Result } else { RequestOutcome::Error };
        if message.bytes > self.config.message_bytes_max {
            self.record(stream, kind, Entry::Failure(FailureReason::Evicted), 0, overflow);
            self.emit(Action::Report(Report::ResponseEvicted { stream, id: id.clone() }));
            outcome = RequestOutcome::TooLarge;
        } else {
            let entry = Entry::Message(message.body);
            self.record(stream, kind, entry, cost(message), overflow);
        }
        self.streams[stream].set_status(id, Status::Answered);
        self.report_ended(stream, id, outcome);
        if outcome == RequestOutcome::Result {
            self.note_task(stream, id, &message.head);
        }
        self.complete_if_answered(stream);
    }

    /// Handles a message of the backend that is not recorded on a stream.
    fn drop_message(&mut self, message: &Message<u64>) {
        match &message.head {
            Head::Response { id, .. } | Head::Error { id: Some(id) }
                if self.is_unanswered_initialize(id) =>
            {
                self.answer_initialize(id, message);
            }
            Head::Response { id, .. } => self.drop_response(Some(id)),
            Head::Error { id } => self.drop_response(id.as_ref()),
            Head::Request { id, .. } => {
                self.fail_server_request(id.clone(), UnansweredReason::Undelivered);
            }
            Head::Notification(Notification::Progress { token }) => {
                let token = token.clone();
                self.emit(Action::Report(Report::UnknownProgressToken { token }));
            }
            Head::Notification(_) => unreachable!("{message:?} is recorded"),
        }
    }

    fn drop_response(&mut self, id: Option<&RequestId>) {
        let reason = match id {
            Some(id) if self.is_id_reserved(id) => {
                self.free_id(id);
                UndeliverableReason::CancelledRequest
            }
            Some(_) | None => UndeliverableReason::UnknownRequest,
        };
        self.emit(Action::Report(Report::Undeliverable { id: id.cloned(), reason }));
    }

    /// Keeps the progress token of a request whose response creates a task.
    fn note_task(&mut self, stream: StreamId, id: &RequestId, head: &Head) {
        let mut requests = self.streams[stream].requests.iter();
        let token = requests.find(|request| request.id == *id).and_then(|it| it.token.clone());
        if let (Head::Response { creates_task: true, .. }, Some(token)) = (head, token) {
            self.commit(Change::TaskCreated { token: token.clone() });
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

fn is_response(message: &Message<u64>) -> bool {
    matches!(message.head, Head::Response { .. } | Head::Error { .. })
}

/// Returns what the event of a message costs.
pub(super) fn cost(message: &Message<u64>) -> usize {
    message.bytes.saturating_add(EVENT_OVERHEAD_BYTES)
}
