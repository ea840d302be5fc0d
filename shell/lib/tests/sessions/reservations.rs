//! Connections that are opened before their request, and streams that are abandoned.

use std::time::Duration;

use rejoin::{ManagerConfig, SessionError, SseEvent};
use rejoin_core::{AnswerFormat, ApiMisuse, ClientFault, EventId, RequestId, StreamId};

use crate::support::{Server, message, next, post};

#[tokio::test(start_paused = true)]
async fn a_reserved_connection_gets_the_events_of_its_request() {
    let server = Server::start();
    let session = server.initialized().await;
    let mut connection = session.reserve().unwrap();
    assert_eq!(connection.stream_id(), None);
    let call = || post(r#""id":1,"method":"a""#);
    session.request_on(&connection, call(), AnswerFormat::Sse).await.unwrap();
    let again = session.request_on(&connection, call(), AnswerFormat::Sse).await;
    assert_eq!(again, Err(SessionError::NotReserved));
    assert_eq!(session.stream_of(&RequestId::from(1)), connection.stream_id());
    assert!(matches!(next(&mut connection).await, Some(SseEvent::Priming { .. })));
    let mut backend = server.backend().await;
    backend.send(r#""id":1,"result":{}"#).await;
    let id = Some(EventId::new(StreamId::Request(0), 1));
    let data = message(r#""id":1,"result":{}"#);
    assert_eq!(next(&mut connection).await, Some(SseEvent::Message { id, data }));
    assert_eq!(next(&mut connection).await, None);
    let ended = session.request_on(&connection, call(), AnswerFormat::Sse).await;
    assert_eq!(ended, Err(SessionError::NotReserved));
}

#[tokio::test(start_paused = true)]
async fn a_foreign_connection_is_not_reserved() {
    let server = Server::start();
    let session = server.initialized().await;
    let foreign = server.initialized().await.reserve().unwrap();
    let call = post(r#""id":1,"method":"a""#);
    let refused = session.request_on(&foreign, call, AnswerFormat::Sse).await;
    assert_eq!(refused, Err(SessionError::NotReserved));
}

#[tokio::test(start_paused = true)]
async fn reserved_connections_are_limited_and_end_with_the_session() {
    let mut config = ManagerConfig::default();
    config.session.connections_max = 2;
    let server = Server::with(config);
    let session = server.initialized().await;
    let mut reserved = session.reserve().unwrap();
    let other = session.reserve().unwrap();
    let too_many = SessionError::Rejected(ClientFault::TooManyConnections { max: 2 }.into());
    assert_eq!(session.reserve().unwrap_err(), too_many);
    drop(other);
    drop(session.reserve().unwrap());
    session.delete().unwrap();
    assert_eq!(next(&mut reserved).await, None);
    let created = server.sessions.create_session().await.unwrap();
    let not_initialized = SessionError::Rejected(ClientFault::NotInitialized.into());
    assert_eq!(created.reserve().unwrap_err(), not_initialized);
}

#[tokio::test(start_paused = true)]
async fn the_caller_disconnects_and_abandons_streams() {
    let server = Server::start();
    let session = server.initialized().await;
    let call = post(r#""id":1,"method":"a""#);
    let mut connection = session.request(call, AnswerFormat::Sse).await.unwrap();
    let stream = session.stream_of(&RequestId::from(1)).unwrap();
    assert!(matches!(next(&mut connection).await, Some(SseEvent::Priming { .. })));
    let retry = Some(Duration::from_secs(3));
    session.disconnect(stream, retry).unwrap();
    let Some(SseEvent::Priming { id, retry: sent }) = next(&mut connection).await else {
        panic!("expected a priming event with a retry delay");
    };
    assert_eq!((sent, next(&mut connection).await), (retry, None));
    session.abandon(stream).unwrap();
    assert_eq!(session.stream_of(&RequestId::from(1)), None);
    let cancelled = SessionError::Rejected(ClientFault::CancelledStream(stream).into());
    assert_eq!(session.resume(id).unwrap_err(), cancelled);
    let unknown = SessionError::Rejected(ApiMisuse::UnknownStream(stream).into());
    assert_eq!(session.abandon(stream), Err(unknown));

    let mut standalone = session.standalone().unwrap();
    session.disconnect(StreamId::Standalone, None).unwrap();
    while next(&mut standalone).await.is_some() {}
}
