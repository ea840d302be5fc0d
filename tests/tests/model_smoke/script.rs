//! Transcripts: inputs with a time, and the actions that must follow.

use std::time::Duration;

use rejoin_core::{
    Action, Answer, AnswerFormat, CloseReason, Config, ConnectionId, CutReason, Event, EventId,
    Failure, FailureReason, Head, Initialized, Input, Instant, Message, Method, Notification,
    Overflow, Post, ProgressToken, ProtocolVersion, Rejection, RequestId, SessionCloseReason,
    StreamId, UnansweredReason,
};
pub(crate) use rejoin_tests::config;
use rejoin_tests::model::Model;

pub(crate) const STANDALONE: StreamId = StreamId::Standalone;
pub(crate) const FIRST: StreamId = StreamId::Request(0);
pub(crate) const SECOND: StreamId = StreamId::Request(1);
/// The cost of an event with a message.
pub(crate) const COST: usize = 228;

/// A model, and the current time.
pub(crate) struct Script {
    pub(crate) model: Model,
    now: Instant,
}

impl Script {
    pub(crate) fn new(config: Config) -> Self {
        let now = Instant::new(Duration::from_secs(1_000));
        Self { model: Model::new(config, now), now }
    }

    /// Returns a session of the newest revision, initialized on connection 0, which is closed.
    pub(crate) fn initialized(config: Config) -> Self {
        let mut script = Self::new(config);
        script.expect(initialize(0, 1), [forward(1)]);
        let sent = respond(0, Answer::Message(2));
        script.expect(initialized("2025-11-25"), [sent, close(0, CloseReason::Complete)]);
        script.expect(closed(0, Some(1)), []);
        script
    }

    pub(crate) fn wait(&mut self, millis: u64) {
        self.now = self.now.saturating_add(Duration::from_millis(millis));
    }

    /// Applies an input, and expects these actions.
    #[track_caller]
    pub(crate) fn expect<const N: usize>(&mut self, input: Input<u64>, actions: [Action<u64>; N]) {
        let (result, out) = self.model.handle(self.now, input);
        assert_eq!(result, Ok(()));
        assert_eq!(out, Vec::from(actions));
    }

    /// Applies an input, and expects a rejection without an action.
    #[track_caller]
    pub(crate) fn expect_rejection(&mut self, input: Input<u64>, rejection: impl Into<Rejection>) {
        let (result, out) = self.model.handle(self.now, input);
        assert_eq!(result, Err(rejection.into()));
        assert_eq!(out, []);
    }

    /// Applies a message of the backend, and expects that it is rejected as `Full`, and these
    /// actions.
    #[track_caller]
    pub(crate) fn expect_full<const N: usize>(
        &mut self,
        input: Input<u64>,
        actions: [Action<u64>; N],
    ) {
        let (result, out) = self.model.handle(self.now, input);
        assert_eq!(result, Err(Rejection::Full));
        assert_eq!(out, Vec::from(actions));
    }

    /// Expects the next deadline in `millis` milliseconds.
    #[track_caller]
    pub(crate) fn expect_deadline_in(&self, millis: u64) {
        let due = self.model.deadline().map(|due| due.since(self.now));
        assert_eq!(due, Some(Duration::from_millis(millis)));
    }
}

fn message(head: Head, body: u64) -> Message<u64> {
    Message { head, body, bytes: 36 }
}

pub(crate) fn request_head(id: i64) -> Head {
    let progress_token = Some(ProgressToken::from(id));
    Head::Request { id: RequestId::from(id), method: Method::Other, progress_token }
}

pub(crate) fn initialize(connection: u64, body: u64) -> Input<u64> {
    let method = Method::Initialize { version: None };
    let head = Head::Request { id: RequestId::from(0), method, progress_token: None };
    Input::Post {
        connection: ConnectionId(connection),
        format: AnswerFormat::Json,
        post: Post::Single(message(head, body)),
    }
}

pub(crate) fn initialized(version: &str) -> Input<u64> {
    let initialized = Initialized { version: ProtocolVersion::new(version), logging: false };
    backend(Head::Response { id: RequestId::from(0), initialized, creates_task: false }, 2, None)
}

pub(crate) fn request(connection: u64, id: i64, body: u64) -> Input<u64> {
    Input::Post {
        connection: ConnectionId(connection),
        format: AnswerFormat::Sse,
        post: Post::Single(message(request_head(id), body)),
    }
}

pub(crate) fn json_request(connection: u64, id: i64, body: u64) -> Input<u64> {
    Input::Post {
        connection: ConnectionId(connection),
        format: AnswerFormat::Json,
        post: Post::Single(message(request_head(id), body)),
    }
}

pub(crate) fn batch(connection: u64, heads: Vec<(Head, u64)>) -> Input<u64> {
    let messages = heads.into_iter().map(|(head, body)| message(head, body)).collect();
    Input::Post {
        connection: ConnectionId(connection),
        format: AnswerFormat::Sse,
        post: Post::Batch(messages),
    }
}

pub(crate) fn cancelled_head(id: i64) -> Head {
    Head::Notification(Notification::Cancelled { request: RequestId::from(id) })
}

pub(crate) fn from_client(head: Head, body: u64) -> Input<u64> {
    Input::Post {
        connection: ConnectionId(u64::MAX),
        format: AnswerFormat::Sse,
        post: Post::Single(message(head, body)),
    }
}

pub(crate) fn get(connection: u64) -> Input<u64> {
    Input::Get { connection: ConnectionId(connection), last_event_id: None }
}

pub(crate) fn resume(connection: u64, stream: StreamId, index: u64) -> Input<u64> {
    let last_event_id = Some(EventId::new(stream, index));
    Input::Get { connection: ConnectionId(connection), last_event_id }
}

pub(crate) fn acknowledged(connection: u64, through: u64) -> Input<u64> {
    Input::Acknowledged { connection: ConnectionId(connection), through }
}

pub(crate) fn closed(connection: u64, through: Option<u64>) -> Input<u64> {
    Input::ConnectionClosed { connection: ConnectionId(connection), through }
}

fn backend(head: Head, body: u64, related: Option<i64>) -> Input<u64> {
    let related = related.map(RequestId::from);
    Input::BackendMessage { message: message(head, body), related, overflow: Overflow::Hold }
}

pub(crate) fn response_head(id: i64) -> Head {
    Head::Response {
        id: RequestId::from(id),
        initialized: Initialized::default(),
        creates_task: false,
    }
}

/// A response of the backend.
pub(crate) fn response(id: i64, body: u64) -> Input<u64> {
    backend(response_head(id), body, None)
}

/// Turns a message of the backend into one of a sender that cannot wait.
pub(crate) fn without_waiting(mut input: Input<u64>) -> Input<u64> {
    if let Input::BackendMessage { overflow, .. } = &mut input {
        *overflow = Overflow::Evict;
    }
    input
}

/// A notification of the backend.
pub(crate) fn notify(body: u64, related: Option<i64>) -> Input<u64> {
    backend(Head::Notification(Notification::Other), body, related)
}

pub(crate) fn progress(token: i64, body: u64) -> Input<u64> {
    let token = ProgressToken::from(token);
    backend(Head::Notification(Notification::Progress { token }), body, None)
}

/// A server request.
pub(crate) fn server_request(id: i64, body: u64, related: Option<i64>) -> Input<u64> {
    backend(request_head(id), body, related)
}

pub(crate) fn disconnect(stream: StreamId, retry: Option<u64>) -> Input<u64> {
    Input::Disconnect { stream, retry: retry.map(Duration::from_millis) }
}

pub(crate) fn forward(body: u64) -> Action<u64> {
    Action::Forward { message: body }
}

fn send_event(connection: u64, stream: StreamId, index: u64, event: Event<u64>) -> Action<u64> {
    let id = EventId::new(stream, index);
    Action::Send { connection: ConnectionId(connection), id, event }
}

pub(crate) fn send(connection: u64, stream: StreamId, index: u64, body: u64) -> Action<u64> {
    send_event(connection, stream, index, Event::Message(body))
}

pub(crate) fn send_failure(
    connection: u64,
    stream: StreamId,
    index: u64,
    id: i64,
    reason: FailureReason,
) -> Action<u64> {
    send_event(connection, stream, index, failure(id, reason))
}

pub(crate) fn failure(id: i64, reason: FailureReason) -> Event<u64> {
    Event::Failure(Failure { id: RequestId::from(id), reason })
}

pub(crate) fn prime(connection: u64, stream: StreamId, index: u64) -> Action<u64> {
    send_event(connection, stream, index, Event::Priming { retry: None })
}

pub(crate) fn prime_retry(connection: u64, stream: StreamId, index: u64, ms: u64) -> Action<u64> {
    let retry = Some(Duration::from_millis(ms));
    send_event(connection, stream, index, Event::Priming { retry })
}

pub(crate) fn gap(connection: u64, stream: StreamId, from: u64, through: u64) -> Action<u64> {
    send_event(connection, stream, through, Event::Gap { first: from })
}

pub(crate) fn failed_answer(id: i64, reason: FailureReason) -> Answer<u64> {
    Answer::Failure(Failure { id: RequestId::from(id), reason })
}

/// The whole answer to a POST.
pub(crate) fn respond(connection: u64, answer: Answer<u64>) -> Action<u64> {
    Action::Respond { connection: ConnectionId(connection), answer }
}

pub(crate) fn discard(connection: u64) -> Action<u64> {
    Action::Discard { connection: ConnectionId(connection) }
}

/// The end of a session with these pending requests.
pub(crate) fn session_closed(reason: SessionCloseReason, pending: &[i64]) -> Action<u64> {
    let pending_requests = pending.iter().map(|id| RequestId::from(*id)).collect();
    Action::SessionClosed { reason, pending_requests, server_requests: Vec::new() }
}

pub(crate) fn hold(stream: StreamId) -> Action<u64> {
    Action::Hold { stream }
}

pub(crate) fn release(stream: StreamId) -> Action<u64> {
    Action::Release { stream }
}

pub(crate) fn cut(connection: u64, reason: CutReason) -> Action<u64> {
    Action::Cut { connection: ConnectionId(connection), reason }
}

pub(crate) fn close(connection: u64, reason: CloseReason) -> Action<u64> {
    Action::Close { connection: ConnectionId(connection), reason }
}

pub(crate) fn fail(id: i64, reason: UnansweredReason) -> Action<u64> {
    Action::FailServerRequest { id: RequestId::from(id), reason }
}
