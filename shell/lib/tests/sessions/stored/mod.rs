//! Sessions in a store, and managers that take them over from each other.

mod commits;
mod outages;
mod seeds;
mod store;
mod takeover;

use std::time::Duration;

use rejoin::{Connection, ManagerConfig, SessionHandle, SseEvent, store::StoreConfig};
use rejoin_core::EventId;

use self::store::TestStore;
use crate::support::{Server, next};

/// Starts a manager that shares a store with others.
fn server(store: &TestStore) -> Server {
    Server::built(ManagerConfig::default(), |builder| {
        builder.store(store.clone(), StoreConfig::default())
    })
}

/// Starts a manager that knows the store for long enough to take sessions over.
async fn settled_server(store: &TestStore) -> Server {
    let server = server(store);
    drop(server.initialized().await);
    tokio::time::sleep(Duration::from_secs(4)).await;
    server
}

/// Finds a session in a manager.
async fn find(server: &Server, session: &SessionHandle) -> SessionHandle {
    server.sessions.find_session(None, session.id()).await.unwrap()
}

/// Returns all events of a connection that ends.
async fn events(connection: &mut Connection) -> Vec<SseEvent> {
    let mut events = Vec::new();
    while let Some(event) = next(connection).await {
        events.push(event);
    }
    events
}

/// Returns the text of a message.
fn text(event: &SseEvent) -> &str {
    match event {
        SseEvent::Message { data, .. } => str::from_utf8(data).unwrap(),
        SseEvent::Priming { .. } => "",
        SseEvent::Gap { .. } => "gap",
    }
}

fn id(text: &str) -> EventId {
    text.parse().unwrap()
}
