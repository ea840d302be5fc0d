//! Delivery: what a client receives that loses its connection and comes back.

use rejoin::{ManagerConfig, rmcp::LocalSessionManager};
use serde_json::json;

use crate::{
    client::{Client, Event},
    server::Server,
    service::Report,
};

fn numbers(events: &[Event]) -> Vec<u64> {
    let numbered = events.iter().filter(|event| event.message["method"] == "notifications/number");
    numbered.map(Event::number).collect()
}

/// Announces numbers on the standalone stream.
async fn announce(client: &Client, numbers: impl IntoIterator<Item = u64>) {
    for n in numbers {
        let mut events = client.call(1_000 + n, "announce", json!({ "n": n })).await;
        assert_eq!(events.text(1_000 + n).await, "announced");
    }
}

#[tokio::test]
async fn response_produced_while_the_client_is_away_is_delivered() {
    let mut server = Server::start().await;
    let client = server.connect().await;
    let mut events = client.call(1, "wait", json!({})).await;
    let priming = events.next().await.unwrap();
    assert_eq!(priming.id(), "0/0");
    server.wait_for_call("wait").await;
    drop(events);
    server.tools.gate.add_permits(1);
    server.wait_for(&Report::Returns("wait".to_owned())).await;
    client.echo(2).await;

    let mut events = client.get(Some(priming.id())).await;
    let response = events.message().await.unwrap();
    assert_eq!(response.message["id"], 1);
    assert_eq!(response.message["result"]["content"][0]["text"], "waited");
    assert!(events.next().await.is_none(), "the stream is complete");

    let mut events = client.get(response.id.as_deref()).await;
    assert!(events.next().await.is_none(), "it was received");
}

#[tokio::test]
async fn resume_of_a_pending_call_gets_its_response() {
    let mut server = Server::start().await;
    let client = server.connect().await;
    let mut events = client.call(1, "wait", json!({})).await;
    let priming = events.next().await.unwrap();
    server.wait_for_call("wait").await;
    drop(events);
    let mut resumed = client.get(Some(priming.id())).await;
    server.tools.gate.add_permits(1);
    assert_eq!(resumed.text(1).await, "waited");
}

#[tokio::test]
async fn resume_continues_strictly_after_each_event() {
    let server = Server::start().await;
    let client = server.connect().await;
    let call = json!({ "count": 5 });
    let mut events = client.call(1, "count", call).await;
    let mut all = vec![events.next().await.unwrap()];
    all.extend(events.messages().await);
    assert_eq!(numbers(&all), [1, 2, 3, 4, 5]);
    assert_eq!(all.len(), 7, "the priming event and the response, too");
    for (received, last) in all.iter().enumerate() {
        let rest = client.get(last.id.as_deref()).await.messages().await;
        let expected = all[received + 1..].iter().map(Event::id);
        assert!(rest.iter().map(Event::id).eq(expected), "after {}", last.id());
    }
}

#[tokio::test]
async fn standalone_stream_continues_strictly_after_each_event() {
    let server = Server::start().await;
    let client = server.connect().await;
    let mut events = client.get(None).await;
    announce(&client, 1..=4).await;
    let mut all = Vec::new();
    for _ in 1..=4 {
        all.push(events.message().await.unwrap());
    }
    drop(events);
    announce(&client, [5]).await;
    for (received, last) in (1..).zip(&all) {
        let mut events = client.get(last.id.as_deref()).await;
        for expected in received + 1..=5 {
            assert_eq!(events.message().await.unwrap().number(), expected);
        }
    }
}

#[tokio::test]
async fn new_get_does_not_repeat_what_was_received() {
    let server = Server::start().await;
    let client = server.connect().await;
    let mut events = client.get(None).await;
    announce(&client, [1, 2]).await;
    let mut first = Vec::new();
    for _ in 0..2 {
        first.push(events.message().await.unwrap().number());
    }
    assert_eq!(first, [1, 2]);
    drop(events);
    let mut events = client.get(None).await;
    // The HTTP service begins with the id 0, the session follows with its own.
    assert_eq!(events.next().await.unwrap().id(), "0");
    let priming = events.next().await.unwrap();
    assert!(priming.message.is_null() && priming.id() != "0", "{priming:?}");
    announce(&client, [3]).await;
    assert_eq!(events.message().await.unwrap().number(), 3);
    drop(events);
    let mut events = client.get(priming.id.as_deref()).await;
    assert_eq!(events.message().await.unwrap().number(), 3);
}

#[tokio::test]
async fn gap_is_reported_with_the_id_to_continue_after() {
    let mut config = ManagerConfig::default();
    config.session.stream_events_max = 3;
    let mut server = Server::start_with(LocalSessionManager::with_config(config).unwrap()).await;
    let client = server.connect().await;
    let mut events = client.call(1, "wait", json!({})).await;
    let priming = events.next().await.unwrap();
    assert_eq!(priming.id(), "0/0");
    drop(events);
    server.wait_for_call("wait").await;

    let mut events = client.call(2, "count", json!({ "count": 10, "then_wait": true })).await;
    let first = events.message().await.unwrap();
    assert_eq!((first.id(), first.number()), ("1/1", 1));
    drop(events);
    server.wait_for(&Report::Sent(10)).await;
    let mut events = client.get(first.id.as_deref()).await;
    let gap = events.next().await.unwrap();
    assert_eq!(gap.message["method"], "notifications/message", "{gap:?}");
    assert_eq!(gap.message["params"]["level"], "warning");
    let (index, stream) = gap.id().split_once('/').unwrap();
    let next = events.message().await.unwrap();
    assert_eq!((stream, next.number()), ("1", index.parse::<u64>().unwrap() + 1));
    assert!(next.number() > 2, "events are missing");
    drop(events);

    let mut events = client.get(gap.id.as_deref()).await;
    assert_eq!(events.next().await.unwrap().id(), next.id(), "the gap is not reported twice");
    drop(events);
    server.tools.gate.add_permits(2);
    let mut events = client.get(Some("10/1")).await;
    assert_eq!(events.text(2).await, "counted");
    assert_eq!(client.get(Some(priming.id())).await.text(1).await, "waited");
}

#[tokio::test]
async fn second_get_takes_over_when_the_first_goes() {
    let server = Server::start().await;
    let client = server.connect().await;
    let mut first = client.get(None).await;
    assert_eq!(first.next().await.unwrap().id(), "0");
    let mut second = client.get(None).await;
    assert_eq!(second.next().await.unwrap().id(), "0");
    assert_eq!(second.next().await.unwrap().id(), "shadow");
    announce(&client, [1]).await;
    assert_eq!(first.message().await.unwrap().number(), 1);
    drop(first);
    // An event of the session itself shows that it has taken over.
    let promoted = second.next().await.unwrap();
    assert!(promoted.message.is_null(), "{promoted:?}");
    announce(&client, [2]).await;
    assert_eq!(second.message().await.unwrap().number(), 2);
}

#[tokio::test]
async fn resume_of_an_unknown_event_ends_at_once() {
    let server = Server::start().await;
    let client = server.connect().await;
    client.echo(1).await;
    for id in ["0/999", "7", "not an id", "1/0/0"] {
        let mut events = client.get(Some(id)).await;
        assert_eq!(events.status, 200, "{id}");
        assert!(events.next().await.is_none(), "{id}");
    }
    client.echo(2).await;
}

#[tokio::test]
async fn second_get_that_comes_back_repeats_nothing() {
    let server = Server::start().await;
    let client = server.connect().await;
    let mut first = client.get(None).await;
    assert_eq!(first.next().await.unwrap().id(), "0");
    announce(&client, [1, 2]).await;
    for number in 1..=2 {
        assert_eq!(first.message().await.unwrap().number(), number);
    }
    let mut second = client.get(None).await;
    let ids = [second.next().await.unwrap(), second.next().await.unwrap()];
    assert_eq!(ids.each_ref().map(Event::id), ["0", "shadow"]);
    drop(second);
    let mut again = client.get(Some("shadow")).await;
    assert_eq!(again.next().await.unwrap().id(), "shadow");
    announce(&client, [3]).await;
    assert_eq!(first.message().await.unwrap().number(), 3);
    drop(first);
    let promoted = again.next().await.unwrap();
    assert!(promoted.message.is_null(), "{promoted:?}");
    announce(&client, [4]).await;
    assert_eq!(again.message().await.unwrap().number(), 4);
}

#[tokio::test]
async fn get_without_priming_begins_after_what_was_received() {
    let mut manager = LocalSessionManager::default();
    manager.session_config.sse_retry = None;
    let server = Server::start_with(manager).await;
    let client = server.connect().await;
    let mut first = client.get(None).await;
    announce(&client, [1, 2]).await;
    for number in 1..=2 {
        assert_eq!(first.message().await.unwrap().number(), number);
    }
    drop(first);
    let mut second = client.get(None).await;
    assert_eq!(second.next().await.unwrap().id(), "0", "that of the service");
    let last = second.next().await.unwrap();
    assert!(last.message.is_null(), "{last:?}");
    drop(second);
    let mut third = client.get(Some(last.id())).await;
    announce(&client, [3]).await;
    assert_eq!(third.message().await.unwrap().number(), 3);
}
