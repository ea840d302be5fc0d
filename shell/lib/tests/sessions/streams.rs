//! Streams and their connections: responses, replay, disconnect.

use std::time::Duration;

use rejoin::{SendError, SseEvent};
use rejoin_core::{AnswerFormat, EventId, RequestId, StreamId};

use crate::index_of;
use crate::support::{Server, message, next, post};

#[tokio::test(start_paused = true)]
async fn response_arrives_on_the_connection_of_its_request() {
    let server = Server::start();
    let session = server.initialized().await;
    let mut connection =
        session.request(post(r#""id":1,"method":"a""#), AnswerFormat::Sse).await.unwrap();
    assert_eq!(connection.stream_id(), Some(StreamId::Request(0)));
    let mut backend = server.backend().await;
    assert_eq!(backend.receive().await, message(r#""id":1,"method":"a""#));
    backend.send(r#""id":1,"result":{}"#).await;
    let id = Some(EventId::new(StreamId::Request(0), 1));
    assert!(matches!(next(&mut connection).await, Some(SseEvent::Priming { .. })));
    assert_eq!(
        next(&mut connection).await,
        Some(SseEvent::Message { id, data: message(r#""id":1,"result":{}"#) })
    );
    assert_eq!(next(&mut connection).await, None);
}

#[tokio::test(start_paused = true)]
async fn missed_events_are_replayed() {
    let server = Server::start();
    let session = server.initialized().await;
    drop(session.request(post(r#""id":1,"method":"a""#), AnswerFormat::Sse).await.unwrap());
    let mut backend = server.backend().await;
    backend.send(r#""id":1,"result":{}"#).await;
    let mut connection = session.resume("0/0".parse().unwrap()).unwrap();
    let id = Some(EventId::new(StreamId::Request(0), 1));
    assert_eq!(
        next(&mut connection).await,
        Some(SseEvent::Message { id, data: message(r#""id":1,"result":{}"#) })
    );
    assert_eq!(next(&mut connection).await, None);
}

#[tokio::test(start_paused = true)]
async fn backend_disconnects_a_client_with_a_retry_delay() {
    let server = Server::start();
    let session = server.initialized().await;
    let mut connection =
        session.request(post(r#""id":1,"method":"a""#), AnswerFormat::Sse).await.unwrap();
    let mut backend = server.backend().await;
    let retry = Some(Duration::from_secs(1));
    backend.client().disconnect(&RequestId::from(1), retry).unwrap();
    let first = next(&mut connection).await;
    assert!(matches!(first, Some(SseEvent::Priming { retry: None, .. })), "{first:?}");
    let Some(SseEvent::Priming { id, retry: sent }) = next(&mut connection).await else {
        panic!("expected a priming event with a retry delay");
    };
    assert_eq!(sent, retry);
    assert_eq!(next(&mut connection).await, None);
    backend.send(r#""id":1,"result":{}"#).await;
    let mut connection = session.resume(id).unwrap();
    let event = next(&mut connection).await.unwrap();
    assert_eq!(index_of(&event), Some(id.index + 1));
    assert_eq!(backend.client().disconnect(&RequestId::from(1), retry), Err(SendError::NotPending));
}

#[tokio::test(start_paused = true)]
async fn disconnecting_a_json_response_is_an_error() {
    let server = Server::start();
    let session = server.initialized().await;
    let call = post(r#""id":1,"method":"a""#);
    let _connection = session.request(call, AnswerFormat::Json).await.unwrap();
    let backend = server.backend().await;
    let refused = backend.client().disconnect(&RequestId::from(1), None).unwrap_err();
    assert!(matches!(refused, SendError::CannotDisconnect(_)), "{refused}");
}

/// Clients on several threads drop their connections and resume while their backends send.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_resumes_deliver_each_event_once_in_order() {
    const EVENTS: u64 = 400;
    let server = Server::start();
    let mut clients = Vec::new();
    for seed in 1..=8_u64 {
        let session = server.initialized().await;
        let mut backend = server.backend().await;
        clients.push(tokio::spawn(async move {
            let call = post(r#""id":1,"method":"a","params":{"_meta":{"progressToken":1}}"#);
            let mut connection = session.request(call, AnswerFormat::Sse).await.unwrap();
            let sender = tokio::spawn(async move {
                backend.receive().await;
                for _ in 0..EVENTS {
                    let progress =
                        r#""method":"notifications/progress","params":{"progressToken":1}"#;
                    backend.send(progress).await;
                    tokio::task::yield_now().await;
                }
                backend.send(r#""id":1,"result":{}"#).await;
                backend
            });
            let mut seen = 0;
            let mut random = seed;
            loop {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                if random >> 61 == 0 {
                    let id = EventId::new(StreamId::Request(0), seen);
                    connection = session.resume(id).unwrap();
                }
                let Some(event) = next(&mut connection).await else { break };
                let Some(index) = index_of(&event) else { panic!("a gap: {event:?}") };
                if index == 0 {
                    continue;
                }
                assert_eq!(index, seen + 1);
                seen = index;
            }
            assert_eq!(seen, EVENTS + 1);
            drop(sender.await.unwrap());
        }));
    }
    for client in clients {
        client.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn connection_is_complete_only_if_its_client_has_nothing_to_resume() {
    let server = Server::start();
    let session = server.initialized().await;
    let mut backend = server.backend().await;
    let request = post(r#""id":1,"method":"a""#);
    let mut first = session.request(request, AnswerFormat::Sse).await.unwrap();
    assert!(next(&mut first).await.is_some(), "the priming event");
    let mut replaced = session.resume("0/0".parse().unwrap()).unwrap();
    let mut second = session.resume("0/0".parse().unwrap()).unwrap();
    assert!(next(&mut replaced).await.is_none() && !replaced.is_complete());
    backend.send(r#""id":1,"result":{}"#).await;
    assert!(!second.is_complete());
    assert!(next(&mut second).await.is_some() && second.is_complete());
    let mut resumed = session.resume("1/0".parse().unwrap()).unwrap();
    assert!(next(&mut resumed).await.is_none() && resumed.is_complete());
    let mut standalone = session.standalone().unwrap();
    assert!(next(&mut standalone).await.is_some(), "the priming event");
    session.delete().unwrap();
    assert!(next(&mut standalone).await.is_none() && !standalone.is_complete());
}
