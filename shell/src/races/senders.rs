//! Backends that say more than their client reads.

use rejoin_core::Config;

use super::{
    fixture::{Fixture, InitializedSession, message, message_of, next, remaining_messages, thread},
    race,
};
use crate::{ClientSender, ManagerConfig, SendError};

/// More than the log of a stream holds.
const MESSAGES: usize = 7;

/// Nothing is lost, and nobody waits for ever.
#[test]
fn a_sender_waits_for_a_reader_that_reads() {
    race(|| {
        let fixture = Fixture::begin(config());
        let InitializedSession { session, client, messages } = fixture.initialized_session();
        let mut connection = session.standalone().unwrap();
        let says = thread(say(client));
        let reads = thread(async move {
            let mut messages = Vec::new();
            while messages.len() < MESSAGES {
                messages.extend(next(&mut connection).await.and_then(message_of));
            }
            messages
        });
        assert_eq!(says.join().unwrap(), MESSAGES);
        assert_eq!(reads.join().unwrap(), (0..MESSAGES).map(note).collect::<Vec<_>>());
        session.delete().unwrap();
        drop((session, messages));
        fixture.end();
    });
}

/// The reader is there and does not read: no time passes, so that it holds the sender up.
#[test]
fn a_sender_that_waits_is_let_go_by_the_end() {
    race(|| {
        let fixture = Fixture::begin(config());
        let InitializedSession { session, client, messages } = fixture.initialized_session();
        let connection = session.standalone().unwrap();
        let says = thread(say(client));
        let deletes = {
            let session = session.clone();
            thread(async move { session.delete().unwrap() })
        };
        let said = says.join().unwrap();
        deletes.join().unwrap();
        let read = shuttle::future::block_on(remaining_messages(connection));
        assert_eq!(read, (0..read.len()).map(note).collect::<Vec<_>>());
        assert!(read.len() <= said);
        drop((session, messages));
        fixture.end();
    });
}

fn config() -> ManagerConfig {
    let session = Config { window_events_max: 1, stream_events_max: 4, ..Config::default() };
    ManagerConfig { session, ..ManagerConfig::default() }
}

/// Says as much as is taken, and returns how much.
async fn say(client: ClientSender) -> usize {
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
