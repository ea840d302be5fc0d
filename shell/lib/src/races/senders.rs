//! Races of backends that send faster than their client reads.

use bytes::Bytes;
use rejoin_core::AnswerFormat;

use super::{
    fixture::{
        Fixture, InitializedSession, message, message_of, next, poll_once, remaining_messages,
        request, thread,
    },
    race,
};
use crate::{
    ClientMessages, ClientSender, Connection, ManagerConfig, SendError, SessionHandle, SseEvent,
};

/// More messages than the log of a stream holds.
const MESSAGES: usize = 7;

/// No message is lost, and the sender is released.
#[test]
fn a_sender_waits_for_a_slow_reader() {
    race(|| {
        let fixture = Fixture::new(config());
        let InitializedSession { session, client, messages } = fixture.initialized_session();
        let connection = session.standalone().unwrap();
        let sends = thread(send_all(client));
        let reads = thread(read_messages(connection, MESSAGES));
        assert_eq!(sends.join().unwrap(), MESSAGES);
        assert_eq!(reads.join().unwrap(), (0..MESSAGES).map(note).collect::<Vec<_>>());
        session.delete().unwrap();
        drop((session, messages));
        fixture.end();
    });
}

/// The reader does not read, and no time passes, so that the sender is held.
#[test]
fn a_held_sender_is_released_when_the_session_ends() {
    race(|| {
        let fixture = Fixture::new(config());
        let InitializedSession { session, client, messages } = fixture.initialized_session();
        let connection = session.standalone().unwrap();
        let sends = thread(send_all(client));
        let deletes = {
            let session = session.clone();
            thread(async move { session.delete().unwrap() })
        };
        let sent = sends.join().unwrap();
        deletes.join().unwrap();
        let read = shuttle::future::block_on(remaining_messages(connection));
        assert_eq!(read, (0..read.len()).map(note).collect::<Vec<_>>());
        assert!(read.len() <= sent);
        drop((session, messages));
        fixture.end();
    });
}

/// The first message fills the session, so that the response has no room until it was read.
#[test]
fn a_response_waits_for_room() {
    race(|| {
        let fixture = Fixture::new(config());
        let full = FullSession::new(&fixture);
        let sends = thread(full.client.send(large_response(), None));
        let reads = thread(read_messages(full.standalone, 1));
        assert_eq!(reads.join().unwrap(), [large_notification()]);
        assert_eq!(sends.join().unwrap(), Ok(()));
        let answer = shuttle::future::block_on(remaining_messages(full.request));
        assert_eq!(answer, [large_response()]);
        full.session.delete().unwrap();
        drop((full.session, full.messages));
        fixture.end();
    });
}

/// Nothing is read, and no time passes, so that there is no room.
#[test]
fn a_response_that_waits_for_room_ends_with_its_session() {
    race(|| {
        let fixture = Fixture::new(config());
        let full = FullSession::new(&fixture);
        let sends = {
            let client = full.client.clone();
            thread(async move { client.send(large_response(), None).await })
        };
        let deletes = {
            let session = full.session.clone();
            thread(async move { session.delete().unwrap() })
        };
        assert_eq!(sends.join().unwrap(), Err(SendError::Ended));
        deletes.join().unwrap();
        let answer = shuttle::future::block_on(remaining_messages(full.request));
        assert_eq!(answer.len(), 1, "an error");
        drop((full.session, full.messages, full.standalone));
        fixture.end();
    });
}

/// The client gets the response or an error in its place, and whatever else was sent.
#[test]
fn a_response_whose_sender_stops_waiting_is_not_lost() {
    race(|| {
        let fixture = Fixture::new(config());
        let full = FullSession::new(&fixture);
        let sends = {
            let client = full.client.clone();
            thread(async move { drop(poll_once(client.send(large_response(), None)).await) })
        };
        let reads = thread(read_messages(full.standalone, 1));
        assert_eq!(reads.join().unwrap(), [large_notification()]);
        sends.join().unwrap();
        let answer = shuttle::future::block_on(remaining_messages(full.request));
        let [answer] = &answer[..] else { panic!("{answer:?}") };
        let text = std::str::from_utf8(answer).unwrap();
        assert!(*answer == large_response() || text.contains(r#""error""#), "{text}");
        full.session.delete().unwrap();
        drop((full.session, full.messages));
        fixture.end();
    });
}

/// A session with a pending request, and an event in flight on its standalone stream that leaves
/// no room for the response.
struct FullSession {
    session: SessionHandle,
    client: ClientSender,
    messages: ClientMessages,
    standalone: Connection,
    request: Connection,
}

impl FullSession {
    fn new(fixture: &Fixture) -> Self {
        let InitializedSession { session, client, messages } = fixture.initialized_session();
        shuttle::future::block_on(async {
            let mut standalone = session.standalone().unwrap();
            let mut request = session.request(request(1), AnswerFormat::Sse).await.unwrap();
            for connection in [&mut standalone, &mut request] {
                assert!(matches!(next(connection).await, Some(SseEvent::Priming { .. })));
            }
            client.send(large_notification(), None).await.unwrap();
            Self { session, client, messages, standalone, request }
        })
    }
}

/// Reads some messages.
async fn read_messages(mut connection: Connection, count: usize) -> Vec<Bytes> {
    let mut messages = Vec::new();
    while messages.len() < count {
        messages.extend(next(&mut connection).await.and_then(message_of));
    }
    messages
}

fn large_notification() -> Bytes {
    message(&format!(r#""method":"n"{:600}"#, ""))
}

fn large_response() -> Bytes {
    message(&format!(r#""id":1,"result":{{}}{:600}"#, ""))
}

fn config() -> ManagerConfig {
    // Senders are only held by a session that is half full.
    let mut config = ManagerConfig::default();
    config.session.window_events_max = 1;
    config.session.stream_events_max = 4;
    config.session.session_bytes_max = 1_000;
    config
}

/// Sends messages until the session ends, and returns how many were sent.
async fn send_all(client: ClientSender) -> usize {
    for number in 0..MESSAGES {
        match client.send(note(number), None).await {
            Ok(()) => {}
            Err(SendError::Ended) => return number,
            Err(error) => panic!("{error}"),
        }
    }
    MESSAGES
}

fn note(number: usize) -> Bytes {
    message(&format!(r#""method":"n{number}""#))
}
