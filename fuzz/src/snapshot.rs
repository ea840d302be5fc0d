//! Snapshots, with or without records: any input is rejected, or restores a working session.

use std::time::Duration;

use rejoin_core::{
    Actions, AnswerFormat, Config, ConnectionId, EventId, Head, Initialized, Input, Instant,
    Message, Method, Notification, Overflow, Post, ProgressToken, Record, RequestId, Session,
    Snapshot, StreamId,
};

/// Parses `data` as a snapshot, or as an array of one and records, restores it, and applies inputs.
/// Returns whether it is valid.
///
/// # Panics
///
/// Panics if the restored session panics, is not empty once closed, or if its deadlines do
/// not advance.
#[must_use]
pub fn snapshot(data: &[u8]) -> bool {
    let Some((snapshot, records)) = parse(data) else {
        return false;
    };
    // Too small for all messages.
    let mut config = Config::default();
    config.window_events_max = 2;
    config.stream_events_max = 4;
    config.session_bytes_max = 2_000;
    config.commits = records.is_some();
    let Ok(config) = config.validate() else {
        return false;
    };
    let start = Instant::new(Duration::from_secs(1));
    let mut out = Actions::new();
    let restored = match records {
        Some(records) => Session::restore_with(snapshot, records, 1 << 32, config, start, &mut out),
        None => Session::restore(snapshot, config, start, &mut out),
    };
    let Ok(mut session) = restored else {
        return false;
    };
    for input in inputs() {
        out.clear();
        let _ = session.handle(start, input, &mut out);
    }
    let again = session.snapshot();
    assert_eq!(again, session.snapshot());
    run_deadlines(&mut session);
    let _ = session.handle(Instant::MAX, Input::Delete, &mut out);
    assert!(session.close_reason().is_some());
    assert_eq!(
        (session.kept_bytes(), session.pending_requests(), session.connections().count()),
        (0, 0, 0)
    );
    true
}

/// The records after a snapshot.
type Records = Vec<Record<u64>>;

/// Parses a snapshot, and the records after it, if it has some.
fn parse(data: &[u8]) -> Option<(Snapshot<u64>, Option<Records>)> {
    if let Ok(snapshot) = serde_json::from_slice(data) {
        return Some((snapshot, None));
    }
    let (snapshot, records) = serde_json::from_slice(data).ok()?;
    Some((snapshot, Some(records)))
}

/// Ticks at every deadline until there is none.
fn run_deadlines(session: &mut Session<u64>) {
    let mut out = Actions::new();
    while let Some(deadline) = session.deadline() {
        out.clear();
        let _ = session.handle(deadline, Input::Tick, &mut out);
        let next = session.deadline();
        assert!(next.is_none_or(|next| next > deadline), "{next:?} is not after {deadline:?}");
    }
}

/// Inputs of every kind, with ids that are likely to be in a snapshot.
fn inputs() -> Vec<Input<u64>> {
    let mut inputs = vec![get(100, None), get(101, None)];
    for number in 0_u64..10 {
        let id = number.cast_signed();
        let after = Some(EventId::new(StreamId::Request(number), number % 3));
        inputs.extend([
            get(110 + number, after),
            request(120 + number, id),
            backend(progress(id), Overflow::Hold),
            backend(progress(id), Overflow::Evict),
            backend(response(id), Overflow::Hold),
            Input::Committed { through: 5 * number },
            Input::Acknowledged { connection: ConnectionId(110 + number), through: number },
            Input::ConnectionClosed { connection: ConnectionId(120 + number), through: None },
            Input::Post {
                connection: ConnectionId(u64::MAX),
                format: AnswerFormat::Sse,
                post: Post::Single(message(cancelled(id + 1))),
            },
        ]);
    }
    inputs
}

fn get(connection: u64, last_event_id: Option<EventId>) -> Input<u64> {
    Input::Get { connection: ConnectionId(connection), last_event_id }
}

fn request(connection: u64, id: i64) -> Input<u64> {
    let method = Method::Other;
    let head = Head::Request { id: id.into(), method, progress_token: Some(id.into()) };
    Input::Post {
        connection: ConnectionId(connection),
        format: AnswerFormat::Sse,
        post: Post::Single(message(head)),
    }
}

fn backend(head: Head, overflow: Overflow) -> Input<u64> {
    Input::BackendMessage { message: message(head), related: None, overflow }
}

fn progress(token: i64) -> Head {
    Head::Notification(Notification::Progress { token: ProgressToken::from(token) })
}

fn cancelled(request: i64) -> Head {
    Head::Notification(Notification::Cancelled { request: RequestId::from(request) })
}

fn response(id: i64) -> Head {
    Head::Response { id: id.into(), initialized: Initialized::default(), creates_task: false }
}

fn message(head: Head) -> Message<u64> {
    Message { head, body: 1, bytes: 10 }
}
