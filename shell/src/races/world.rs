//! What a scenario begins with, and what must be left of it.

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
    Backend, ClientMessages, Connection, OpenError, Peer, SessionHandle, SessionManager, Settings,
    SseEvent, sync::tasks_end,
};

/// A manager whose backends are the scenario itself.
pub(super) struct World {
    pub(super) sessions: SessionManager,
    opened: Opened,
}

/// A session that is initialized, and both ends of it.
pub(super) struct Begun {
    pub(super) session: SessionHandle,
    pub(super) peer: Peer,
    pub(super) inbox: ClientMessages,
}

/// How often the others may go on before they must have done what they had begun.
const SETTLING: usize = 100;

type Opened = Arc<Mutex<VecDeque<(Peer, ClientMessages)>>>;

struct Doors(Opened);

impl Backend for Doors {
    async fn open(&self, peer: Peer, inbox: ClientMessages) -> Result<(), OpenError> {
        self.0.lock().unwrap().push_back((peer, inbox));
        Ok(())
    }
}

impl World {
    pub(super) fn begin(settings: Settings) -> Self {
        let opened = Opened::default();
        Self { opened: Arc::clone(&opened), ..Self::with(Doors(opened), settings) }
    }

    /// Begins with a backend that keeps what it is opened with.
    pub(super) fn with(backend: impl Backend, settings: Settings) -> Self {
        let sessions = SessionManager::new(backend, settings).unwrap();
        Self { sessions, opened: Opened::default() }
    }

    /// Takes the backend that was opened first, of those that were not taken.
    pub(super) fn opened(&self) -> (Peer, ClientMessages) {
        self.opened.lock().unwrap().pop_front().unwrap()
    }

    /// Begins a session of the newest revision.
    pub(super) fn initialized(&self) -> Begun {
        block_on(async {
            let initialize = post(r#""id":0,"method":"initialize""#);
            let begun = self.sessions.initialize_session(initialize, AnswerFormat::Sse).await;
            let (session, connection) = begun.unwrap();
            let (peer, mut inbox) = self.opened();
            inbox.recv().await.unwrap();
            let answer = message(r#""id":0,"result":{"protocolVersion":"2025-11-25"}"#);
            peer.send(answer, None).await.unwrap();
            assert_eq!(rest(connection).await.len(), 1);
            Begun { session, peer, inbox }
        })
    }

    /// Waits until a session has ended by its deadline, and was let go of.
    pub(super) fn let_end(&self, inbox: &ClientMessages) {
        block_on(inbox.ended());
        self.settle();
    }

    /// Has whoever lets go of a session, by its deadline, finish what it does.
    pub(super) fn settle(&self) {
        for _ in 0..SETTLING {
            let is_asleep = self.sessions.shared().deadlines.is_empty();
            if self.sessions.sessions() == 0 && is_asleep {
                break;
            }
            shuttle::thread::yield_now();
        }
    }

    /// Ends the world, in which every session must have ended: nobody knows of one, waits
    /// for one or keeps one.
    pub(super) fn end(self) {
        let shared = Arc::downgrade(self.sessions.shared());
        let known = self.sessions.sessions();
        let is_asleep = self.sessions.shared().deadlines.is_empty();
        drop(self);
        block_on(tasks_end());
        assert_eq!(known, 0);
        assert!(is_asleep);
        // Every session, and whatever keeps one, keeps this.
        assert!(shared.upgrade().is_none());
    }
}

/// Begins a thread that carries a future out.
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

pub(super) fn post(members: &str) -> Post<Bytes> {
    crate::parse(message(members), 64).unwrap()
}

/// A request, which [`answer`] answers.
pub(super) fn request(id: u32) -> Post<Bytes> {
    let token = format!(r#""params":{{"_meta":{{"progressToken":{id}}}}}"#);
    post(&format!(r#""id":{id},"method":"a",{token}"#))
}

/// What a request is answered with: its progress, and the response.
pub(super) fn answer(id: u32) -> [Bytes; 2] {
    let token = format!(r#""params":{{"progressToken":{id},"progress":1}}"#);
    [
        message(&format!(r#""method":"notifications/progress",{token}"#)),
        message(&format!(r#""id":{id},"result":{{}}"#)),
    ]
}

/// Returns the id of a request that a backend hears.
pub(super) fn id_of(heard: &Bytes) -> Option<u32> {
    let heard: serde_json::Value = serde_json::from_slice(heard).unwrap();
    heard["method"].is_string().then(|| heard["id"].as_u64())?.map(|id| u32::try_from(id).unwrap())
}

/// Answers requests until the session ends, and returns the ids of those that it heard.
pub(super) async fn serve(peer: Peer, mut inbox: ClientMessages) -> Vec<u32> {
    let mut ids = Vec::new();
    while let Some(heard) = inbox.recv().await {
        let Some(id) = id_of(&heard) else { continue };
        ids.push(id);
        for message in answer(id) {
            // An error says that the session has ended.
            let _ = peer.send(message, None).await;
        }
    }
    ids
}

/// Waits for the next event.
pub(super) async fn next(connection: &mut Connection) -> Option<SseEvent> {
    poll_fn(|cx| Pin::new(&mut *connection).poll_next(cx)).await
}

/// Waits for the end of a connection, and returns the messages that it carried until then.
pub(super) async fn rest(mut connection: Connection) -> Vec<Bytes> {
    let mut messages = Vec::new();
    while let Some(event) = next(&mut connection).await {
        messages.extend(message_of(event));
    }
    messages
}

/// Returns the message of an event that has one. Nothing is ever missed.
pub(super) fn message_of(event: SseEvent) -> Option<Bytes> {
    match event {
        SseEvent::Message { data, .. } => Some(data),
        SseEvent::Priming { .. } => None,
        SseEvent::Gap { missed, .. } => panic!("{missed:?} were missed"),
    }
}

pub(super) fn id_after(event: &SseEvent) -> Option<EventId> {
    match event {
        SseEvent::Message { id, .. } | SseEvent::Priming { id, .. } => *id,
        SseEvent::Gap { .. } => None,
    }
}

/// Polls a future once. Who is not ready is dropped.
pub(super) async fn at_once<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}
