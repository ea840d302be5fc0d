//! Polling: a handler closes the connection of its request, and the client comes back.

use std::time::Duration;

use serde_json::json;

use crate::server::Server;

#[tokio::test]
async fn handler_disconnects_its_client() {
    let mut server = Server::start().await;
    let client = server.connect().await;
    let mut events = client.call(1, "poll", json!({ "retry": 70 })).await;
    let opening = events.next().await.unwrap();
    assert_eq!((opening.id(), opening.retry), ("0/0", Some(Duration::from_secs(3))));
    let closing = events.next().await.unwrap();
    assert_eq!((closing.id(), closing.retry), ("1/0", Some(Duration::from_millis(70))));
    assert!(events.next().await.is_none(), "the connection is closed");

    server.wait_for_call("poll").await;
    server.tools.gate.add_permits(1);
    let mut events = client.get(closing.id.as_deref()).await;
    assert_eq!(events.text(1).await, "polled");
}
