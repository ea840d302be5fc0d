//! Races of sessions that share the memory for what they keep.

use bytes::Bytes;
use rejoin_core::EVENT_OVERHEAD_BYTES;

use super::{
    fixture::{
        Fixture, InitializedSession, message, message_of, next, poll_once, remaining_messages,
        thread,
    },
    race,
};
use crate::{ClientMessages, ClientSender, Connection, ManagerConfig, SendError, SessionHandle};

const MESSAGE_BYTES: usize = 600;

/// The memory is in use until the other session's client has read what it keeps.
#[test]
fn a_message_waits_for_the_memory_of_another_session() {
    race(|| {
        let fixture = Fixture::new(config());
        let (full, waiting) = (Listening::new(&fixture), Listening::new(&fixture));
        shuttle::future::block_on(full.client.send(large(), None)).unwrap();
        let sends = thread(waiting.client.send(large(), None));
        let frees = thread(remaining_messages(full.connection));
        let reads = thread(read_one(waiting.connection));
        assert_eq!(sends.join().unwrap(), Ok(()));
        let (connection, read) = reads.join().unwrap();
        assert_eq!(read, Some(large()));
        drop(connection);
        full.session.delete().unwrap();
        waiting.session.delete().unwrap();
        assert_eq!(frees.join().unwrap(), [large()]);
        drop((full.session, full.messages, waiting.session, waiting.messages));
        fixture.end();
    });
}

/// Sessions that end release the memory, and senders that wait for it end with their session.
#[test]
fn a_message_that_waits_for_memory_is_sent_or_ends_with_its_session() {
    race(|| {
        let fixture = Fixture::new(config());
        let (full, waiting) = (Listening::new(&fixture), Listening::new(&fixture));
        shuttle::future::block_on(full.client.send(large(), None)).unwrap();
        let sends = thread(waiting.client.send(large(), None));
        let deletions: Vec<_> = [&full, &waiting]
            .into_iter()
            .map(|listening| {
                let session = listening.session.clone();
                thread(async move { session.delete().unwrap() })
            })
            .collect();
        let sent = sends.join().unwrap();
        assert!(matches!(sent, Ok(()) | Err(SendError::Ended)), "{sent:?}");
        for deletion in deletions {
            deletion.join().unwrap();
        }
        drop((full, waiting));
        fixture.end();
    });
}

/// The sessions together never keep more than the memory, whichever of them sends first.
#[test]
fn sessions_never_keep_more_than_the_memory() {
    race(|| {
        let fixture = Fixture::new(config());
        let sessions = [Listening::new(&fixture), Listening::new(&fixture)];
        let sends: Vec<_> = sessions
            .iter()
            .map(|listening| {
                let client = listening.client.clone();
                thread(async move {
                    let mut sent = Box::pin(client.send(large(), None));
                    (poll_once(&mut sent).await, sent)
                })
            })
            .collect();
        let sends: Vec<_> = sends.into_iter().map(|send| send.join().unwrap()).collect();
        let was_sent = sends.iter().filter(|(result, _)| *result == Some(Ok(()))).count();
        assert_eq!(was_sent, 1, "one of them waits");
        for listening in &sessions {
            listening.session.delete().unwrap();
        }
        drop((sends, sessions));
        fixture.end();
    });
}

/// A session whose standalone stream has a connection.
struct Listening {
    session: SessionHandle,
    client: ClientSender,
    messages: ClientMessages,
    connection: Connection,
}

impl Listening {
    fn new(fixture: &Fixture) -> Self {
        let InitializedSession { session, client, messages } = fixture.initialized_session();
        let mut connection = session.standalone().unwrap();
        let priming = shuttle::future::block_on(next(&mut connection));
        assert_eq!(priming.and_then(message_of), None);
        Self { session, client, messages, connection }
    }
}

/// Memory for one message.
fn config() -> ManagerConfig {
    let memory_bytes_max = (MESSAGE_BYTES + EVENT_OVERHEAD_BYTES) * 3 / 2;
    let mut config = ManagerConfig { memory_bytes_max, ..ManagerConfig::default() };
    config.session.message_bytes_max = MESSAGE_BYTES;
    config
}

fn large() -> Bytes {
    let empty = message(r#""method":"n""#).len();
    message(&format!(r#""method":"n"{:1$}"#, "", MESSAGE_BYTES - empty))
}

async fn read_one(mut connection: Connection) -> (Connection, Option<Bytes>) {
    let read = next(&mut connection).await.and_then(message_of);
    (connection, read)
}
