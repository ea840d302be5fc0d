//! What somebody who watches a session is told.

use std::time::Duration;

use rejoin::{ManagerConfig, SessionHandle, SessionWatch, WatchEnd, WatchError, WatchedStep};
use rejoin_core::{Action, AnswerFormat, ConnectionId, EventId, Input, StreamId};

use crate::{
    recorder::Recorder,
    support::{Server, next, post},
};

const CALL: &str = r#""id":7,"method":"tools/call","params":{"name":"add"}"#;
const RESPONSE: &str = r#""id":7,"result":{}"#;

#[expect(clippy::wildcard_enum_match_arm, reason = "most inputs are described by their name")]
fn describe(step: &WatchedStep) -> String {
    let input = match &step.input {
        Input::Post { .. } => "post".to_owned(),
        Input::Get { last_event_id, .. } => format!("get {last_event_id:?}"),
        Input::BackendMessage { message, .. } => format!("message {:?}", message.head),
        Input::Acknowledged { through, .. } => format!("acknowledged {through}"),
        Input::ConnectionClosed { .. } => "closed".to_owned(),
        other => format!("{other:?}"),
    };
    let sent = step.actions.iter().filter_map(|action| {
        let Action::Send { id, .. } = action else { return None };
        Some(format!(" {id}"))
    });
    input + &sent.collect::<String>()
}

async fn steps(watch: &mut SessionWatch) -> Vec<String> {
    let steps = watch.next().await.unwrap();
    steps.iter().map(|step| describe(step)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_watch_begins_with_the_state_and_goes_on_with_each_input() {
    let server = Server::start();
    let session = server.initialized().await;
    let mut backend = server.backend().await;
    let mut connection = session.request(post(CALL), AnswerFormat::Sse).await.unwrap();
    // The priming event.
    assert!(next(&mut connection).await.is_some());
    tokio::time::sleep(Duration::from_secs(3)).await;

    let (start, mut watch) = session.watch().unwrap();
    assert_eq!(start.stats.age, Duration::from_secs(3));
    assert_eq!(start.connections, [(ConnectionId(1), Some(StreamId::Request(0)))]);
    let stream = start.streams[1];
    assert_eq!((stream.id, stream.last, stream.pending_requests), (StreamId::Request(0), 0, 1));
    assert_eq!((stream.attached, stream.is_complete), (Some(ConnectionId(1)), false));

    drop(connection);
    backend.send(RESPONSE).await;
    let after = EventId { stream: StreamId::Request(0), index: 0 };
    let mut resumed = session.resume(after).unwrap();
    let all = watch.next().await.unwrap();
    let described: Vec<_> = all.iter().map(|step| describe(step)).collect();
    assert_eq!(described[0], "closed");
    assert!(described[1].starts_with("message Response"), "{described:?}");
    assert_eq!(all[1].recorded.unwrap().to_string(), "1/0");
    assert_eq!(described[2], format!("get {:?} 1/0", Some(after)));
    assert!(matches!(
        &all[2].actions[0],
        Action::Send { event: rejoin_core::Event::Message(Some(head)), .. } if !head.is_request()
    ));
    assert_eq!(described.len(), 3);

    assert!(next(&mut resumed).await.is_some());
    assert!(next(&mut resumed).await.is_none());
    assert_eq!(steps(&mut watch).await, ["closed"]);
    session.delete().unwrap();
    assert_eq!(steps(&mut watch).await, ["Delete"]);
    assert_eq!(watch.next().await.unwrap_err(), WatchEnd::Closed);
    assert_eq!(session.watch().err(), Some(WatchError::Closed));
}

#[tokio::test(start_paused = true)]
async fn a_watch_names_the_stream_of_a_connection() {
    let server = Server::start();
    let session = server.initialized().await;
    let (_, mut watch) = session.watch().unwrap();
    let first = session.standalone().unwrap();
    let _second = session.standalone().unwrap();
    drop(first);
    let steps = watch.next().await.unwrap();
    let attached: Vec<_> = steps.iter().map(|step| (step.attached_to, step.standalone)).collect();
    let (first, second) = (ConnectionId(1), Some(ConnectionId(2)));
    assert_eq!(attached[0], (Some(StreamId::Standalone), Some(first)));
    assert_eq!(attached[1], (None, Some(first)), "a shadow");
    assert_eq!(attached[2], (None, second), "it was promoted");
}

#[tokio::test(start_paused = true)]
async fn a_watch_tells_timeouts_from_errors_of_the_backend() {
    let mut config = ManagerConfig::default();
    config.request_timeout = Some(Duration::from_secs(9));
    let server = Server::built(config, |builder| builder.observer(Recorder::new()));
    let session = server.initialized().await;
    let mut backend = server.backend().await;
    let (_, mut watch) = session.watch().unwrap();
    let mut connections = Vec::new();
    for call in [CALL, &CALL.replace('7', "8")] {
        connections.push(session.request(post(call), AnswerFormat::Sse).await.unwrap());
    }
    backend.send(r#""id":7,"error":{"code":-32000,"message":"m"}"#).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    let steps = watch.next().await.unwrap();
    let errors: Vec<_> = steps
        .iter()
        .filter(|step| matches!(step.input, Input::BackendMessage { .. }))
        .map(|step| step.timed_out.as_ref().map(ToString::to_string))
        .collect();
    assert_eq!(errors, [None, Some("8".to_owned())]);
    assert_eq!(steps.iter().filter(|step| step.timed_out.is_some()).count(), 1);
    let error = steps.iter().find(|step| step.timed_out.is_some()).unwrap().recorded.unwrap();
    let (later, _watch) = session.watch().unwrap();
    assert_eq!(later.timed_out, [error]);
}

#[tokio::test(start_paused = true)]
async fn a_slow_watcher_is_told_that_steps_are_missing() {
    let mut config = ManagerConfig::default();
    config.session.stream_events_max = 8;
    let server = Server::with(config);
    let session = server.initialized().await;
    let mut backend = server.backend().await;
    let (_, mut slow) = session.watch().unwrap();
    for _ in 0..10_000 {
        backend.send(r#""method":"notifications/message","params":{}"#).await;
    }
    let steps = slow.next().await.unwrap();
    assert!((1_000..=8_192).contains(&steps.len()), "{}", steps.len());
    assert_eq!(slow.next().await.unwrap_err(), WatchEnd::TooSlow);
    // The session goes on, and can be watched again.
    let (start, _again) = session.watch().unwrap();
    assert_eq!(start.streams[0].last, 10_000);
}

#[tokio::test(start_paused = true)]
async fn each_message_of_a_rejected_batch_counts_for_a_slow_watcher() {
    let server = Server::start();
    let session = server.initialized().await;
    let (_, mut slow) = session.watch().unwrap();
    let ping = |id| format!(r#"{{"jsonrpc":"2.0","id":"{id:0>200}","method":"ping"}}"#);
    let batch = format!("[{}]", (0..64).map(ping).collect::<Vec<_>>().join(","));
    for _ in 0..1_000 {
        let batch = rejoin::parse_message(batch.clone().into(), 64).unwrap();
        // Its revision has no batches.
        assert!(session.request(batch, AnswerFormat::Sse).await.is_err());
    }
    let steps = slow.next().await.unwrap();
    assert!(steps.iter().all(|step| step.rejection.is_some()));
    assert!((32..=128).contains(&steps.len()), "{}", steps.len());
    assert_eq!(slow.next().await.unwrap_err(), WatchEnd::TooSlow);
}

#[tokio::test(start_paused = true)]
async fn the_number_of_watchers_is_limited() {
    let server = Server::start();
    let session = server.initialized().await;
    let watch = |session: &SessionHandle| session.watch().map(|(_, watch)| watch);
    let mut watches: Vec<_> = (0..4).map(|_| watch(&session).unwrap()).collect();
    assert_eq!(watch(&session).err(), Some(WatchError::TooMany(4)));
    watches.pop();
    assert!(watch(&session).is_ok());
}
