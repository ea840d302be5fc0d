//! A manager whose backends are the test itself.

use std::{future::poll_fn, pin::Pin};

use bytes::Bytes;
use futures_core::Stream;
use rejoin::{
    Backend, Connection, Inbox, OpenError, Peer, SessionHandle, SessionManager, Settings, SseEvent,
};
use rejoin_core::{AnswerFormat, Post};
use tokio::sync::{Mutex, mpsc};

pub(crate) struct Server {
    pub(crate) sessions: SessionManager,
    put_back: mpsc::UnboundedSender<Opened>,
    backends: Mutex<mpsc::UnboundedReceiver<Opened>>,
}

/// The backend of one session.
pub(crate) struct Opened {
    peer: Peer,
    inbox: Inbox,
}

struct Doors(mpsc::UnboundedSender<Opened>);

impl Backend for Doors {
    async fn open(&self, peer: Peer, inbox: Inbox) -> Result<(), OpenError> {
        Ok(self.0.send(Opened { peer, inbox })?)
    }
}

impl Server {
    pub(crate) fn begin() -> Self {
        let (doors, backends) = mpsc::unbounded_channel();
        let sessions = SessionManager::new(Doors(doors.clone()), Settings::default()).unwrap();
        Self { sessions, put_back: doors, backends: Mutex::new(backends) }
    }

    /// Begins a session of the newest revision; its backend is put back.
    pub(crate) async fn initialized(&self) -> SessionHandle {
        let initialize = post(r#""id":0,"method":"initialize""#);
        let opened = self.sessions.initialize_session(initialize, AnswerFormat::Sse).await.unwrap();
        let (session, mut connection) = opened;
        let mut backend = self.backend().await;
        backend.hear().await;
        backend.say(r#""id":0,"result":{"protocolVersion":"2025-11-25"}"#).await;
        assert!(next(&mut connection).await.is_some());
        assert!(next(&mut connection).await.is_none());
        assert!(self.put_back.send(backend).is_ok());
        session
    }

    pub(crate) async fn backend(&self) -> Opened {
        self.backends.lock().await.recv().await.unwrap()
    }
}

impl Opened {
    pub(crate) async fn hear(&mut self) -> Bytes {
        self.inbox.recv().await.unwrap()
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
    rejoin::parse(message(members), 64).unwrap()
}

pub(crate) async fn next(connection: &mut Connection) -> Option<SseEvent> {
    poll_fn(|cx| Pin::new(&mut *connection).poll_next(cx)).await
}
