//! What the client says: POSTs, GETs and what they carry.

use super::{
    Phase, Session,
    connection::{Connection, ConnectionKey, Role, Subject},
    pace::Pace,
    stream::{Opening, Outcome, Remains, STANDALONE, Stage, Stream, StreamKey},
};
use crate::{
    Action, Actions, AnswerFormat, ConcurrentGet, ConnectionId, Cursor, EndReason, EventId, Head,
    Message, Notification, Post, Report, RequestId, StreamId, UndeliverableReason, queue::Queue,
};

impl<M: Clone> Session<M> {
    /// Gives the next stream number to a stream that will be opened later.
    pub(super) fn reserve(&mut self, connection: ConnectionId) {
        let due = self.now.due(self.config.timeouts().reservation);
        let Some(number) = self.next_number() else {
            return;
        };
        // The stream does not exist yet, and its key is not known before it does.
        let open = Stage::Open { orphan: None };
        let stream = self.add_stream(number, open, connection);
        let expiry = self.queues.enter(Queue::Reservation, stream.0, due);
        self.streams[stream].stage = Stage::Reserved { expiry };
    }

    pub(super) fn request(
        &mut self,
        connection: ConnectionId,
        reserved: Option<StreamKey>,
        format: AnswerFormat,
        post: Post<M>,
        out: &mut Actions<M>,
    ) {
        if matches!(self.phase, Phase::New) {
            if let Post::Single(Message { head: Head::Request { id, .. }, body, .. }) = post {
                self.initialize(connection, id, body, out);
            }
            return;
        }
        let Some(stream) = self.open(connection, reserved) else {
            return;
        };
        self.register(stream, post.messages());
        let is_batch = matches!(post, Post::Batch(_));
        let format = if is_batch { AnswerFormat::Sse } else { format };
        if let Some(carrier) = self.streams[stream].carrier {
            self.connections[carrier].format = format;
            if format == AnswerFormat::Sse && self.primes() {
                self.prime(stream, carrier, out);
            }
        }
        self.messages(post, out);
    }

    pub(super) fn messages(&mut self, post: Post<M>, out: &mut Actions<M>) {
        match post {
            Post::Single(message) => self.carry_out(message, out),
            Post::Batch(messages) => {
                for message in messages {
                    self.carry_out(message, out);
                }
            }
        }
    }

    pub(super) fn get(
        &mut self,
        connection: ConnectionId,
        last_event_id: Option<EventId>,
        out: &mut Actions<M>,
    ) {
        match last_event_id {
            None => self.listen(connection, out),
            Some(EventId { stream: StreamId::Standalone, index }) => {
                let connection = self.add_connection(connection, STANDALONE, index);
                self.connections[connection].can_resume = true;
                self.take_over(connection, out);
                self.note_taken(STANDALONE, index, out);
                self.carry(STANDALONE, connection, false, out);
            }
            Some(EventId { stream: StreamId::Request(number), index }) => {
                let stream = match self.streams.remains(number) {
                    Some(Remains::Stream(key)) => Some(key),
                    Some(Remains::Tombstone(_)) => {
                        let buried = StreamId::Request(number);
                        if let Some(old) = self.connections.draining_from_buried(buried) {
                            self.end(old, EndReason::Replaced, out);
                        }
                        self.exhume(number)
                    }
                    None => None,
                };
                if let Some(stream) = stream {
                    self.resume(stream, connection, index, out);
                }
            }
        }
    }

    /// Treats a GET without an id.
    fn listen(&mut self, connection: ConnectionId, out: &mut Actions<M>) {
        let index = self.streams[STANDALONE].taken;
        let connection = self.add_connection(connection, STANDALONE, index);
        let is_surplus = self.streams[STANDALONE].carrier.is_some();
        if is_surplus && self.config.concurrent_get != ConcurrentGet::TakeOver {
            self.add_shadow(connection, out);
        } else {
            self.take_over(connection, out);
            self.carry(STANDALONE, connection, self.primes(), out);
        }
    }

    fn resume(
        &mut self,
        stream: StreamKey,
        connection: ConnectionId,
        index: u64,
        out: &mut Actions<M>,
    ) {
        let Stream { carrier, drain, .. } = &mut self.streams[stream];
        for old in [carrier.take(), drain.take()].into_iter().flatten() {
            self.end(old, EndReason::Replaced, out);
        }
        self.wake(stream);
        self.note_taken(stream, index, out);
        let connection = self.add_connection(connection, stream, index);
        self.connections[connection].can_resume = true;
        self.carry(stream, connection, false, out);
    }

    /// Makes whatever carries the standalone stream a shadow. What it holds, or one that
    /// drains, is sent on the new connection only.
    ///
    /// Specification: MCP 2025-11-25, Transports, "Multiple Connections".
    fn take_over(&mut self, connection: ConnectionKey, out: &mut Actions<M>) {
        if let Some(drain) = self.streams[STANDALONE].drain.take() {
            self.discard(drain, out);
        }
        if let Some(old) = self.streams[STANDALONE].carrier.replace(connection) {
            self.discard(old, out);
            self.add_shadow(old, out);
        }
    }

    fn add_shadow(&mut self, connection: ConnectionKey, out: &mut Actions<M>) {
        self.connections[connection].role = Role::Shadows;
        self.connections.shadows.push(connection);
        while self.connections.shadows.len() > self.config.shadows_max {
            let oldest = self.connections.shadows.remove(0);
            self.end(oldest, EndReason::TooManyShadows, out);
        }
    }

    /// Opens the stream of a POST: the reserved one of the connection, or a new one.
    fn open(&mut self, connection: ConnectionId, reserved: Option<StreamKey>) -> Option<StreamKey> {
        let stream = if let Some(stream) = reserved {
            if let Stage::Reserved { expiry } = self.streams[stream].stage {
                self.queues.leave(expiry);
            }
            self.streams[stream].stage = Stage::Open { orphan: None };
            stream
        } else {
            let number = self.next_number()?;
            self.add_stream(number, Stage::Open { orphan: None }, connection)
        };
        self.next_sequence();
        Some(stream)
    }

    fn next_number(&mut self) -> Option<u64> {
        let number = self.streams.next;
        if number == u64::MAX {
            self.exhausted = true;
            return None;
        }
        self.streams.next += 1;
        Some(number)
    }

    fn add_stream(&mut self, number: u64, stage: Stage, connection: ConnectionId) -> StreamKey {
        let log = self.streams.new_log();
        let stream = Stream::new(StreamId::Request(number), stage, log);
        let stream = self.streams.add(number, stream);
        let connection = self.add_connection(connection, stream, 0);
        self.streams[stream].carrier = Some(connection);
        stream
    }

    fn add_connection(&mut self, id: ConnectionId, stream: StreamKey, index: u64) -> ConnectionKey {
        let subject = Subject::Stream(stream);
        let cursor = Cursor::after(index);
        let pace = Pace::unknown(self.config.timeouts().stall);
        self.connections.add(Connection::new(id, subject, Role::Carries, cursor, pace))
    }

    /// Notes the requests that a stream opens with.
    fn register(&mut self, stream: StreamKey, messages: &[Message<M>]) {
        for message in messages {
            if let Head::Request { id, progress_token, .. } = &message.head {
                self.requests.pending.insert(id.clone(), stream);
                if let Some(token) = progress_token {
                    self.requests.tasks.remove(token);
                    self.requests.tokens.insert(token.clone(), stream);
                }
                self.streams[stream].pending += 1;
                self.streams[stream].requests.push(Opening {
                    id: id.clone(),
                    token: progress_token.clone(),
                    outcome: Outcome::Pending,
                });
            }
        }
    }

    /// Treats one message of a POST.
    fn carry_out(&mut self, message: Message<M>, out: &mut Actions<M>) {
        let Message { head, body, .. } = message;
        match head {
            Head::Notification(Notification::Cancelled { request }) => {
                out.push(Action::Forward { message: body });
                self.cancel_request(&request, out);
            }
            Head::Request { id, .. } => {
                // It may have been cancelled by a message before it in the batch.
                if self.requests.pending.get(&id).is_some() {
                    out.push(Action::Forward { message: body });
                }
            }
            Head::Notification(
                Notification::Progress { .. } | Notification::Log | Notification::Other,
            ) => out.push(Action::Forward { message: body }),
            Head::Response { id, .. } => self.answer_question(Some(id), body, out),
            Head::Error { id } => self.answer_question(id, body, out),
        }
    }

    /// Treats the client's cancellation of one of its requests.
    ///
    /// Specification: MCP 2025-11-25, Utilities, "Cancellation".
    fn cancel_request(&mut self, id: &RequestId, out: &mut Actions<M>) {
        let Some((stream, _)) = self.resolve(id, |_| Outcome::Cancelled) else {
            return;
        };
        self.reserve_id(id.clone());
        if self.streams[stream].pending > 0 {
            return;
        }
        if self.streams[stream].has_answer() {
            self.complete(stream, out);
        } else {
            self.cancel(stream, EndReason::Cancelled, out);
        }
    }

    /// Treats the client's answer to a request of the backend.
    fn answer_question(&mut self, id: Option<RequestId>, body: M, out: &mut Actions<M>) {
        let question = id.as_ref().and_then(|id| self.questions.find(id));
        if let Some(question) = question {
            self.remove_question(question);
            out.push(Action::Forward { message: body });
        } else {
            let reason = UndeliverableReason::UnknownServerRequest;
            out.push(Action::Report(Report::Undeliverable { id, reason }));
        }
    }
}
