//! Sessions as the manager drives them, in paused time.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]

#[path = "support/backend.rs"]
mod support;

use std::{
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use rejoin::{
    Backend, ClientMessages, ClientSender, ManagerConfig, ManagerError, OpenError, SendError,
    SessionError, SessionManager, SseEvent,
};
use rejoin_core::{
    AnswerFormat, ApiMisuse, CloseReason, Config, EventId, Head, Initialized, Method, Notification,
    Rejection, RequestId, StreamId,
};
use support::{Server, message, next, post};

#[tokio::test(start_paused = true)]
async fn a_call_is_answered_on_its_own_connection() {
    let server = Server::begin();
    let session = server.initialized().await;
    let mut connection =
        session.request(post(r#""id":1,"method":"a""#), AnswerFormat::Sse).await.unwrap();
    assert_eq!(connection.stream_id(), Some(StreamId::Request(0)));
    let mut backend = server.backend().await;
    assert_eq!(backend.hear().await, message(r#""id":1,"method":"a""#));
    backend.say(r#""id":1,"result":{}"#).await;
    let id = Some(EventId::new(StreamId::Request(0), 1));
    assert!(matches!(next(&mut connection).await, Some(SseEvent::Priming { .. })));
    assert_eq!(
        next(&mut connection).await,
        Some(SseEvent::Message { id, data: message(r#""id":1,"result":{}"#) })
    );
    assert_eq!(next(&mut connection).await, None);
}

#[tokio::test(start_paused = true)]
async fn what_was_missed_is_replayed() {
    let server = Server::begin();
    let session = server.initialized().await;
    drop(session.request(post(r#""id":1,"method":"a""#), AnswerFormat::Sse).await.unwrap());
    let mut backend = server.backend().await;
    backend.say(r#""id":1,"result":{}"#).await;
    let mut connection = session.resume("0/0".parse().unwrap()).unwrap();
    let id = Some(EventId::new(StreamId::Request(0), 1));
    assert_eq!(
        next(&mut connection).await,
        Some(SseEvent::Message { id, data: message(r#""id":1,"result":{}"#) })
    );
    assert_eq!(next(&mut connection).await, None);
}

#[tokio::test(start_paused = true)]
async fn an_unused_session_ends_soon_unless_it_has_a_connection() {
    let server = Server::begin();
    let (unused, listening) = (server.initialized().await, server.initialized().await);
    let called = server.initialized().await;
    let mut standalone = listening.standalone().unwrap();
    assert!(next(&mut standalone).await.is_some());
    drop(called.request(post(r#""id":1,"method":"a""#), AnswerFormat::Sse).await.unwrap());
    tokio::time::sleep(Duration::from_secs(59)).await;
    unused.notify(post(r#""method":"notifications/initialized""#)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(unused.close_reason(), Some(CloseReason::Idle));
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!((listening.close_reason(), called.close_reason()), (None, None));
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_only_pinged_is_unused() {
    let server = Server::with(ManagerConfig { sessions_max: 1, ..ManagerConfig::default() });
    let pinged = server.initialized().await;
    drop(pinged.request(post(r#""id":1,"method":"ping""#), AnswerFormat::Sse).await.unwrap());
    server.initialized().await;
    assert_eq!(pinged.close_reason(), Some(CloseReason::Idle));
}

#[tokio::test(start_paused = true)]
async fn an_unused_session_makes_room_for_another() {
    let server = Server::with(ManagerConfig { sessions_max: 2, ..ManagerConfig::default() });
    let (oldest, newer) = (server.initialized().await, server.initialized().await);
    let newest = server.initialized().await;
    assert_eq!(oldest.close_reason(), Some(CloseReason::Idle));
    for used in [&newer, &newest] {
        assert_eq!(used.close_reason(), None);
        drop(used.request(post(r#""id":1,"method":"a""#), AnswerFormat::Sse).await.unwrap());
    }
    let refused = server.sessions.create_session().await;
    assert!(matches!(refused, Err(ManagerError::TooManySessions(2))), "{refused:?}");
}

/// A backend whose server answers at once, and takes a second to end.
struct SlowToEnd;

impl Backend for SlowToEnd {
    async fn open(&self, peer: ClientSender, mut inbox: ClientMessages) -> Result<(), OpenError> {
        tokio::spawn(async move {
            let place = inbox.permit();
            while inbox.recv().await.is_some() {
                let result = r#""id":0,"result":{"protocolVersion":"2025-11-25"}"#;
                let _ = peer.send(message(result), None).await;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
            drop(place);
        });
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn each_of_many_new_sessions_gets_the_place_of_an_unused_one() {
    const SESSIONS: usize = 4;
    let settings = ManagerConfig { sessions_max: SESSIONS, ..ManagerConfig::default() };
    let sessions = SessionManager::new(SlowToEnd, settings).unwrap();
    let open = || async {
        let initialize = post(r#""id":0,"method":"initialize""#);
        let begun = sessions.initialize_session(initialize, AnswerFormat::Sse).await;
        let (session, mut connection) = begun?;
        while next(&mut connection).await.is_some() {}
        Ok::<_, ManagerError>(session)
    };
    let mut unused = Vec::new();
    for _ in 0..SESSIONS {
        unused.push(open().await.unwrap());
    }
    let began = tokio::time::Instant::now();
    let newcomers = tokio::join!(open(), open(), open(), open());
    let newcomers = <[_; SESSIONS]>::from(newcomers).map(Result::unwrap);
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert!(unused.iter().all(|session| session.close_reason() == Some(CloseReason::Idle)));
    assert!(newcomers.iter().all(|session| session.close_reason().is_none()));
}

#[tokio::test(start_paused = true)]
async fn a_new_session_ends_no_more_unused_ones_than_it_needs() {
    let settings = ManagerConfig { sessions_max: 3, ..ManagerConfig::default() };
    let server = Server::with(settings);
    let unused = [(); 3].map(|()| server.initialized());
    let mut sessions = Vec::new();
    for session in unused {
        sessions.push(session.await);
    }
    let newest = server.initialized().await;
    let closed = sessions.iter().filter(|session| session.close_reason().is_some());
    assert_eq!((closed.count(), newest.close_reason()), (1, None));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_comes_back_at_once_gets_the_place_of_its_session_before() {
    let server = Server::with(ManagerConfig { sessions_max: 1, ..ManagerConfig::default() });
    let initialize = || post(r#""id":0,"method":"initialize""#);
    let open = || server.sessions.initialize_session(initialize(), AnswerFormat::Sse);
    let left = open().await.unwrap();
    let leave = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        drop(left);
    };
    let (back, ()) = tokio::join!(open(), leave);
    assert!(back.is_ok(), "{back:?}");
    // Where nobody leaves, the next one is refused soon.
    let began = tokio::time::Instant::now();
    let refused = open().await;
    assert!(matches!(refused, Err(ManagerError::TooManySessions(1))), "{refused:?}");
    assert!(began.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn an_idle_session_goes_by_itself() {
    let server = Server::with(ManagerConfig { unused_timeout: None, ..ManagerConfig::default() });
    let session = server.initialized().await;
    tokio::time::sleep(Duration::from_secs(299)).await;
    assert!(server.sessions.has_session(session.id()));
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(!server.sessions.has_session(session.id()));
    assert!(matches!(server.sessions.session(session.id()), Err(ManagerError::NotFound)));
    assert_eq!(server.backend().await.hear_end().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_wait_for_initialize_leaves_no_session() {
    let server = Server::begin();
    let post = post(r#""id":0,"method":"initialize""#);
    let opened = server.sessions.initialize_session(post, AnswerFormat::Sse).await.unwrap();
    assert_eq!(server.sessions.sessions(), 1);
    drop(opened);
    assert_eq!(server.sessions.sessions(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_is_gone_ends_its_session() {
    let server = Server::begin();
    let session = server.initialized().await;
    let mut connection =
        session.request(post(r#""id":1,"method":"a""#), AnswerFormat::Sse).await.unwrap();
    drop(server.backend().await);
    assert!(matches!(next(&mut connection).await, Some(SseEvent::Priming { .. })));
    let Some(SseEvent::Message { data, .. }) = next(&mut connection).await else { panic!() };
    assert!(data.starts_with(br#"{"error":{"code":-32603"#), "{data:?}");
    assert_eq!(next(&mut connection).await, None);
    assert_eq!(server.sessions.sessions(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_sender_waits_for_a_reader_that_reads_and_not_for_one_that_does_not() {
    // Half of what a session may keep is less than three events.
    let session = Config {
        window_events_max: 1,
        stream_events_max: 4,
        session_bytes_max: 1_000,
        ..Config::default()
    };
    let stall_timeout_max = session.stall_timeout_max.unwrap();
    let server = Server::with(ManagerConfig { session, ..ManagerConfig::default() });
    let session = server.initialized().await;
    let backend = server.backend().await;
    let mut connection = session.standalone().unwrap();
    assert!(matches!(next(&mut connection).await, Some(SseEvent::Priming { .. })));

    let peer = backend.peer();
    let told = tokio::spawn(async move {
        for number in 0..8 {
            peer.send(message(&format!(r#""method":"n{number}""#)), None).await?;
        }
        Ok::<(), SendError>(())
    });
    for index in 1..=8 {
        assert_eq!(next(&mut connection).await.map(|event| index_of(&event)), Some(Some(index)));
    }
    told.await.unwrap().unwrap();

    let peer = backend.peer();
    let begun = tokio::time::Instant::now();
    for _ in 0..8 {
        peer.send(message(r#""method":"n""#), None).await.unwrap();
    }
    assert!(begun.elapsed() > Duration::ZERO && begun.elapsed() <= stall_timeout_max);
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
async fn a_backend_that_takes_nothing_makes_its_client_wait_and_nobody_else() {
    let session = Config { batch_max: 1, ..Config::default() };
    let settings = ManagerConfig { session, queue_max: 1, ..ManagerConfig::default() };
    let server = Server::with(settings);
    let (busy, other) = (server.initialized().await, server.initialized().await);
    let note = || post(r#""method":"n""#);
    busy.notify(note()).await.unwrap();
    let (refused, ()) = tokio::join!(busy.notify(note()), async {
        other.notify(note()).await.unwrap();
    });
    assert_eq!(refused, Err(SessionError::Busy));
    let mut backend = server.backend().await;
    backend.hear().await;
    busy.notify(note()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn there_are_no_more_sessions_than_allowed_and_places_come_back() {
    let server = Server::with(ManagerConfig { sessions_max: 2, ..ManagerConfig::default() });
    let first = server.sessions.create_session().await.unwrap();
    let _second = server.sessions.create_session().await.unwrap();
    let refused = server.sessions.create_session().await;
    assert!(matches!(refused, Err(ManagerError::TooManySessions(2))), "{refused:?}");
    first.close(CloseReason::Cancelled);
    server.sessions.create_session().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_last_manager_takes_its_sessions_along() {
    let server = Server::begin();
    let session = server.initialized().await;
    let mut backend = server.backend().await;
    drop(server);
    assert_eq!(session.close_reason(), Some(CloseReason::ServerShutdown));
    assert_eq!(backend.hear_end().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_client_polls_as_the_backend_wants_it() {
    let server = Server::begin();
    let session = server.initialized().await;
    let mut connection =
        session.request(post(r#""id":1,"method":"a""#), AnswerFormat::Sse).await.unwrap();
    let mut backend = server.backend().await;
    let retry = Some(Duration::from_secs(1));
    backend.peer().disconnect(&RequestId::from(1), retry).unwrap();
    let first = next(&mut connection).await;
    assert!(matches!(first, Some(SseEvent::Priming { retry: None, .. })), "{first:?}");
    let Some(SseEvent::Priming { id: Some(id), retry: told }) = next(&mut connection).await else {
        panic!("a priming event with a retry");
    };
    assert_eq!(told, retry);
    assert_eq!(next(&mut connection).await, None);
    backend.say(r#""id":1,"result":{}"#).await;
    let mut connection = session.resume(id).unwrap();
    let event = next(&mut connection).await.unwrap();
    assert_eq!(index_of(&event), Some(id.index + 1));
    assert_eq!(backend.peer().disconnect(&RequestId::from(1), retry), Err(SendError::NotPending));
}

#[tokio::test(start_paused = true)]
async fn a_backend_is_told_why_a_connection_cannot_be_closed() {
    let server = Server::begin();
    let session = server.initialized().await;
    let call = post(r#""id":1,"method":"a""#);
    let _connection = session.request(call, AnswerFormat::Json).await.unwrap();
    let backend = server.backend().await;
    let refused = backend.peer().disconnect(&RequestId::from(1), None).unwrap_err();
    assert!(matches!(refused, SendError::CannotDisconnect(_)), "{refused}");
}

/// Many clients on many threads drop their connections and come back, while their
/// backends talk: each gets every event once, in order.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whoever_comes_back_gets_everything_once() {
    const EVENTS: u64 = 400;
    let server = Server::begin();
    let mut clients = Vec::new();
    for seed in 1..=8_u64 {
        let session = server.initialized().await;
        let mut backend = server.backend().await;
        clients.push(tokio::spawn(async move {
            let call = post(r#""id":1,"method":"a","params":{"_meta":{"progressToken":1}}"#);
            let mut connection = session.request(call, AnswerFormat::Sse).await.unwrap();
            let told = tokio::spawn(async move {
                backend.hear().await;
                for _ in 0..EVENTS {
                    let progress =
                        r#""method":"notifications/progress","params":{"progressToken":1}"#;
                    backend.say(progress).await;
                    tokio::task::yield_now().await;
                }
                backend.say(r#""id":1,"result":{}"#).await;
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
            drop(told.await.unwrap());
        }));
    }
    for client in clients {
        client.await.unwrap();
    }
}

fn index_of(event: &SseEvent) -> Option<u64> {
    match event {
        SseEvent::Message { id, .. } | SseEvent::Priming { id, .. } => id.map(|id| id.index),
        SseEvent::Gap { .. } => None,
    }
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_asks_and_does_not_listen_is_given_up() {
    let server = Server::begin();
    let session = server.initialized().await;
    let backend = server.backend().await;
    let peer = backend.peer();
    for id in 0..100_000 {
        let ask = message(&format!(r#""id":{id},"method":"ping""#));
        if peer.send(ask, None).await == Err(SendError::Ended) {
            assert_eq!(session.close_reason(), Some(CloseReason::BackendGone));
            return;
        }
    }
    panic!("nobody hears that its requests have failed, and they are all kept");
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_said_though_nobody_waits_for_its_readers() {
    // Half of what a session may keep is less than two events.
    let config = Config { stream_events_max: 2, session_bytes_max: 800, ..Config::default() };
    let settings = ManagerConfig { session: config, ..ManagerConfig::default() };
    let server = Server::with(settings);
    let session = server.initialized_as("2025-03-26").await;
    let call = post(r#""id":1,"method":"a""#);
    let mut connection = session.request(call, AnswerFormat::Sse).await.unwrap();
    let backend = server.backend().await;
    let notification = r#"{"jsonrpc":"2.0","method":"n"}"#;
    let batch = format!("[{notification},{notification}]");
    let related = Some(RequestId::from(1));
    let said = tokio::time::timeout(Duration::ZERO, backend.peer().send(batch, related)).await;
    assert!(said.is_err(), "the reader is behind, and its sender is to wait");
    assert!(matches!(next(&mut connection).await, Some(SseEvent::Message { .. })));
    assert!(matches!(next(&mut connection).await, Some(SseEvent::Message { .. })));
}

#[tokio::test(start_paused = true)]
async fn who_does_not_begin_with_initialize_is_told_that_the_session_is_over() {
    let server = Server::begin();
    let over = SessionError::Rejected(Rejection::Closed(CloseReason::ExpectedInitialize));
    let session = server.sessions.create_session().await.unwrap();
    assert_eq!(session.standalone().unwrap_err(), over);
    let session = server.sessions.create_session().await.unwrap();
    assert_eq!(session.notify(post(r#""method":"n""#)).await.unwrap_err(), over);
    let session = server.sessions.create_session().await.unwrap();
    let call = post(r#""id":1,"method":"a""#);
    assert_eq!(session.request(call, AnswerFormat::Sse).await.unwrap_err(), over);
    assert_eq!(server.sessions.sessions(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_stream_cannot_be_reserved_before_initialize_is_answered() {
    let server = Server::begin();
    let session = server.sessions.create_session().await.unwrap();
    let rejected = SessionError::Rejected(ApiMisuse::NotInitialized.into());
    assert_eq!(session.reserve().unwrap_err(), rejected);
    assert_eq!(server.sessions.sessions(), 1);
}

#[tokio::test(start_paused = true)]
async fn no_session_begins_after_the_end() {
    let server = Server::begin();
    server.initialized().await;
    server.sessions.close_all();
    let late = server.sessions.create_session().await;
    assert!(matches!(late, Err(ManagerError::Closing)), "{late:?}");
    assert_eq!(server.sessions.sessions(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_ends_before_it_begins_is_not_one_that_is_unknown() {
    let sessions = SessionManager::new(Deserter, ManagerConfig::default()).unwrap();
    let initialize = post(r#""id":0,"method":"initialize""#);
    let begun = sessions.initialize_session(initialize, AnswerFormat::Sse).await;
    assert!(
        matches!(begun, Err(ManagerError::ClosedDuringInitialize(CloseReason::BackendGone))),
        "{begun:?}"
    );
}

/// Is gone as soon as it is there.
struct Deserter;

impl Backend for Deserter {
    async fn open(&self, _: ClientSender, _: ClientMessages) -> Result<(), OpenError> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_reservation_that_is_over_or_of_another_session_takes_no_request() {
    let server = Server::begin();
    let session = server.initialized().await;
    let call = || post(r#""id":1,"method":"a""#);
    // Both have the same number, each in its own session.
    let of_another = server.initialized().await.reserve().unwrap();
    let mut reserved = session.reserve().unwrap();
    let late = session.request_on(&of_another, call(), AnswerFormat::Sse).await;
    assert_eq!(late, Err(SessionError::NotReserved));
    tokio::time::sleep(Duration::from_secs(11)).await;
    let late = session.request_on(&reserved, call(), AnswerFormat::Sse).await;
    assert_eq!(late, Err(SessionError::NotReserved));
    assert_eq!(next(&mut reserved).await, None);
    let late = session.request_on(&reserved, call(), AnswerFormat::Sse).await;
    assert_eq!(late, Err(SessionError::NotReserved));
}

#[tokio::test(start_paused = true)]
async fn no_more_is_taken_at_once_than_a_slow_reader_gets_through() {
    let server = Server::begin();
    let session = server.initialized().await;
    let mut connection =
        session.request(post(r#""id":1,"method":"a""#), AnswerFormat::Sse).await.unwrap();
    let backend = server.backend().await;
    let large = format!(r#"{{"jsonrpc":"2.0","method":"n","params":["{}"]}}"#, "x".repeat(40_000));
    for _ in 0..5 {
        backend.peer().send(large.clone(), Some(1.into())).await.unwrap();
    }
    let mut taken = Vec::new();
    let mut sizes = Vec::new();
    for _ in 0..3 {
        assert!(poll_fn(|cx| connection.poll_events(cx, &mut taken)).await);
        sizes.push(std::mem::take(&mut taken).len());
    }
    assert_eq!(sizes, [2, 1, 1], "the first one is the priming event and one more");
}

/// Answers at once, and counts what it heard.
struct Echo {
    heard: Arc<AtomicUsize>,
}

impl Backend for Echo {
    async fn open(&self, peer: ClientSender, inbox: ClientMessages) -> Result<(), OpenError> {
        let heard = Arc::clone(&self.heard);
        inbox.handle(move |message| {
            heard.fetch_add(1, Ordering::Relaxed);
            let message: serde_json::Value = serde_json::from_slice(&message).unwrap();
            assert_ne!(message["method"], "panic");
            if message["id"].is_number() {
                let id = &message["id"];
                let result = r#"{"protocolVersion":"2025-11-25"}"#;
                let answer = support::message(&format!(r#""id":{id},"result":{result}"#));
                peer.send_now(answer, None).unwrap();
            }
        });
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_answers_before_its_caller_looks_and_goes_with_its_session() {
    let heard = Arc::new(AtomicUsize::new(0));
    let backend = Echo { heard: Arc::clone(&heard) };
    let sessions = SessionManager::new(backend, ManagerConfig::default()).unwrap();
    let initialize = post(r#""id":0,"method":"initialize""#);
    let (session, mut answer) =
        sessions.initialize_session(initialize, AnswerFormat::Sse).await.unwrap();
    let mut events = Vec::new();
    assert!(!poll_fn(|cx| answer.poll_events(cx, &mut events)).await);
    assert_eq!(events.len(), 1);
    let call = post(r#""id":1,"method":"a""#);
    let mut connection = session.request(call, AnswerFormat::Sse).await.unwrap();
    assert!(!poll_fn(|cx| connection.poll_events(cx, &mut events)).await);
    assert_eq!((events.len(), heard.load(Ordering::Relaxed)), (3, 2));
    assert_eq!(Arc::strong_count(&heard), 3);
    session.delete().unwrap();
    assert_eq!(session.close_reason(), Some(CloseReason::Deleted));
    assert_eq!(Arc::strong_count(&heard), 2, "the handler is dropped");
}

#[tokio::test]
async fn a_handler_that_panics_ends_its_session_only() {
    let backend = Echo { heard: Arc::default() };
    let sessions = SessionManager::new(backend, ManagerConfig::default()).unwrap();
    let initialize = || post(r#""id":0,"method":"initialize""#);
    let (broken, _broken) =
        sessions.initialize_session(initialize(), AnswerFormat::Sse).await.unwrap();
    let (other, _other) =
        sessions.initialize_session(initialize(), AnswerFormat::Sse).await.unwrap();
    let handle = broken.clone();
    let panicked =
        tokio::spawn(async move { handle.notify(post(r#""method":"panic""#)).await }).await;
    assert!(panicked.unwrap_err().is_panic());
    assert_eq!(broken.close_reason(), Some(CloseReason::BackendGone));
    assert_eq!(other.close_reason(), None);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_comes_before_all_others_is_kept() {
    let server = Server::with(ManagerConfig { unused_timeout: None, ..ManagerConfig::default() });
    let session = server.initialized().await;
    // The next deadline is that of the idle time, or later.
    tokio::time::sleep(Duration::from_secs(61)).await;
    let mut reserved = session.reserve().unwrap();
    tokio::time::sleep(Duration::from_secs(11)).await;
    let over = tokio::time::timeout(Duration::from_secs(1), next(&mut reserved)).await;
    assert_eq!(over, Ok(None));
}

#[tokio::test(start_paused = true)]
async fn what_is_rejected_takes_no_room_from_what_is_not() {
    let server = Server::begin();
    let session = server.initialized().await;
    let call = || post(r#""id":1,"method":"a""#);
    let _connection = session.request(call(), AnswerFormat::Sse).await.unwrap();
    for _ in 0..1_000 {
        let again = session.request(call(), AnswerFormat::Sse).await.unwrap_err();
        assert!(matches!(again, SessionError::Rejected(Rejection::Client(_))), "{again}");
    }
    session.notify(post(r#""method":"n""#)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_message_whose_head_is_known_goes_where_its_head_says_and_is_not_read() {
    let server = Server::begin();
    let session = server.initialized().await;
    let backend = server.backend().await;
    let mut connection =
        session.request(post(r#""id":1,"method":"a""#), AnswerFormat::Sse).await.unwrap();
    let log = Head::Notification(Notification::Log);
    let related = Some(RequestId::from(1));
    backend.peer().send_with_head(log, "no JSON\nat all", related).await.unwrap();
    let answer =
        Head::Response { id: 1.into(), initialized: Initialized::default(), creates_task: false };
    backend.peer().send_with_head_now(answer, "an answer", None).unwrap();
    let mut bodies = Vec::new();
    while let Some(event) = next(&mut connection).await {
        if let SseEvent::Message { data, .. } = event {
            bodies.push(data);
        }
    }
    assert_eq!(bodies, ["no JSON at all", "an answer"]);
    let asked = Head::Request { id: 7.into(), method: Method::Other, progress_token: None };
    backend.peer().send_with_head_now(asked.clone(), "a question", None).unwrap();
    let again = backend.peer().send_with_head_now(asked, "a question", None).unwrap_err();
    assert!(matches!(again, SendError::Rejected(_)), "{again}");
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_takes_too_long_to_open_is_given_up() {
    struct Never;

    impl Backend for Never {
        async fn open(&self, _: ClientSender, _: ClientMessages) -> Result<(), OpenError> {
            std::future::pending().await
        }
    }

    let settings =
        ManagerConfig { start_timeout: Duration::from_secs(1), ..ManagerConfig::default() };
    let sessions = SessionManager::new(Never, settings).unwrap();
    let begun = tokio::time::Instant::now();
    let initialize = post(r#""id":0,"method":"initialize""#);
    let opened = sessions.initialize_session(initialize, AnswerFormat::Sse).await;
    assert!(matches!(opened, Err(ManagerError::Open(_))), "{opened:?}");
    assert_eq!(begun.elapsed(), Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_message_of_the_backend_that_is_nested_too_deep_is_refused() {
    let server = Server::with(ManagerConfig { json_depth_max: 8, ..ManagerConfig::default() });
    let _session = server.initialized().await;
    let backend = server.backend().await;
    let peer = backend.peer();
    let nested = |levels: usize| {
        let (open, close) = ("[".repeat(levels - 2), "]".repeat(levels - 2));
        message(&format!(r#""method":"n","params":{{"a":{open}{close}}}"#))
    };
    let head = || Head::Notification(Notification::Other);
    let too_deep = Err(SendError::TooDeep(rejoin::TooDeep { max: 8 }));
    for (levels, sent) in [(8, Ok(())), (9, too_deep)] {
        assert_eq!(peer.send(nested(levels), None).await, sent);
        assert_eq!(peer.send_with_head(head(), nested(levels), None).await, sent);
    }
}
