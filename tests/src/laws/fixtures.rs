//! Fixtures for the tests of the laws.

use rejoin_core::{
    Action, ConnectionId, Event, EventId, Head, Initialized, Input, Instant, Message, Method,
    Notification, Overflow, Post, RequestId, StreamId,
};

use super::{ConnectionView, LogView, Position, Step, View};

/// An accepted input without an effect.
pub(super) fn step(input: Input<u64>) -> Step {
    Step { now: Instant::EPOCH, input, result: Ok(()), actions: Vec::new(), after: View::default() }
}

/// A log of the standalone stream with the last index `last`.
pub(super) fn log(last: u64) -> LogView {
    let stream = StreamId::Standalone;
    LogView { stream, last, missed: 0, events: 0, bytes: 0, in_flight: Vec::new(), newest: None }
}

/// A connection that is attached to the standalone stream after `index`.
pub(super) fn attached(connection: u64, index: u64) -> ConnectionView {
    ConnectionView {
        connection: ConnectionId(connection),
        stream: Some(StreamId::Standalone),
        cursor: Some(Position {
            next: index + 1,
            first_unacknowledged: index + 1,
            has_unacknowledged: false,
        }),
        next_logged: None,
        awaited_bytes: 0,
    }
}

/// A message.
pub(super) fn message(head: Head, body: u64) -> Message<u64> {
    Message { head, body, bytes: 0 }
}

/// A request.
pub(super) fn request(id: i64) -> Head {
    Head::Request { id: id.into(), method: Method::Other, progress_token: None }
}

/// A response.
pub(super) fn response(id: i64) -> Head {
    Head::Response { id: id.into(), initialized: Initialized::default(), creates_task: false }
}

/// A notification.
pub(super) fn notification() -> Head {
    Head::Notification(Notification::Other)
}

/// A message of the backend.
pub(super) fn backend(head: Head, body: u64) -> Input<u64> {
    Input::BackendMessage {
        message: message(head, body),
        related: None::<RequestId>,
        overflow: Overflow::Hold,
    }
}

/// A POST with one request.
pub(super) fn post(connection: u64, id: i64, body: u64) -> Input<u64> {
    Input::Post {
        connection: ConnectionId(connection),
        format: rejoin_core::AnswerFormat::Sse,
        post: Post::Single(message(request(id), body)),
    }
}

/// An event with an id.
pub(super) fn send(
    connection: u64,
    stream: StreamId,
    index: u64,
    event: Event<u64>,
) -> Action<u64> {
    Action::Send { connection: ConnectionId(connection), id: EventId::new(stream, index), event }
}

/// A report that the events from `first` to `last` are missing.
pub(super) fn gap(connection: u64, stream: StreamId, first: u64, last: u64) -> Action<u64> {
    send(connection, stream, last, Event::Gap { first })
}

/// A cursor that was sent the events from 1 to `sent`, the first `acknowledged` of which are
/// acknowledged.
pub(super) fn position(sent: u64, acknowledged: u64) -> Position {
    Position {
        next: sent + 1,
        first_unacknowledged: acknowledged + 1,
        has_unacknowledged: acknowledged < sent,
    }
}
