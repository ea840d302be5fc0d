//! Races of backends that send faster than their client reads.

use rejoin_core::Config;

use super::{
    fixture::{Fixture, InitializedSession, message, message_of, next, remaining_messages, thread},
    race,
};
use crate::{ClientSender, ManagerConfig, SendError};

/// More messages than the log of a stream holds.
const MESSAGES: usize = 7;

/// No message is lost, and the sender is released.
#[test]
fn a_sender_waits_for_a_slow_reader() {
    race(|| {
        let fixture = Fixture::new(config());
        let InitializedSession { session, client, messages } = fixture.initialized_session();
        let mut connection = session.standalone().unwrap();
        let sends = thread(send_all(client));
        let reads = thread(async move {
            let mut messages = Vec::new();
            while messages.len() < MESSAGES {
                messages.extend(next(&mut connection).await.and_then(message_of));
            }
            messages
        });
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

fn config() -> ManagerConfig {
    // Senders are only held by a session that is half full.
    let session = Config {
        window_events_max: 1,
        stream_events_max: 4,
        session_bytes_max: 1_000,
        ..Config::default()
    };
    ManagerConfig { session, ..ManagerConfig::default() }
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

fn note(number: usize) -> bytes::Bytes {
    message(&format!(r#""method":"n{number}""#))
}
