//! A manager whose backends are the test itself.

use std::{collections::VecDeque, future::poll_fn, pin::Pin};

use bytes::Bytes;
use futures_core::Stream;
use rejoin::{
    Backend, ClientMessages, ClientSender, Connection, ManagerConfig, OpenError, SessionHandle,
    SessionManager, SseEvent,
};
use rejoin_core::{AnswerFormat, Post};
use tokio::sync::{Mutex, mpsc};

pub(crate) struct Server {
    pub(crate) sessions: SessionManager,
    opened: Mutex<mpsc::UnboundedReceiver<Opened>>,
    /// The backends of initialized sessions, in order.
    backends: Mutex<VecDeque<Opened>>,
}

/// The backend of one session.
pub(crate) struct Opened {
    peer: ClientSender,
    inbox: ClientMessages,
}

struct Doors(mpsc::UnboundedSender<Opened>);

impl Backend for Doors {
    async fn open(&self, peer: ClientSender, inbox: ClientMessages) -> Result<(), OpenError> {
        Ok(self.0.send(Opened { peer, inbox })?)
    }
}

impl Server {
    pub(crate) fn begin() -> Self {
        Self::with(ManagerConfig::default())
    }

    pub(crate) fn with(settings: ManagerConfig) -> Self {
        let (doors, opened) = mpsc::unbounded_channel();
        let sessions = SessionManager::new(Doors(doors), settings).unwrap();
        Self { sessions, opened: Mutex::new(opened), backends: Mutex::default() }
    }

    /// Begins a session of the newest revision.
    pub(crate) async fn initialized(&self) -> SessionHandle {
        self.initialized_as("2025-11-25").await
    }

    pub(crate) async fn initialized_as(&self, version: &str) -> SessionHandle {
        let initialize = post(r#""id":0,"method":"initialize""#);
        let opened = self.sessions.initialize_session(initialize, AnswerFormat::Sse).await.unwrap();
        let (session, mut connection) = opened;
        let mut backend = self.opened().await;
        backend.hear().await;
        backend.say(&format!(r#""id":0,"result":{{"protocolVersion":"{version}"}}"#)).await;
        assert!(next(&mut connection).await.is_some());
        assert!(next(&mut connection).await.is_none());
        self.backends.lock().await.push_back(backend);
        session
    }

    /// Waits for a backend to be opened.
    pub(crate) async fn opened(&self) -> Opened {
        self.opened.lock().await.recv().await.unwrap()
    }

    /// Takes the backend of the first session whose backend was not taken.
    pub(crate) async fn backend(&self) -> Opened {
        self.backends.lock().await.pop_front().unwrap()
    }
}

impl Opened {
    pub(crate) async fn hear(&mut self) -> Bytes {
        self.inbox.recv().await.unwrap()
    }

    pub(crate) fn peer(&self) -> ClientSender {
        self.peer.clone()
    }

    pub(crate) async fn hear_end(&mut self) -> Option<Bytes> {
        self.inbox.recv().await
    }

    pub(crate) async fn say(&mut self, members: &str) {
        self.peer.send(message(members), None).await.unwrap();
    }
}

pub(crate) fn message(members: &str) -> Bytes {
    format!(r#"{{"jsonrpc":"2.0",{members}}}"#).into()
}

pub(crate) fn post(members: &str) -> Post<Bytes> {
    rejoin::parse_message(message(members), 64).unwrap()
}

pub(crate) async fn next(connection: &mut Connection) -> Option<SseEvent> {
    poll_fn(|cx| Pin::new(&mut *connection).poll_next(cx)).await
}
