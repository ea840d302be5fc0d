//! The memory that sessions share for what they keep for their clients.

use std::time::Duration;

use bytes::Bytes;
use rejoin::{Connection, ManagerConfig, SendError, SessionHandle, SseEvent};
use rejoin_core::EVENT_OVERHEAD_BYTES;
use tokio::{
    task::JoinHandle,
    time::{Instant, timeout},
};

use crate::index_of;
use crate::support::{BackendSession, Server, message, next};

const MESSAGE_BYTES: usize = 1_000;
/// As many messages as fit into the memory.
const SESSIONS: usize = 10;
const HOUR: Duration = Duration::from_secs(3_600);

/// A session whose standalone stream has a connection.
struct Listening {
    session: SessionHandle,
    backend: BackendSession,
    connection: Connection,
}

impl Listening {
    async fn new(server: &Server) -> Self {
        let session = server.initialized().await;
        let mut connection = session.standalone().unwrap();
        assert!(matches!(next(&mut connection).await, Some(SseEvent::Priming { .. })));
        Self { session, backend: server.backend().await, connection }
    }

    /// Sends a message, and waits for room for it.
    fn send(&self) -> JoinHandle<Result<(), SendError>> {
        self.send_bytes(MESSAGE_BYTES)
    }

    fn send_bytes(&self, bytes: usize) -> JoinHandle<Result<(), SendError>> {
        tokio::spawn(self.backend.client().send(notification(bytes), None))
    }

    async fn read(&mut self) -> Option<u64> {
        next(&mut self.connection).await.and_then(|event| index_of(&event))
    }
}

fn notification(bytes: usize) -> Bytes {
    let empty = message(r#""method":"n""#).len();
    let notification = message(&format!(r#""method":"n"{:1$}"#, "", bytes - empty));
    assert_eq!(notification.len(), bytes);
    notification
}

fn config() -> ManagerConfig {
    let kept_max = SESSIONS * (MESSAGE_BYTES + EVENT_OVERHEAD_BYTES);
    let mut config = ManagerConfig::default();
    config.session.message_bytes_max = MESSAGE_BYTES;
    config.memory_bytes_max = kept_max / 3 * 4 + 2;
    config
}

/// Creates a session that keeps nothing, and others that fill the memory: each of them keeps one
/// message that is in flight.
async fn full(server: &Server) -> (Listening, Vec<Listening>) {
    let session = Listening::new(server).await;
    let mut others = Vec::new();
    for _ in 0..SESSIONS {
        others.push(Listening::new(server).await);
    }
    let start = Instant::now();
    for other in &others {
        other.send().await.unwrap().unwrap();
    }
    assert!(start.elapsed().is_zero());
    (session, others)
}

#[tokio::test(start_paused = true)]
async fn message_waits_until_another_session_has_memory_to_spare() {
    let server = Server::with(config());
    let (mut session, mut others) = full(&server).await;
    let mut sent = session.send();
    assert!(timeout(Duration::from_millis(500), &mut sent).await.is_err(), "there was room");
    let released = Instant::now();
    assert_eq!(others[0].read().await, Some(1));
    // It is acknowledged when the next event is polled for.
    tokio::select! {
        biased;
        _ = others[0].read() => panic!("an event that was not sent"),
        sent = &mut sent => sent.unwrap().unwrap(),
    }
    assert!(released.elapsed().is_zero());
    assert_eq!(session.read().await, Some(1));
}

#[tokio::test(start_paused = true)]
async fn memory_that_a_released_sender_does_not_use_goes_to_the_next() {
    let server = Server::with(config());
    let (first, mut others) = full(&server).await;
    let mut second = Listening::new(&server).await;
    let not_polled = first.backend.client().send(notification(MESSAGE_BYTES), None);
    let sent = second.send();
    assert_eq!(others[0].read().await, Some(1));
    let acknowledged = timeout(Duration::ZERO, others[0].read()).await;
    assert!(acknowledged.is_err(), "an event that was not sent");
    timeout(Duration::from_millis(500), sent).await.expect("it waits").unwrap().unwrap();
    assert_eq!(second.read().await, Some(1));
    drop(not_polled);
}

#[tokio::test(start_paused = true)]
async fn readers_that_have_stopped_are_cut_for_a_message_of_another_session() {
    let server = Server::with(config());
    let (mut session, mut others) = full(&server).await;
    let start = Instant::now();
    for index in 1..=100 {
        let sent = session.send();
        assert_eq!(session.read().await, Some(index), "no event is missing");
        sent.await.unwrap().unwrap();
    }
    let stop_timeout = config().session.stall_timeout_min;
    assert!((stop_timeout..2 * stop_timeout).contains(&start.elapsed()), "{:?}", start.elapsed());
    let mut cut = 0;
    for other in &mut others {
        while let Ok(Some(_)) = timeout(HOUR, next(&mut other.connection)).await {}
        cut += usize::from(other.session.standalone().is_ok());
    }
    assert_eq!(cut, SESSIONS);
}

#[tokio::test(start_paused = true)]
async fn events_without_a_reader_are_evicted_for_a_message_of_another_session() {
    let server = Server::with(config());
    let (mut session, others) = full(&server).await;
    // The other sessions keep the events for clients that come back.
    let others: Vec<_> = others.into_iter().map(|other| (other.session, other.backend)).collect();
    let start = Instant::now();
    let sent = session.send();
    assert_eq!(session.read().await, Some(1));
    sent.await.unwrap().unwrap();
    assert!(start.elapsed().is_zero(), "{:?}", start.elapsed());
    drop(others);
}

#[tokio::test(start_paused = true)]
async fn memory_is_reclaimed_until_it_is_enough_for_what_waits() {
    let large_bytes = 6 * (MESSAGE_BYTES + EVENT_OVERHEAD_BYTES) - EVENT_OVERHEAD_BYTES;
    let mut config = config();
    config.session.message_bytes_max = large_bytes;
    let server = Server::with(config);
    let mut session = Listening::new(&server).await;
    let mut others = Vec::new();
    for _ in 0..3 {
        let other = Listening::new(&server).await;
        other.send().await.unwrap().unwrap();
        other.send().await.unwrap().unwrap();
        others.push(other);
    }
    let sent = session.send_bytes(large_bytes);
    // The others are told to give memory back when they can, but one of them gets more before.
    tokio::time::sleep(Duration::from_millis(10)).await;
    others[0].send().await.unwrap().unwrap();
    for other in &mut others {
        while let Ok(Some(_)) =
            timeout(Duration::from_millis(10), next(&mut other.connection)).await
        {}
    }
    timeout(Duration::from_secs(1), sent)
        .await
        .expect("memory that nobody needs")
        .unwrap()
        .unwrap();
    assert_eq!(session.read().await, Some(1));
}

#[tokio::test(start_paused = true)]
async fn session_leaves_as_much_memory_free_as_it_keeps() {
    let server = Server::with(config());
    let mut large = Listening::new(&server).await;
    let mut sent = Vec::new();
    for _ in 0..SESSIONS {
        sent.push(large.send());
    }
    let mut small = Listening::new(&server).await;
    let start = Instant::now();
    for index in 1..=100 {
        small.send().await.unwrap().unwrap();
        assert_eq!(small.read().await, Some(index));
    }
    assert!(start.elapsed().is_zero(), "{:?}", start.elapsed());
    for index in 1..=SESSIONS as u64 {
        assert_eq!(large.read().await, Some(index), "no event is missing");
    }
    for sent in sent {
        sent.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn message_that_waits_for_memory_ends_with_its_session() {
    let server = Server::with(config());
    let (session, _others) = full(&server).await;
    let sent = session.send();
    tokio::task::yield_now().await;
    let start = Instant::now();
    session.session.delete().unwrap();
    assert_eq!(sent.await.unwrap(), Err(SendError::Ended));
    assert!(start.elapsed().is_zero());
}

#[tokio::test(start_paused = true)]
async fn sender_that_does_not_wait_exceeds_the_memory_by_one_event() {
    let server = Server::with(config());
    let (mut session, _others) = full(&server).await;
    let start = Instant::now();
    for _ in 0..3 {
        drop(session.backend.client().send(notification(MESSAGE_BYTES), None));
    }
    assert_eq!(session.read().await, Some(1));
    let event = next(&mut session.connection).await;
    assert!(matches!(event, Some(SseEvent::Gap { first: 2, .. })), "{event:?}");
    assert!(start.elapsed().is_zero());
}

#[tokio::test(start_paused = true)]
async fn held_message_is_recorded_when_other_sessions_release_memory() {
    let server = Server::with(config());
    let mut session = Listening::new(&server).await;
    let mut others = Vec::new();
    for _ in 1..SESSIONS {
        others.push(Listening::new(&server).await);
    }
    for listening in others.iter().chain([&session]) {
        listening.send().await.unwrap().unwrap();
    }
    let mut sent = session.send();
    assert!(timeout(Duration::from_millis(100), &mut sent).await.is_err(), "there was room");
    for other in others {
        other.session.delete().unwrap();
    }
    timeout(Duration::from_millis(500), sent).await.unwrap().unwrap().unwrap();
    assert_eq!(session.read().await, Some(1));
    assert_eq!(session.read().await, Some(2));
}

#[tokio::test(start_paused = true)]
async fn large_event_does_not_wait_for_what_others_have_read() {
    let largest = SESSIONS * (MESSAGE_BYTES + EVENT_OVERHEAD_BYTES) - EVENT_OVERHEAD_BYTES;
    let mut config = config();
    config.session.message_bytes_max = largest;
    let server = Server::with(config);
    let large = Listening::new(&server).await;
    let mut others = Vec::new();
    for _ in 0..SESSIONS {
        others.push(Listening::new(&server).await);
    }
    let small = || message(r#""method":"n""#);
    for other in &others {
        other.backend.client().send(small(), None).await.unwrap();
    }
    let mut sent = tokio::spawn(large.backend.client().send(notification(largest), None));
    assert!(timeout(Duration::from_millis(200), &mut sent).await.is_err(), "there was room");
    for other in &mut others {
        let sent = tokio::spawn(other.backend.client().send(small(), None));
        assert_eq!(other.read().await, Some(1));
        assert_eq!(other.read().await, Some(2));
        sent.await.unwrap().unwrap();
        // The second one is acknowledged, too, and kept for a replay.
        let third = timeout(Duration::from_millis(1), other.read()).await;
        assert!(third.is_err(), "an event that was not sent");
    }
    timeout(Duration::from_secs(1), sent).await.unwrap().unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn closed_session_counts_until_its_connections_are_read() {
    let server = Server::with(config());
    let (session, mut others) = full(&server).await;
    for other in &others {
        other.session.delete().unwrap();
    }
    let mut sent = session.send();
    assert!(timeout(Duration::from_millis(500), &mut sent).await.is_err(), "there was room");
    assert_eq!(others[0].read().await, Some(1));
    assert_eq!(others[0].read().await, None);
    sent.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn messages_that_are_not_kept_do_not_wait() {
    let server = Server::with(config());
    let (session, _others) = full(&server).await;
    let start = Instant::now();
    let client = session.backend.client();
    client.send(message(r#""id":12345,"result":{}"#), None).await.unwrap();
    server.initialized().await;
    assert!(start.elapsed().is_zero(), "{:?}", start.elapsed());
}

/// None of them has stopped, so that nothing of theirs is evicted.
#[tokio::test(start_paused = true)]
async fn slow_readers_of_many_sessions_leave_memory_to_the_others() {
    let server = Server::with(config());
    let mut session = Listening::new(&server).await;
    let mut slow = Vec::new();
    for _ in 0..2 * SESSIONS {
        slow.push(Listening::new(&server).await);
    }
    let flood = |slow: &[Listening]| {
        for slow in slow {
            tokio::spawn(slow.backend.client().send(message(r#""method":"n""#), None));
        }
    };
    for _ in 0..30 {
        flood(&slow);
        tokio::task::yield_now().await;
    }
    let start = Instant::now();
    for index in 1..=10 {
        let sent = session.send();
        assert_eq!(session.read().await, Some(index));
        sent.await.unwrap().unwrap();
        flood(&slow);
        for slow in &mut slow {
            assert!(slow.read().await.is_some());
        }
    }
    assert!(start.elapsed().is_zero(), "{:?}", start.elapsed());
}
