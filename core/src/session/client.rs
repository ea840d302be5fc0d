//! Handling of the client's POSTs and GETs, and their messages.

use super::{
    Session,
    check::GetEffect,
    connection::{Connection, ConnectionKey, Role},
    stall_estimator::StallEstimator,
    stream::{Outcome, STANDALONE, Stage, Stream, StreamKey, StreamRequest},
};
use crate::{
    Action, Actions, AnswerFormat, Change, CloseReason, ConcurrentGet, ConnectionId, Cursor, Head,
    Message, Notification, Post, Report, RequestId, RequestOutcome, StreamId, UndeliverableReason,
};

impl<C, S: Clone> Session<C, S> {
    /// Handles a POST that opens a stream.
    pub(super) fn handle_requests(
        &mut self,
        connection: ConnectionId,
        format: AnswerFormat,
        post: Post<C>,
        out: &mut Actions<C, S>,
    ) {
        let (stream, connection) = self.open_stream(connection);
        self.register_requests(stream, post.messages());
        let awaits_json = format == AnswerFormat::Json && matches!(post, Post::Single(_));
        self.connections[connection].awaits_json = awaits_json;
        let primes = !awaits_json && self.uses_priming();
        if self.commits.is_some() {
            self.commit_opening(stream, primes, out);
        } else if primes {
            self.send_priming(stream, connection, out);
        }
        self.handle_messages(post, out);
    }

    pub(super) fn handle_messages(&mut self, post: Post<C>, out: &mut Actions<C, S>) {
        match post {
            Post::Single(Message { head: Head::Request { .. }, body, .. }) => {
                out.push(Action::Forward { message: body });
            }
            Post::Single(message) => self.handle_message(message, out),
            Post::Batch(messages) => {
                for message in messages {
                    self.handle_message(message, out);
                }
            }
        }
    }

    pub(super) fn handle_get(
        &mut self,
        connection: ConnectionId,
        effect: GetEffect,
        out: &mut Actions<C, S>,
    ) {
        match effect {
            GetEffect::Attaches => self.attach_or_shadow(connection, out),
            GetEffect::Resumes { stream: STANDALONE, index } => {
                let connection = self.add_connection(connection, STANDALONE, index);
                self.connections[connection].can_resume = true;
                self.take_over(connection, out);
                self.acknowledge_stream(STANDALONE, index, out);
                self.attach(STANDALONE, connection, false, out);
            }
            GetEffect::Resumes { stream, index } => self.resume(stream, connection, index, out),
            GetEffect::Revives { number, index } => {
                let removed = StreamId::Request(number);
                if let Some(old) = self.connections.draining_from_removed(removed) {
                    self.cut_replaced(old, out);
                }
                let stream = self.revive(number);
                self.resume(stream, connection, index, out);
            }
        }
    }

    /// Attaches a connection to the standalone stream, or adds it as a shadow.
    fn attach_or_shadow(&mut self, connection: ConnectionId, out: &mut Actions<C, S>) {
        let index = self.streams[STANDALONE].acknowledged;
        let connection = self.add_connection(connection, STANDALONE, index);
        let is_concurrent = self.streams[STANDALONE].attached().is_some();
        if is_concurrent && self.config.concurrent_get != ConcurrentGet::TakeOver {
            self.add_shadow(connection, out);
        } else {
            self.take_over(connection, out);
            self.attach(STANDALONE, connection, self.uses_priming(), out);
        }
    }

    fn resume(
        &mut self,
        stream: StreamKey,
        connection: ConnectionId,
        index: u64,
        out: &mut Actions<C, S>,
    ) {
        let resumed = &self.streams[stream];
        let (attached, draining) = (resumed.attached(), resumed.draining());
        if let Some(attached) = attached {
            self.cut_replaced(attached, out);
        }
        if let Some(draining) = draining {
            self.cut_replaced(draining, out);
        }
        self.unretain(stream);
        self.acknowledge_stream(stream, index, out);
        let connection = self.add_connection(connection, stream, index);
        self.connections[connection].can_resume = true;
        self.attach(stream, connection, false, out);
    }

    /// Replaces the attached connection of the standalone stream, which becomes a shadow. Its
    /// unacknowledged events, and those of a draining connection, are discarded there, to be
    /// sent on the new one.
    ///
    /// Specification: MCP 2025-11-25, Transports, "Multiple Connections".
    fn take_over(&mut self, connection: ConnectionKey, out: &mut Actions<C, S>) {
        if let Some(draining) = self.streams[STANDALONE].take_draining() {
            self.discard(draining, out);
        }
        if let Some(old) = self.streams[STANDALONE].attach(connection) {
            self.discard(old, out);
            self.add_shadow(old, out);
        }
    }

    fn add_shadow(&mut self, connection: ConnectionKey, out: &mut Actions<C, S>) {
        self.connections.add_shadow(connection);
        while self.connections.shadows().len() > self.config.shadows_max
            && let Some(&oldest) = self.connections.shadows().first()
        {
            self.close_connection(oldest, CloseReason::TooManyShadows, out);
        }
    }

    /// Opens the stream of a POST, with a new connection attached.
    fn open_stream(&mut self, id: ConnectionId) -> (StreamKey, ConnectionKey) {
        let number = self.streams.allocate_number();
        self.exhausted |= self.streams.next_number() == u64::MAX;
        let log = self.streams.new_log();
        let stage = Stage::Open { orphan_timer: None };
        let stream = Stream::new(StreamId::Request(number), stage, log);
        let stream = self.streams.add(number, stream);
        let connection = self.add_connection(id, stream, 0);
        self.streams[stream].attach(connection);
        self.next_sequence();
        (stream, connection)
    }

    fn add_connection(&mut self, id: ConnectionId, stream: StreamKey, index: u64) -> ConnectionKey {
        let role = Role::Attached(stream);
        let cursor = Cursor::after(index);
        let estimator = StallEstimator::new(self.config.timeouts().stall);
        self.connections.add(Connection::new(id, role, cursor, estimator))
    }

    /// Registers the requests that open a stream as pending.
    fn register_requests(&mut self, stream: StreamKey, messages: &[Message<C>]) {
        for message in messages {
            if let Head::Request { id, progress_token, .. } = &message.head {
                self.requests.pending.insert(id.clone(), stream);
                if let Some(token) = progress_token {
                    self.requests.tasks.remove(token);
                    self.requests.tokens.insert(token.clone(), stream);
                }
                self.streams[stream].add_request(StreamRequest {
                    id: id.clone(),
                    token: progress_token.clone(),
                    outcome: Outcome::Pending,
                });
            }
        }
    }

    /// Handles one message of a POST.
    fn handle_message(&mut self, message: Message<C>, out: &mut Actions<C, S>) {
        let Message { head, body, .. } = message;
        match head {
            Head::Notification(Notification::Cancelled { request }) => {
                out.push(Action::Forward { message: body });
                self.cancel_request(&request, out);
            }
            Head::Request { id, .. } => {
                // An earlier message of the batch may have cancelled it.
                if self.requests.pending.contains(&id) {
                    out.push(Action::Forward { message: body });
                }
            }
            Head::Notification(
                Notification::Progress { .. } | Notification::Log | Notification::Other,
            ) => out.push(Action::Forward { message: body }),
            Head::Response { id, .. } => self.handle_response(Some(id), body, out),
            Head::Error { id } => self.handle_response(id, body, out),
        }
    }

    /// Handles the cancellation of a request by the client.
    ///
    /// Specification: MCP 2025-11-25, Utilities, "Cancellation".
    fn cancel_request(&mut self, id: &RequestId, out: &mut Actions<C, S>) {
        let Some((stream, _)) = self.resolve(id, RequestOutcome::Cancelled, out) else {
            return;
        };
        self.reserve_id(id.clone());
        let has_pending = self.streams[stream].pending_count() > 0;
        if !has_pending && !self.streams[stream].has_response() {
            self.cancel_stream(stream, CloseReason::Cancelled, out);
            return;
        }
        self.commit(|| Change::RequestCancelled { id: id.clone() }, out);
        if !has_pending {
            self.complete(stream, out);
        }
    }

    /// Handles the client's response to a server request.
    fn handle_response(&mut self, id: Option<RequestId>, body: C, out: &mut Actions<C, S>) {
        let request = id.as_ref().and_then(|id| self.server_requests.find(id));
        if let Some(request) = request {
            self.end_server_request(request, false, out);
            out.push(Action::Forward { message: body });
        } else {
            let reason = UndeliverableReason::UnknownServerRequest;
            out.push(Action::Report(Report::Undeliverable { id, reason }));
        }
    }
}
