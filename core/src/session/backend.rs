//! Handling and routing of the backend's messages.

use core::time::Duration;

use super::{
    Phase, Session,
    requests::failure,
    stream::{STANDALONE, StreamKey},
};
use crate::{
    Action, Actions, Change, CloseReason, Entry, FailureReason, Head, Initialized, Message,
    MessageKind, Notification, ProgressToken, Rejection, Report, RequestId, RequestOutcome,
    StreamId, UnansweredReason, UndeliverableReason, UnrelatedRouting, log,
};

impl<C, S: Clone> Session<C, S> {
    /// Handles a message of the backend. Returns the stream on which it was recorded, unless
    /// that is now complete.
    pub(super) fn handle_backend_message(
        &mut self,
        message: Message<S>,
        related: Option<&RequestId>,
        out: &mut Actions<C, S>,
    ) -> Option<StreamId> {
        let kind = match &message.head {
            Head::Response { id, initialized, .. } => {
                let response = (id.clone(), Some(*initialized));
                return self.handle_backend_response(response, message, out);
            }
            Head::Error { id: Some(id) } => {
                let response = (id.clone(), None);
                return self.handle_backend_response(response, message, out);
            }
            Head::Error { id: None } => {
                let reason = UndeliverableReason::UnknownRequest;
                out.push(Action::Report(Report::Undeliverable { id: None, reason }));
                return None;
            }
            Head::Request { id, .. } if !matches!(self.phase, Phase::Live) => {
                // No stream can deliver it yet, and the response to `initialize` may depend on it.
                let reason = UnansweredReason::Undelivered;
                out.push(Action::FailServerRequest { id: id.clone(), reason });
                return None;
            }
            Head::Request { id, .. } => MessageKind::Request(id.clone()),
            Head::Notification(_) => MessageKind::Notification,
        };
        let Some(stream) = self.destination(&message, related) else {
            if let Head::Notification(Notification::Progress { token }) = message.head {
                out.push(Action::Report(Report::UnknownProgressToken { token }));
            }
            return None;
        };
        if let Head::Notification(Notification::Cancelled { request }) = &message.head
            && let Some(request) = self.server_requests.find(request)
        {
            self.end_server_request(request, false, out);
        }
        let Message { body, bytes, .. } = message;
        self.record(stream, Entry::Message { body, bytes, kind }, out);
        Some(self.streams[stream].id)
    }

    /// Closes the connection of an open stream, so that its client comes back after a delay, which
    /// it is sent at the index that was kept for it, or at the next one.
    ///
    /// Specification: MCP 2025-11-25, Transports, "Sending Messages to the Server".
    pub(super) fn disconnect(
        &mut self,
        stream: StreamKey,
        retry: Option<Duration>,
        retry_index: Option<u64>,
        out: &mut Actions<C, S>,
    ) {
        if let Some(connection) = self.streams[stream].attached() {
            if let Some(retry) = retry.filter(|_| self.uses_priming()) {
                self.send_retry((stream, connection), retry, retry_index, out);
            }
            if stream != STANDALONE && !self.connections[connection].can_resume {
                // It was deferred, and what its client was to get an event id with was evicted.
                return;
            }
            self.close_connection(connection, CloseReason::Requested, out);
            if stream == STANDALONE {
                self.close_shadows(out);
            }
            self.on_detached(stream, out);
        }
    }

    fn close_shadows(&mut self, out: &mut Actions<C, S>) {
        while let Some(&shadow) = self.connections.shadows().first() {
            self.close_connection(shadow, CloseReason::Requested, out);
        }
    }

    /// Handles the backend's response to a request; `initialized` is `None` for an error.
    fn handle_backend_response(
        &mut self,
        (id, initialized): (RequestId, Option<Initialized>),
        message: Message<S>,
        out: &mut Actions<C, S>,
    ) -> Option<StreamId> {
        if let Some(connection) = self.initialize_connection(&id) {
            self.complete_initialize(connection, id, initialized, message, out);
            return None;
        }
        let Some(stream) = self.requests.pending.get(&id) else {
            let reason = match self.requests.cancelled.find(&id) {
                Some(cancelled) => {
                    self.release_id(cancelled);
                    UndeliverableReason::CancelledRequest
                }
                None => UndeliverableReason::UnknownRequest,
            };
            out.push(Action::Report(Report::Undeliverable { id: Some(id), reason }));
            return None;
        };
        let Message { head, body, bytes } = message;
        let is_too_large = bytes > self.config.message_bytes_max;
        if is_too_large {
            self.record(stream, failure(id.clone(), FailureReason::Evicted), out);
            self.report_evicted(stream, id.clone(), out);
        } else {
            let kind = MessageKind::Response(id.clone());
            self.record(stream, Entry::Message { body, bytes, kind }, out);
        }
        let outcome = match head {
            _ if is_too_large => RequestOutcome::TooLarge,
            Head::Response { .. } => RequestOutcome::Result,
            Head::Error { .. } | Head::Request { .. } | Head::Notification(_) => {
                RequestOutcome::Error
            }
        };
        // Until now it was pending: other streams that are stuck because of it made room.
        let token = self.resolve(&id, outcome, out).and_then(|(_, token)| token);
        if let (Head::Response { creates_task: true, .. }, Some(token)) = (head, token)
            && !is_too_large
        {
            self.commit(|| Change::TaskCreated { token: token.clone() }, out);
            self.requests.tasks.add(token, self.config.pending_requests_max);
        }
        if self.streams[stream].pending_count() > 0 {
            return Some(self.streams[stream].id);
        }
        self.complete(stream, out);
        None
    }

    /// Checks that there is room for a message, if it will be recorded. Otherwise its sender is
    /// held.
    #[inline]
    pub(super) fn check_room(
        &mut self,
        message: &Message<S>,
        related: Option<&RequestId>,
        out: &mut Actions<C, S>,
    ) -> Result<(), Rejection> {
        let cost = log::cost(message.bytes);
        if self.fits(cost) { Ok(()) } else { self.wait_for_room(message, related, cost, out) }
    }

    #[cold]
    fn wait_for_room(
        &mut self,
        message: &Message<S>,
        related: Option<&RequestId>,
        cost: usize,
        out: &mut Actions<C, S>,
    ) -> Result<(), Rejection> {
        match self.destination(message, related) {
            Some(stream) if !self.has_room(cost) => {
                self.hold(stream, Some(cost), out);
                self.flush_deferred(out);
                Err(Rejection::Full)
            }
            Some(_) | None => Ok(()),
        }
    }
}

impl<C, S> Session<C, S> {
    /// Returns whether a message of the backend would be recorded if there were room for it. Any
    /// other message keeps nothing, except the response to `initialize`.
    #[must_use]
    pub fn would_record(&self, message: &Message<S>, related: Option<&RequestId>) -> bool {
        !matches!(self.phase, Phase::Closed(_))
            && self.check_backend_message(message).is_ok()
            && self.destination(message, related).is_some()
    }

    /// Returns the stream on which a message will be recorded; `None` if it will not be, or if a
    /// failure will replace it.
    fn destination(&self, message: &Message<S>, related: Option<&RequestId>) -> Option<StreamKey> {
        match &message.head {
            Head::Response { id, .. } | Head::Error { id: Some(id) } => {
                let pending = self.requests.pending.get(id);
                pending.filter(|_| message.bytes <= self.config.message_bytes_max)
            }
            Head::Error { id: None } => None,
            Head::Request { .. } if !matches!(self.phase, Phase::Live) => None,
            Head::Request { .. } | Head::Notification(Notification::Log) => {
                Some(self.route(related, self.config.unrelated_routing))
            }
            Head::Notification(Notification::Other) => {
                Some(self.route(related, UnrelatedRouting::Standalone))
            }
            Head::Notification(Notification::Progress { token }) => self.progress_stream(token),
            Head::Notification(Notification::Cancelled { request }) => {
                let request = self.server_requests.find(request);
                let stream = request.and_then(|request| self.server_requests.stream_of(request));
                let stream = stream.and_then(|stream| self.streams.find(stream));
                let open = stream.filter(|stream| self.streams[*stream].is_open());
                Some(open.unwrap_or(STANDALONE))
            }
        }
    }

    /// Returns the stream for progress with a token: that of its pending request, or the
    /// standalone stream for a task, whose request was answered.
    ///
    /// Specification: MCP 2025-11-25, Utilities, "Progress".
    fn progress_stream(&self, token: &ProgressToken) -> Option<StreamKey> {
        let pending = self.requests.tokens.get(token);
        pending.or_else(|| self.requests.tasks.contains(token).then_some(STANDALONE))
    }

    /// Returns the stream for a message: that of the request `related`, if given.
    fn route(&self, related: Option<&RequestId>, unrelated: UnrelatedRouting) -> StreamKey {
        let stream = match (related, unrelated) {
            (Some(id), _) => self.requests.pending.get(id),
            (None, UnrelatedRouting::SoleRequest) => self.requests.sole_pending(),
            (None, UnrelatedRouting::Standalone) => None,
        };
        stream.unwrap_or(STANDALONE)
    }
}
