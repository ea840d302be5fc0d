//! Snapshots: a restored session behaves like the stored one, and a damaged snapshot is
//! rejected or harmless.

#![expect(clippy::unwrap_used, reason = "test values are valid")]

mod contradictions;
mod draining;
mod in_flight;
mod limit;
mod record_faults;
mod record_format;
mod records;
mod seeds;

use std::time::Duration;

use rejoin_core::{
    Action, Actions, AnswerFormat, Config, ConnectionId, EventId, Head, Initialized, Input,
    Instant, Message, Method, Notification, Overflow, Post, ProgressToken, ProtocolVersion,
    RequestId, Session, SessionCloseReason, Snapshot, StreamId, ValidConfig,
};
use serde_json::Value;

fn at(milliseconds: u64) -> Instant {
    Instant::new(Duration::from_millis(milliseconds))
}

fn config() -> ValidConfig {
    let mut config = Config::default();
    config.window_events_max = 2;
    config.stream_events_max = 4;
    config.validate().unwrap()
}

fn message(head: Head) -> Message<u64> {
    Message { head, body: 1, bytes: 10 }
}

fn request(connection: u64, id: i64, token: Option<i64>) -> Input<u64> {
    let method = if id == 0 { Method::Initialize { version: None } } else { Method::Other };
    let progress_token = token.map(ProgressToken::from);
    let head = Head::Request { id: id.into(), method, progress_token };
    Input::Post {
        connection: ConnectionId(connection),
        format: AnswerFormat::Sse,
        post: Post::Single(message(head)),
    }
}

fn backend(head: Head) -> Input<u64> {
    Input::BackendMessage { message: message(head), related: None, overflow: Overflow::Hold }
}

fn response(id: i64) -> Input<u64> {
    let version = ProtocolVersion::new("2025-11-25");
    backend(Head::Response {
        id: id.into(),
        initialized: Initialized { version, logging: true },
        creates_task: false,
    })
}

fn server_request(id: &str) -> Input<u64> {
    let id = RequestId::try_from(id).unwrap();
    backend(Head::Request { id, method: Method::Other, progress_token: None })
}

fn log_message() -> Input<u64> {
    backend(Head::Notification(Notification::Log))
}

fn progress(token: i64) -> Input<u64> {
    backend(Head::Notification(Notification::Progress { token: token.into() }))
}

fn cancel(id: i64) -> Input<u64> {
    let head = Head::Notification(Notification::Cancelled { request: id.into() });
    Input::Post {
        connection: ConnectionId(u64::MAX),
        format: AnswerFormat::Sse,
        post: Post::Single(message(head)),
    }
}

fn get(connection: u64, last_event_id: Option<EventId>) -> Input<u64> {
    Input::Get { connection: ConnectionId(connection), last_event_id }
}

fn closed(connection: u64, through: Option<u64>) -> Input<u64> {
    Input::ConnectionClosed { connection: ConnectionId(connection), through }
}

/// Inputs that leave a session with streams in every stage, and requests in every state.
fn busy() -> Vec<Input<u64>> {
    vec![
        request(1, 0, None),
        response(0),
        closed(1, Some(1)),
        // Complete and acknowledged, complete and unacknowledged, cancelled, abandoned.
        request(2, 1, None),
        response(1),
        closed(2, Some(1)),
        request(3, 2, Some(2)),
        progress(2),
        closed(3, Some(0)),
        response(2),
        request(4, 3, None),
        cancel(3),
        request(5, 4, None),
        Input::Abandon { stream: StreamId::Request(3) },
        // Attached and behind, orphaned, complete and draining.
        request(6, 5, Some(5)),
        progress(5),
        progress(5),
        progress(5),
        progress(5),
        progress(5),
        progress(5),
        request(7, 6, None),
        closed(7, Some(0)),
        request(9, 7, None),
        response(7),
        // An attached GET with a shadow, and server requests.
        get(10, None),
        get(11, None),
        server_request("a"),
        server_request("b"),
        server_request("c"),
        // A resume: the attached one, which was sent something, becomes the newest shadow.
        get(0, Some(EventId::new(StreamId::Standalone, 1))),
    ]
}

fn run(inputs: Vec<Input<u64>>, config: &ValidConfig) -> Session<u64> {
    let mut session = Session::new(config.clone(), at(0));
    let mut out = Actions::<u64>::new();
    for (step, input) in inputs.into_iter().enumerate() {
        let result = session.handle(at(10 * step as u64), input.clone(), &mut out);
        assert!(result.is_ok(), "{input:?}: {result:?}");
    }
    session
}

/// Later inputs: every stream is resumed, every timer fires.
fn later_inputs() -> Vec<(u64, Input<u64>)> {
    let mut inputs = vec![(0, progress(5)), (1, response(6)), (2, get(50, None))];
    for stream in 0..9 {
        let id = EventId::new(StreamId::Request(stream), 0);
        inputs.push((3, get(60 + stream, Some(id))));
    }
    for (id, later) in (1..9).zip(10..) {
        inputs.push((later, request(70 + later, id, None)));
    }
    for later in [300, 5_000, 9_999, 10_000, 30_000, 61_000, 120_000, 700_000, 2_000_000] {
        inputs.push((later, Input::Tick));
    }
    inputs
}

fn finish(session: &mut Session<u64>, start: u64) -> Vec<String> {
    let mut lines = Vec::new();
    let mut out = Actions::<u64>::new();
    for (later, input) in later_inputs() {
        let result = session.handle(at(start + later), input, &mut out);
        lines.push(format!("{result:?} {:?}", out.iter().collect::<Vec<_>>()));
        let deadline = session.deadline().map(|deadline| deadline.since(at(start)));
        lines.push(format!("{deadline:?}"));
        out.clear();
    }
    lines
}

#[test]
fn restored_session_behaves_like_the_stored_one() {
    let config = config();
    let history = busy();
    for length in 0..=history.len() {
        let mut stored = run(history[..length].to_vec(), &config);
        let json = serde_json::to_string(&stored.snapshot()).unwrap();
        let snapshot: Snapshot<u64> = serde_json::from_str(&json).unwrap();
        assert_eq!(snapshot, stored.snapshot());

        let now = 10 * length.saturating_sub(1) as u64;
        let other_clock = 1_000_000_000;
        let mut expected = Actions::new();
        let connections: Vec<_> = stored.connections().collect();
        for connection in connections {
            let acknowledged =
                stored.cursor(connection).unwrap().first_unacknowledged().checked_sub(1);
            let input = Input::ConnectionClosed { connection, through: acknowledged };
            stored.handle(at(now), input, &mut expected).unwrap();
        }
        let mut out = Actions::<u64>::new();
        let mut restored =
            Session::restore(snapshot, config.clone(), at(other_clock), &mut out).unwrap();
        assert_eq!(out, expected, "after {length} inputs");
        assert_eq!(finish(&mut restored, other_clock), finish(&mut stored, now));
    }
}

#[test]
fn restored_shadow_is_not_primed_again() {
    let inputs = vec![
        request(1, 0, None),
        response(0),
        closed(1, Some(1)),
        get(10, None),
        Input::Acknowledged { connection: ConnectionId(10), through: 0 },
        // It becomes a shadow, and is promoted when this one is closed.
        get(2, Some(EventId::new(StreamId::Standalone, 0))),
    ];
    let stored = run(inputs, &config());
    let mut out = Actions::<u64>::new();
    Session::restore(stored.snapshot(), config(), at(0), &mut out).unwrap();
    assert!(out.is_empty(), "{out:?}");
}

#[test]
fn snapshot_of_another_format_is_rejected() {
    let mut json = serde_json::to_value(run(busy(), &config()).snapshot()).unwrap();
    *json.pointer_mut("/state/format").unwrap() = 1.into();
    let error = serde_json::from_value::<Snapshot<u64>>(json).unwrap_err();
    assert_eq!(error.to_string(), "unsupported snapshot format");
}

#[test]
fn restored_closed_session_stays_closed() {
    let mut session = run(busy(), &config());
    session.handle(at(1_000), Input::Delete, &mut Actions::new()).unwrap();
    let mut out = Actions::<u64>::new();
    let restored = Session::restore(session.snapshot(), config(), at(0), &mut out).unwrap();
    assert_eq!(restored.close_reason(), session.close_reason());
    assert!(out.is_empty());
}

#[test]
fn exhausted_counter_closes_the_session() {
    let stored = run(busy(), &config());
    for (counter, input) in [
        ("/state/next_stream", request(90, 9, None)),
        ("/state/sequence", log_message()),
        ("/logs/0/1/last", log_message()),
    ] {
        let mut json = serde_json::to_value(stored.snapshot()).unwrap();
        let last = if counter.ends_with("next_stream") { u64::MAX - 1 } else { u64::MAX - 2 };
        for (value, expected) in [(last - 1, None), (last, Some(SessionCloseReason::Exhausted))] {
            *json.pointer_mut(counter).unwrap() = value.into();
            let snapshot = serde_json::from_value(json.clone()).unwrap();
            let mut out = Actions::<u64>::new();
            let mut session = Session::restore(snapshot, config(), at(0), &mut out).unwrap();
            assert_eq!(session.handle(at(0), input.clone(), &mut out), Ok(()), "{counter}");
            assert_eq!(session.close_reason(), expected, "{counter}");
            let is_end = matches!(out.iter().last(), Some(Action::SessionClosed { .. }));
            assert_eq!(is_end, expected.is_some(), "{counter}");
        }
    }
}

#[test]
fn damaged_snapshot_is_rejected_or_harmless() {
    let stored = run(busy(), &config());
    let whole = serde_json::to_value(stored.snapshot()).unwrap();
    let mut pointers = Vec::new();
    collect_pointers(&whole, &mut String::new(), &mut pointers);
    let (mut rejected, mut accepted) = (0, 0);
    for pointer in &pointers {
        for damaged in damages(whole.pointer(pointer).unwrap()) {
            let mut json = whole.clone();
            *json.pointer_mut(pointer).unwrap() = damaged;
            let Ok(snapshot) = serde_json::from_value::<Snapshot<u64>>(json) else {
                rejected += 1;
                continue;
            };
            let mut out = Actions::<u64>::new();
            match Session::restore(snapshot, config(), at(5_000), &mut out) {
                Ok(mut session) => {
                    accepted += 1;
                    finish(&mut session, 5_000);
                }
                Err(_) => rejected += 1,
            }
        }
    }
    assert!(rejected > 100 && accepted > 100, "{rejected} rejected, {accepted} accepted");
}

fn collect_pointers(value: &Value, path: &mut String, pointers: &mut Vec<String>) {
    pointers.push(path.clone());
    let length = path.len();
    match value {
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                *path += "/";
                *path += &index.to_string();
                collect_pointers(item, path, pointers);
                path.truncate(length);
            }
        }
        Value::Object(members) => {
            for (name, member) in members {
                *path += "/";
                *path += name;
                collect_pointers(member, path, pointers);
                path.truncate(length);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn damages(value: &Value) -> Vec<Value> {
    match value {
        Value::Null => vec![0.into(), serde_json::json!({ "secs": 0, "nanos": 0 })],
        Value::Bool(value) => vec![(!value).into()],
        Value::Number(_) => {
            [0, 1, 2, 5, 7, 1_000, u64::MAX - 1, u64::MAX].map(Value::from).to_vec()
        }
        Value::String(_) => {
            ["Standalone", "Open", "Attached", "Shadow", "Draining", "a"].map(Value::from).to_vec()
        }
        Value::Array(items) => {
            let mut damaged = vec![Value::Array(Vec::new())];
            if let (Some(first), [.., _]) = (items.first(), items.as_slice()) {
                let twice = items.iter().chain([first]).cloned().collect();
                let fewer = items.iter().skip(1).cloned().collect();
                let reversed = items.iter().rev().cloned().collect();
                damaged.extend([Value::Array(twice), Value::Array(fewer), Value::Array(reversed)]);
            }
            damaged
        }
        Value::Object(_) => vec![Value::Null],
    }
}
