//! Slow readers, slow backends, and the bounds on what they hold.

use std::{future::poll_fn, time::Duration};

use bytes::Bytes;
use rejoin::{Connection, ManagerConfig, SendError, Sent, SessionError, SessionHandle, SseEvent};
use rejoin_core::{AnswerFormat, BackendFault, Rejection, RequestId, SessionCloseReason};

use crate::index_of;
use crate::support::{BackendSession, Server, message, next, post};

#[tokio::test(start_paused = true)]
async fn sender_waits_for_an_active_reader_and_not_for_a_stalled_one() {
    // The high-water mark, half of `session_bytes_max`, is less than three events.
    let mut config = ManagerConfig::default();
    config.session.window_events_max = 1;
    config.session.stream_events_max = 4;
    config.session.session_bytes_max = 1_000;
    let stall_timeout_max = config.session.stall_timeout_max.unwrap();
    let server = Server::with(config);
    let session = server.initialized().await;
    let backend = server.backend().await;
    let mut connection = session.standalone().unwrap();
    assert!(matches!(next(&mut connection).await, Some(SseEvent::Priming { .. })));

    let client = backend.client();
    let sender = tokio::spawn(async move {
        for number in 0..8 {
            client.send(message(&format!(r#""method":"n{number}""#)), None).await?;
        }
        Ok::<(), SendError>(())
    });
    for index in 1..=8 {
        assert_eq!(next(&mut connection).await.map(|event| index_of(&event)), Some(Some(index)));
    }
    sender.await.unwrap().unwrap();

    let client = backend.client();
    let start = tokio::time::Instant::now();
    for _ in 0..8 {
        client.send(message(r#""method":"n""#), None).await.unwrap();
    }
    assert!(start.elapsed() > Duration::ZERO && start.elapsed() <= stall_timeout_max);
    let mut gaps = 0;
    while let Some(event) = next(&mut connection).await {
        match event {
            SseEvent::Gap { .. } => gaps += 1,
            SseEvent::Message { id: Some(id), .. } if id.index == 16 => break,
            SseEvent::Message { .. } | SseEvent::Priming { .. } => {}
        }
    }
    assert_eq!(gaps, 1);
}

#[tokio::test(start_paused = true)]
async fn full_backend_queue_affects_only_its_own_session() {
    let mut config = ManagerConfig::default();
    config.session.batch_max = 1;
    config.queue_max = 1;
    let server = Server::with(config);
    let (busy, other) = (server.initialized().await, server.initialized().await);
    let notification = || post(r#""method":"n""#);
    busy.notify(notification()).await.unwrap();
    let (refused, ()) = tokio::join!(busy.notify(notification()), async {
        other.notify(notification()).await.unwrap();
    });
    assert_eq!(refused, Err(SessionError::QueueFull));
    let mut backend = server.backend().await;
    backend.receive().await;
    busy.notify(notification()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn session_closes_when_its_backend_sends_requests_and_never_receives() {
    let server = Server::start();
    let session = server.initialized().await;
    let backend = server.backend().await;
    let client = backend.client();
    for id in 0..100_000 {
        let request = message(&format!(r#""id":{id},"method":"ping""#));
        if client.send(request, None).await == Err(SendError::Ended) {
            assert_eq!(session.close_reason(), Some(SessionCloseReason::BackendGone));
            return;
        }
    }
    panic!("failed server requests pile up for a backend that never receives");
}

#[tokio::test(start_paused = true)]
async fn batch_is_sent_even_if_its_sender_stops_waiting() {
    // The high-water mark, half of `session_bytes_max`, is less than two events.
    let mut config = ManagerConfig::default();
    config.session.stream_events_max = 2;
    config.session.session_bytes_max = 800;
    let server = Server::with(config);
    let session = server.initialized_as("2025-03-26").await;
    let call = post(r#""id":1,"method":"a""#);
    let mut connection = session.request(call, AnswerFormat::Sse).await.unwrap();
    let backend = server.backend().await;
    let notification = r#"{"jsonrpc":"2.0","method":"n"}"#;
    let batch = format!("[{notification},{notification}]");
    let related = Some(RequestId::from(1));
    let sent = tokio::time::timeout(Duration::ZERO, backend.client().send(batch, related)).await;
    assert!(sent.is_err(), "the sender waits for the slow reader");
    assert!(matches!(next(&mut connection).await, Some(SseEvent::Message { .. })));
    assert!(matches!(next(&mut connection).await, Some(SseEvent::Message { .. })));
}

/// A session whose client has not read the first event of request 1, so that another one of the
/// same size has no room.
struct FullSession {
    session: SessionHandle,
    backend: BackendSession,
    unread: Connection,
    /// The connection of request 2.
    other: Connection,
}

const LARGE: usize = 60_000;

impl FullSession {
    async fn new() -> (Server, Self) {
        let mut config = ManagerConfig::default();
        config.session.session_bytes_max = 100_000;
        let server = Server::with(config);
        let session = server.initialized_as("2025-03-26").await;
        let backend = server.backend().await;
        let request = async |id: u32| {
            let request = post(&format!(r#""id":{id},"method":"a""#));
            session.request(request, AnswerFormat::Sse).await.unwrap()
        };
        let (unread, other) = (request(1).await, request(2).await);
        backend.client().send(large(r#""method":"n""#), Some(1.into())).await.unwrap();
        (server, Self { session, backend, unread, other })
    }

    fn respond(&self) -> Sent {
        self.backend.client().send(large(r#""id":2,"result":{}"#), None)
    }
}

/// Returns a message with the given members, and white space.
fn large(members: &str) -> Bytes {
    message(&format!("{members}{:LARGE$}", ""))
}

/// Reads a message that was sent already.
async fn read(connection: &mut Connection) -> Option<Bytes> {
    match now(next(connection)).await?? {
        SseEvent::Message { data, .. } => Some(data),
        SseEvent::Priming { .. } | SseEvent::Gap { .. } => None,
    }
}

/// Waits, but lets no time pass.
async fn now<T>(future: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(Duration::ZERO, future).await.ok()
}

#[tokio::test(start_paused = true)]
async fn response_waits_until_there_is_room_for_it() {
    let (_server, mut full) = FullSession::new().await;
    let mut sent = full.respond();
    assert_eq!(sent.result(), Ok(()));
    assert_eq!(now(&mut sent).await, None);
    assert_eq!(read(&mut full.other).await, None);
    assert_eq!(read(&mut full.unread).await, Some(large(r#""method":"n""#)));
    assert_eq!(now(sent).await, Some(Ok(())));
    assert_eq!(read(&mut full.other).await, Some(large(r#""id":2,"result":{}"#)));
}

#[tokio::test(start_paused = true)]
async fn response_whose_sender_stops_waiting_is_replaced_by_an_error() {
    let (_server, mut full) = FullSession::new().await;
    let mut sent = full.respond();
    assert_eq!(now(&mut sent).await, None);
    drop(sent);
    let response = read(&mut full.other).await.unwrap();
    let response: serde_json::Value = serde_json::from_slice(&response).unwrap();
    assert!(response["id"] == 2 && response["error"].is_object(), "{response}");
    assert_eq!(read(&mut full.unread).await, Some(large(r#""method":"n""#)));
}

#[tokio::test(start_paused = true)]
async fn rest_of_a_batch_waits_behind_a_message_that_has_no_room() {
    let (_server, mut full) = FullSession::new().await;
    let messages =
        [large(r#""method":"a""#), message(r#""method":"b""#), message(r#""id":2,"result":{}"#)];
    let batch = [&b"["[..], &messages.join(&b','), b"]"].concat();
    let mut sent = full.backend.client().send(batch, Some(2.into()));
    assert_eq!(now(&mut sent).await, None);
    assert_eq!(read(&mut full.other).await, None);
    read(&mut full.unread).await;
    assert_eq!(now(sent).await, Some(Ok(())));
    for message in messages {
        assert_eq!(read(&mut full.other).await, Some(message));
    }
}

#[tokio::test(start_paused = true)]
async fn message_has_room_at_once_if_a_reader_has_stopped() {
    let (_server, mut full) = FullSession::new().await;
    tokio::time::advance(Duration::from_secs(2)).await;
    assert_eq!(now(full.respond()).await, Some(Ok(())));
    assert_eq!(read(&mut full.other).await, Some(large(r#""id":2,"result":{}"#)));
    assert_eq!(now(next(&mut full.unread)).await, Some(None), "its connection was cut");
}

#[tokio::test(start_paused = true)]
async fn message_that_waits_for_room_ends_with_its_session() {
    let (_server, full) = FullSession::new().await;
    let mut sent = full.respond();
    assert_eq!(now(&mut sent).await, None);
    full.session.delete().unwrap();
    assert_eq!(now(sent).await, Some(Err(SendError::Ended)));
}

#[tokio::test(start_paused = true)]
async fn request_that_waits_for_room_can_be_rejected_later() {
    let (_server, mut full) = FullSession::new().await;
    let client = full.backend.client();
    let request = || large(r#""id":7,"method":"ping""#);
    let mut sent = client.send(request(), Some(2.into()));
    assert_eq!(now(&mut sent).await, None);
    client.send(message(r#""id":7,"method":"ping""#), Some(2.into())).await.unwrap();
    read(&mut full.unread).await;
    let in_use = BackendFault::RequestIdInUse(7.into());
    assert_eq!(now(sent).await, Some(Err(SendError::Rejected(in_use))));
}

#[tokio::test(start_paused = true)]
async fn poll_returns_a_bounded_number_of_bytes() {
    let server = Server::start();
    let session = server.initialized().await;
    let mut connection =
        session.request(post(r#""id":1,"method":"a""#), AnswerFormat::Sse).await.unwrap();
    let backend = server.backend().await;
    let large = format!(r#"{{"jsonrpc":"2.0","method":"n","params":["{}"]}}"#, "x".repeat(40_000));
    for _ in 0..5 {
        backend.client().send(large.clone(), Some(1.into())).await.unwrap();
    }
    let mut events = Vec::new();
    let mut sizes = Vec::new();
    for _ in 0..3 {
        assert!(poll_fn(|cx| connection.poll_events(cx, &mut events)).await);
        sizes.push(std::mem::take(&mut events).len());
    }
    assert_eq!(sizes, [2, 1, 1], "the first poll also returns the priming event");
}

#[tokio::test(start_paused = true)]
async fn rejected_messages_return_their_queue_permits() {
    let server = Server::start();
    let session = server.initialized().await;
    let call = || post(r#""id":1,"method":"a""#);
    let _connection = session.request(call(), AnswerFormat::Sse).await.unwrap();
    for _ in 0..1_000 {
        let error = session.request(call(), AnswerFormat::Sse).await.unwrap_err();
        assert!(matches!(error, SessionError::Rejected(Rejection::Client(_))), "{error}");
    }
    session.notify(post(r#""method":"n""#)).await.unwrap();
}
