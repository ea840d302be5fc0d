//! The fixture of a scenario: its setup, and the checks at its end.

use std::{
    collections::VecDeque,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::{Arc, Mutex},
    task::Poll,
};

use bytes::Bytes;
use futures_core::Stream as _;
use rejoin_core::{AnswerFormat, EventId, Post};
use shuttle::{future::block_on, thread::JoinHandle};

use crate::{
    Backend, ClientMessage, ClientMessages, ClientSender, Connection, ManagerConfig, OpenError,
    SessionHandle, SessionManager, SseEvent, sync::join_tasks,
};

/// A manager whose backends are controlled by the scenario.
pub(super) struct Fixture {
    pub(super) sessions: SessionManager,
    opened: Opened,
}

/// An initialized session, with its backend's ends.
pub(super) struct InitializedSession {
    pub(super) session: SessionHandle,
    pub(super) client: ClientSender,
    pub(super) messages: ClientMessages,
}

/// Maximum number of yields to threads that are removing a session.
const REMOVAL_YIELDS: usize = 100;

type Opened = Arc<Mutex<VecDeque<(ClientSender, ClientMessages)>>>;

struct StoringBackend(Opened);

impl Backend for StoringBackend {
    async fn open(&self, client: ClientSender, messages: ClientMessages) -> Result<(), OpenError> {
        self.0.lock().unwrap().push_back((client, messages));
        Ok(())
    }
}

impl Fixture {
    /// Creates a fixture whose scenario controls the backends.
    pub(super) fn new(config: ManagerConfig) -> Self {
        let opened = Opened::default();
        Self { opened: Arc::clone(&opened), ..Self::with(StoringBackend(opened), config) }
    }

    /// Creates a fixture with the given backend.
    pub(super) fn with(backend: impl Backend, config: ManagerConfig) -> Self {
        let sessions = SessionManager::new(backend, config).unwrap();
        Self { sessions, opened: Opened::default() }
    }

    /// Returns the ends of the next backend that was opened.
    pub(super) fn take_opened(&self) -> (ClientSender, ClientMessages) {
        self.opened.lock().unwrap().pop_front().unwrap()
    }

    /// Creates and initializes a session.
    pub(super) fn initialized_session(&self) -> InitializedSession {
        block_on(async {
            let initialize = post(r#""id":0,"method":"initialize""#);
            let initialized = self.sessions.initialize_session(initialize, AnswerFormat::Sse).await;
            let (session, connection) = initialized.unwrap();
            let (client, mut messages) = self.take_opened();
            messages.recv().await.unwrap();
            let response = message(r#""id":0,"result":{"protocolVersion":"2025-11-25"}"#);
            client.send(response, None).await.unwrap();
            assert_eq!(remaining_messages(connection).await.len(), 1);
            InitializedSession { session, client, messages }
        })
    }

    /// Waits until a session was closed by its deadline, and removed.
    pub(super) fn wait_until_removed(&self, messages: &ClientMessages) {
        block_on(messages.ended());
        self.finish_removal();
    }

    /// Yields until sessions that were closed by a deadline are removed.
    pub(super) fn finish_removal(&self) {
        for _ in 0..REMOVAL_YIELDS {
            let has_no_deadlines = self.sessions.shared().deadlines.is_empty();
            if self.sessions.sessions() == 0 && has_no_deadlines {
                break;
            }
            shuttle::thread::yield_now();
        }
    }

    /// Checks that every session has ended, and that nothing refers to one.
    pub(super) fn end(self) {
        let shared = Arc::downgrade(self.sessions.shared());
        let known = self.sessions.sessions();
        let has_no_deadlines = self.sessions.shared().deadlines.is_empty();
        drop(self);
        block_on(join_tasks());
        assert_eq!(known, 0);
        assert!(has_no_deadlines);
        // Every session has a reference to it.
        assert!(shared.upgrade().is_none());
    }
}

/// Spawns a thread that runs a future.
pub(super) fn thread<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    shuttle::thread::spawn(|| block_on(future))
}

pub(super) fn message(members: &str) -> Bytes {
    format!(r#"{{"jsonrpc":"2.0",{members}}}"#).into()
}

pub(super) fn post(members: &str) -> Post<ClientMessage> {
    crate::parse_message(message(members), 64).unwrap()
}

/// A request, which [`responses`] answers.
pub(super) fn request(id: u32) -> Post<ClientMessage> {
    let token = format!(r#""params":{{"_meta":{{"progressToken":{id}}}}}"#);
    post(&format!(r#""id":{id},"method":"a",{token}"#))
}

/// The messages that answer a request: progress, and the response.
pub(super) fn responses(id: u32) -> [Bytes; 2] {
    let token = format!(r#""params":{{"progressToken":{id},"progress":1}}"#);
    [
        message(&format!(r#""method":"notifications/progress",{token}"#)),
        message(&format!(r#""id":{id},"result":{{}}"#)),
    ]
}

/// Returns the id of a request that a backend has received.
pub(super) fn request_id(received: &[u8]) -> Option<u32> {
    let received: serde_json::Value = serde_json::from_slice(received).unwrap();
    received["method"]
        .is_string()
        .then(|| received["id"].as_u64())?
        .map(|id| u32::try_from(id).unwrap())
}

/// Answers requests until the session ends, and returns their ids.
pub(super) async fn serve(client: ClientSender, mut messages: ClientMessages) -> Vec<u32> {
    let mut ids = Vec::new();
    while let Some(received) = messages.recv().await {
        let Some(id) = request_id(&received) else { continue };
        ids.push(id);
        for message in responses(id) {
            // An error means that the session has ended.
            let _ = client.send(message, None).await;
        }
    }
    ids
}

/// Waits for the next event.
pub(super) async fn next(connection: &mut Connection) -> Option<SseEvent> {
    poll_fn(|cx| Pin::new(&mut *connection).poll_next(cx)).await
}

/// Waits for the end of a connection, and returns its messages until then.
pub(super) async fn remaining_messages(mut connection: Connection) -> Vec<Bytes> {
    let mut messages = Vec::new();
    while let Some(event) = next(&mut connection).await {
        messages.extend(message_of(event));
    }
    messages
}

/// Returns the message of an event, if it has one. A gap fails the test.
pub(super) fn message_of(event: SseEvent) -> Option<Bytes> {
    match event {
        SseEvent::Message { data, .. } => Some(data),
        SseEvent::Priming { .. } => None,
        SseEvent::Gap { id, first, .. } => panic!("events {first} to {id} are missing"),
    }
}

pub(super) fn event_id(event: &SseEvent) -> Option<EventId> {
    match event {
        SseEvent::Message { id, .. } => *id,
        SseEvent::Priming { id, .. } | SseEvent::Gap { id, .. } => Some(*id),
    }
}

/// Polls a future once, and drops it if it is not ready.
pub(super) async fn poll_once<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}
