//! What the backend says: where each of its messages goes.

use core::time::Duration;

use super::{
    Phase, Session,
    requests::failure,
    stream::{STANDALONE, StreamKey, answered},
};
use crate::{
    Action, Actions, EndReason, Entry, FailureReason, Head, Initialized, Message, MessageKind,
    Notification, ProgressToken, Report, RequestId, StreamId, UnansweredReason,
    UndeliverableReason, UnrelatedRouting,
};

impl<M: Clone> Session<M> {
    /// Treats a message of the backend. Returns the stream on which it was recorded, if that
    /// goes on.
    pub(super) fn backend(
        &mut self,
        message: Message<M>,
        related: Option<&RequestId>,
        out: &mut Actions<M>,
    ) -> Option<StreamId> {
        let (stream, bearing) = match &message.head {
            Head::Response { id, initialized, .. } => {
                let answer = (id.clone(), Some(*initialized));
                return self.answer(answer, message, out);
            }
            Head::Error { id: Some(id) } => {
                let answer = (id.clone(), None);
                return self.answer(answer, message, out);
            }
            Head::Error { id: None } => {
                let reason = UndeliverableReason::UnknownRequest;
                out.push(Action::Report(Report::Undeliverable { id: None, reason }));
                return None;
            }
            Head::Request { id, .. } if !matches!(self.phase, Phase::Live) => {
                // No client can hear it yet, and the answer to `initialize` may wait for it.
                let reason = UnansweredReason::Undelivered;
                out.push(Action::FailServerRequest { id: id.clone(), reason });
                return None;
            }
            Head::Request { id, .. } => (
                self.route(related, self.config.unrelated_routing),
                MessageKind::Request(id.clone()),
            ),
            Head::Notification(Notification::Log) => {
                (self.route(related, self.config.unrelated_routing), MessageKind::Notification)
            }
            Head::Notification(Notification::Other) => {
                (self.route(related, UnrelatedRouting::Standalone), MessageKind::Notification)
            }
            Head::Notification(Notification::Progress { token }) => {
                let Some(stream) = self.in_progress(token) else {
                    let token = token.clone();
                    out.push(Action::Report(Report::UnknownProgressToken { token }));
                    return None;
                };
                (stream, MessageKind::Notification)
            }
            Head::Notification(Notification::Cancelled { request }) => {
                let stream = self.withdraw(request);
                (stream.unwrap_or(STANDALONE), MessageKind::Notification)
            }
        };
        let Message { body, bytes, .. } = message;
        self.record(stream, Entry::Message { body, bytes, bearing }, out);
        Some(self.streams[stream].id)
    }

    /// Closes the connection of a stream, which lives on.
    ///
    /// Specification: MCP 2025-11-25, Transports, "Sending Messages to the Server".
    pub(super) fn close_stream(
        &mut self,
        stream: StreamKey,
        retry: Option<Duration>,
        out: &mut Actions<M>,
    ) {
        if let Some(connection) = self.streams[stream].carrier {
            if let Some(retry) = retry.filter(|_| self.primes()) {
                self.prime_to_retry(stream, retry, out);
            }
            self.end(connection, EndReason::Requested, out);
            if stream == STANDALONE {
                self.end_shadows(out);
            }
            self.go_on_alone(stream, out);
        }
    }

    fn end_shadows(&mut self, out: &mut Actions<M>) {
        for shadow in core::mem::take(&mut self.connections.shadows) {
            self.end(shadow, EndReason::Requested, out);
        }
    }

    /// Treats the backend's answer to a request, `None` where it is an error.
    fn answer(
        &mut self,
        (id, initialized): (RequestId, Option<Initialized>),
        message: Message<M>,
        out: &mut Actions<M>,
    ) -> Option<StreamId> {
        if let Some(connection) = self.awaits_initialize(&id) {
            self.answer_initialize(connection, id, initialized, message, out);
            return None;
        }
        let Some((stream, token)) = self.resolve(&id, answered) else {
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
        if bytes > self.config.message_bytes_max {
            let report =
                Report::ResponseEvicted { stream: self.streams[stream].id, id: id.clone() };
            self.record(stream, failure(id, FailureReason::Evicted), out);
            out.push(Action::Report(report));
        } else {
            if let (Head::Response { creates_task: true, .. }, Some(token)) = (head, token) {
                self.requests.tasks.add(token, self.config.pending_requests_max);
            }
            let bearing = MessageKind::Response(id);
            self.record(stream, Entry::Message { body, bytes, bearing }, out);
        }
        if self.streams[stream].pending > 0 {
            return Some(self.streams[stream].id);
        }
        self.complete(stream, out);
        None
    }

    /// Notes that the backend cancelled a request of its own. Returns the stream
    /// on which to say so.
    fn withdraw(&mut self, id: &RequestId) -> Option<StreamKey> {
        let question = self.questions.find(id)?;
        let question = self.remove_question(question)?;
        self.streams.find(question.stream).filter(|key| self.streams[*key].is_open())
    }
}

impl<M> Session<M> {
    /// Returns the stream on which progress of a token is sent: that of its pending
    /// request, or the standalone one for a task, whose request was answered.
    ///
    /// Specification: MCP 2025-11-25, Utilities, "Progress".
    fn in_progress(&self, token: &ProgressToken) -> Option<StreamKey> {
        let pending = self.requests.tokens.get(token).copied();
        pending.or_else(|| self.requests.tasks.contains(token).then_some(STANDALONE))
    }

    /// Returns the stream of a message that belongs to `related`, if it says so.
    fn route(&self, related: Option<&RequestId>, unrelated: UnrelatedRouting) -> StreamKey {
        let stream = match (related, unrelated) {
            (Some(id), _) => self.requests.pending.get(id).copied(),
            (None, UnrelatedRouting::SoleRequest) => self.requests.sole(),
            (None, UnrelatedRouting::Standalone) => None,
        };
        stream.unwrap_or(STANDALONE)
    }
}
