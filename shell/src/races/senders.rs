//! Backends that say more than their client reads.

use rejoin_core::Config;

use super::{
    race,
    world::{Begun, World, message, message_of, next, rest, thread},
};
use crate::{Peer, SendError, Settings};

/// More than the log of a stream holds.
const MESSAGES: usize = 7;

/// Nothing is lost, and nobody waits for ever.
#[test]
fn a_sender_waits_for_a_reader_that_reads() {
    race(|| {
        let world = World::begin(settings());
        let Begun { session, peer, inbox } = world.initialized();
        let mut connection = session.standalone().unwrap();
        let says = thread(say(peer));
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
        drop((session, inbox));
        world.end();
    });
}

/// The reader is there and does not read: no time passes, so that it holds the sender up.
#[test]
fn a_sender_that_waits_is_let_go_by_the_end() {
    race(|| {
        let world = World::begin(settings());
        let Begun { session, peer, inbox } = world.initialized();
        let connection = session.standalone().unwrap();
        let says = thread(say(peer));
        let deletes = {
            let session = session.clone();
            thread(async move { session.delete().unwrap() })
        };
        let said = says.join().unwrap();
        deletes.join().unwrap();
        let read = shuttle::future::block_on(rest(connection));
        assert_eq!(read, (0..read.len()).map(note).collect::<Vec<_>>());
        assert!(read.len() <= said);
        drop((session, inbox));
        world.end();
    });
}

fn settings() -> Settings {
    let session = Config { window: 1, stream_events_max: 4, ..Config::default() };
    Settings { session, ..Settings::default() }
}

/// Says as much as is taken, and returns how much.
async fn say(peer: Peer) -> usize {
    for number in 0..MESSAGES {
        match peer.send(note(number), None).await {
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
