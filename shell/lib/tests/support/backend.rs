//! A manager whose backends are driven by the test.

use std::{collections::VecDeque, future::poll_fn, pin::Pin};

use bytes::Bytes;
use futures_core::Stream;
use rejoin::{
    Backend, ClientMessage, ClientMessages, ClientSender, Connection, ManagerConfig, OpenError,
    SessionHandle, SessionManager, SessionManagerBuilder, SseEvent,
};
use rejoin_core::{AnswerFormat, Post};
use tokio::sync::{Mutex, mpsc};

pub(crate) struct Server {
    pub(crate) sessions: SessionManager,
    opened: Mutex<mpsc::UnboundedReceiver<BackendSession>>,
    /// The backends of initialized sessions, in order.
    backends: Mutex<VecDeque<BackendSession>>,
}

/// The backend of one session.
pub(crate) struct BackendSession {
    client: ClientSender,
    messages: ClientMessages,
}

struct ChannelBackend(mpsc::UnboundedSender<BackendSession>);

impl Backend for ChannelBackend {
    async fn open(&self, client: ClientSender, messages: ClientMessages) -> Result<(), OpenError> {
        Ok(self.0.send(BackendSession { client, messages })?)
    }
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::with(ManagerConfig::default())
    }

    pub(crate) fn with(config: ManagerConfig) -> Self {
        Self::built(config, |builder| builder)
    }

    /// Starts a manager with what `build` adds.
    pub(crate) fn built(
        config: ManagerConfig,
        build: impl FnOnce(SessionManagerBuilder) -> SessionManagerBuilder,
    ) -> Self {
        let (sender, opened) = mpsc::unbounded_channel();
        let builder = SessionManager::builder(ChannelBackend(sender), config);
        let sessions = build(builder).build().unwrap();
        Self { sessions, opened: Mutex::new(opened), backends: Mutex::default() }
    }

    /// Starts a session of the latest revision.
    pub(crate) async fn initialized(&self) -> SessionHandle {
        self.initialized_as("2025-11-25").await
    }

    pub(crate) async fn initialized_as(&self, version: &str) -> SessionHandle {
        let initialize = post(r#""id":0,"method":"initialize""#);
        let opened = self.sessions.initialize_session(initialize, AnswerFormat::Sse).await.unwrap();
        let (session, mut connection) = opened;
        let mut backend = self.opened().await;
        backend.receive().await;
        backend.send(&format!(r#""id":0,"result":{{"protocolVersion":"{version}"}}"#)).await;
        assert!(next(&mut connection).await.is_some());
        assert!(next(&mut connection).await.is_none());
        self.backends.lock().await.push_back(backend);
        session
    }

    /// Waits for a backend to be opened.
    pub(crate) async fn opened(&self) -> BackendSession {
        self.opened.lock().await.recv().await.unwrap()
    }

    /// Takes the backend of the oldest session whose backend has not been taken.
    pub(crate) async fn backend(&self) -> BackendSession {
        self.backends.lock().await.pop_front().unwrap()
    }
}

impl BackendSession {
    pub(crate) async fn receive(&mut self) -> Bytes {
        self.receive_message().await.into_bytes()
    }

    pub(crate) async fn receive_message(&mut self) -> ClientMessage {
        self.messages.recv().await.unwrap()
    }

    pub(crate) fn client(&self) -> ClientSender {
        self.client.clone()
    }

    pub(crate) async fn receive_or_end(&mut self) -> Option<Bytes> {
        self.messages.recv().await.map(ClientMessage::into_bytes)
    }

    pub(crate) async fn send(&mut self, members: &str) {
        self.client.send(message(members), None).await.unwrap();
    }
}

pub(crate) fn message(members: &str) -> Bytes {
    format!(r#"{{"jsonrpc":"2.0",{members}}}"#).into()
}

pub(crate) fn post(members: &str) -> Post<ClientMessage> {
    rejoin::parse_message(message(members), 64).unwrap()
}

pub(crate) async fn next(connection: &mut Connection) -> Option<SseEvent> {
    poll_fn(|cx| Pin::new(&mut *connection).poll_next(cx)).await
}
