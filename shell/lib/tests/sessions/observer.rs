//! What an observer is told.

use std::{sync::Arc, time::Duration};

use rejoin::{ManagerConfig, Observer, SessionEvent, SessionHandle, SessionId};
use rejoin_core::{AnswerFormat, EventId, StreamId};

use crate::{
    recorder::Recorder,
    support::{BackendSession, Server, next, post},
};

async fn observed(config: ManagerConfig) -> (Arc<Recorder>, Server, SessionHandle, BackendSession) {
    let recorder = Recorder::new();
    let server = Server::built(config, |builder| builder.observer(Arc::clone(&recorder) as _));
    let session = server.initialized().await;
    let backend = server.backend().await;
    assert_eq!(
        recorder.take(),
        [
            "began 0 initialize ",
            "ConnectionClosed { connection: ConnectionId(0), reason: Complete }",
            "opened None",
            "ended 0 after 0ns"
        ]
    );
    (recorder, server, session, backend)
}

fn call(id: u64) -> String {
    format!(r#""id":{id},"method":"tools/call","params":{{"name":"add"}}"#)
}

async fn advance(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn each_request_begins_and_ends_with_its_outcome() {
    let (recorder, _server, session, mut backend) = observed(ManagerConfig::default()).await;
    for (response, end) in [
        (r#""id":1,"result":{"content":[]}"#, "ended 1 after 2s"),
        (r#""id":1,"result":{"isError":false}"#, "ended 1 after 2s"),
        (r#""id":1,"result":{"isError":true}"#, "ended 1 after 2s: tool_error"),
        (r#""id":1,"error":{"code":-32602,"message":"m"}"#, "ended 1 after 2s: -32602"),
    ] {
        let mut connection = session.request(post(&call(1)), AnswerFormat::Json).await.unwrap();
        let begun = recorder.take();
        assert!(begun[0].starts_with("began 1 tools/call add on "), "{begun:?}");
        advance(2).await;
        backend.send(response).await;
        assert!(next(&mut connection).await.is_some());
        assert!(next(&mut connection).await.is_none());
        let events = recorder.take();
        assert_eq!(events.iter().filter(|event| event.starts_with("ended")).count(), 1);
        assert!(events.iter().any(|event| event == end), "{response}: {events:?}");
    }
}

/// An observer that counts requests, and does not trace them.
struct Counter(Arc<Recorder>);

impl Observer for Counter {
    fn on_session_event(&self, session: SessionId, event: &SessionEvent) {
        self.0.on_session_event(session, event);
    }

    fn traces_requests(&self) -> bool {
        false
    }
}

#[tokio::test(start_paused = true)]
async fn an_observer_that_only_counts_is_told_of_ends() {
    let recorder = Recorder::new();
    let counter = Arc::new(Counter(Arc::clone(&recorder)));
    let server = Server::built(ManagerConfig::default(), |builder| builder.observer(counter));
    let session = server.initialized().await;
    let mut backend = server.backend().await;
    let mut connections = Vec::new();
    for id in [2, 1] {
        let request = session.request(post(&call(id)), AnswerFormat::Json);
        connections.push(request.await.unwrap());
    }
    for id in [1, 2] {
        backend.send(&format!(r#""id":{id},"result":{{}}"#)).await;
    }
    let events = ["opened None", "ended 0 after 0ns", "ended 1 after 0ns", "ended 2 after 0ns"];
    assert_eq!(recorder.take(), events);
}

#[tokio::test(start_paused = true)]
async fn cancelled_timed_out_and_interrupted_requests_end_once() {
    let mut config = ManagerConfig::default();
    config.request_timeout = Some(Duration::from_secs(9));
    let (recorder, _server, session, _backend) = observed(config).await;
    let mut connections = Vec::new();
    for id in 1..=3 {
        let request = session.request(post(&call(id)), AnswerFormat::Sse).await;
        connections.push(request.unwrap());
        advance(4).await;
    }
    let cancelled = r#""method":"notifications/cancelled","params":{"requestId":2}"#;
    session.notify(post(cancelled)).await.unwrap();
    session.delete().unwrap();
    let events = recorder.take();
    let ended: Vec<_> = events.iter().filter(|event| event.starts_with("ended")).collect();
    assert_eq!(
        ended,
        [
            "ended 1 after 9s: timeout",
            "ended 2 after 8s: cancelled",
            "ended 3 after 4s: session_closed"
        ]
    );
    assert_eq!(events.last().unwrap(), "closed Deleted true after 12s");
}

#[tokio::test(start_paused = true)]
async fn a_rejected_request_does_not_begin() {
    let (recorder, _server, session, mut backend) = observed(ManagerConfig::default()).await;
    let first = session.request(post(&call(1)), AnswerFormat::Sse).await.unwrap();
    assert!(session.request(post(&call(1)), AnswerFormat::Sse).await.is_err());
    assert_eq!(recorder.take(), ["began 1 tools/call add on 0"]);
    backend.send(r#""id":1,"result":{}"#).await;
    assert_eq!(recorder.take()[0], "ended 1 after 0ns");
    drop(first);
}

#[tokio::test(start_paused = true)]
async fn requests_that_begin_while_initialize_is_pending_do_not_end_with_it() {
    let recorder = Recorder::new();
    let observer = Arc::clone(&recorder);
    let server = Server::built(ManagerConfig::default(), |builder| builder.observer(observer));
    let session = server.sessions.create_session().await.unwrap();
    let initialize = post(r#""id":5,"method":"initialize""#);
    let mut connection = session.request(initialize, AnswerFormat::Sse).await.unwrap();
    let _ping =
        session.request(post(r#""id":1,"method":"ping""#), AnswerFormat::Sse).await.unwrap();
    let mut backend = server.opened().await;
    backend.send(r#""id":5,"result":{"protocolVersion":"2025-11-25"}"#).await;
    assert!(next(&mut connection).await.is_some());
    let ended = recorder.take();
    let ended: Vec<_> = ended.iter().filter(|event| event.starts_with("ended")).collect();
    assert_eq!(ended, ["ended 5 after 0ns"]);
}

#[tokio::test(start_paused = true)]
async fn lost_connections_resumes_and_expired_streams_are_events() {
    let (recorder, _server, session, mut backend) = observed(ManagerConfig::default()).await;
    drop(session.request(post(&call(1)), AnswerFormat::Sse).await.unwrap());
    backend.send(r#""id":1,"result":{}"#).await;
    let stream = StreamId::Request(0);
    drop(session.resume(EventId::new(stream, 0)).unwrap());
    advance(61).await;
    let text = recorder.take().join("\n");
    for expected in [
        "ConnectionLost { connection: ConnectionId(1), stream: Request(0), through: None }",
        "Resumed { connection: ConnectionId(2), stream: Request(0), after: 0, replayed: 1 }",
        "Report(StreamExpired { stream: Request(0) })",
    ] {
        assert!(text.contains(expected), "{expected} in:\n{text}");
    }
}

struct Panics;

impl Observer for Panics {
    #[expect(clippy::panic, reason = "it is what the test is about")]
    fn on_session_event(&self, _: SessionId, _: &SessionEvent) {
        panic!("a bug in the observer");
    }
}

#[tokio::test(start_paused = true)]
async fn an_observer_that_panics_does_not_harm_the_session() {
    let server =
        Server::built(ManagerConfig::default(), |builder| builder.observer(Arc::new(Panics)));
    let session = server.initialized().await;
    let mut backend = server.backend().await;
    let mut connection = session.request(post(&call(1)), AnswerFormat::Json).await.unwrap();
    backend.send(r#""id":1,"result":{}"#).await;
    assert!(next(&mut connection).await.is_some());
}
