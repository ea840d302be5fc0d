//! Panics of the core: they close the session, whichever call they happen in.

use std::{
    collections::VecDeque,
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use futures_core::Stream as _;
use rejoin_core::{AnswerFormat, Instant, Post, SessionCloseReason};

use super::{
    Connection, SessionError, SessionHandle,
    inner::{PANICKED, SessionInner},
};
use crate::{
    Backend, ClientMessage, ClientMessages, ClientSender, ManagerConfig, OpenError, SendError,
    SessionManager, parse_message,
};

/// What uses the core when it panics.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Use {
    Request,
    Notify,
    Standalone,
    Resume,
    Delete,
    Close,
    Getter,
    Read,
    #[cfg(feature = "http")]
    ReadPart,
    #[cfg(feature = "http")]
    DisconnectConnection,
    DropConnection,
    DropConnectionInUnwinding,
    BackendMessage,
    BackendDisconnect,
    DropMessages,
    Deadline,
    Unused,
    Drain,
}

const USES: &[Use] = &[
    Use::Request,
    Use::Notify,
    Use::Standalone,
    Use::Resume,
    Use::Delete,
    Use::Close,
    Use::Getter,
    Use::Read,
    #[cfg(feature = "http")]
    Use::ReadPart,
    #[cfg(feature = "http")]
    Use::DisconnectConnection,
    Use::DropConnection,
    Use::DropConnectionInUnwinding,
    Use::BackendMessage,
    Use::BackendDisconnect,
    Use::DropMessages,
    Use::Deadline,
    Use::Unused,
    Use::Drain,
];

impl Use {
    /// Returns whether it happens to a session whose client waits for a response.
    fn has_request(self) -> bool {
        !matches!(self, Self::DropMessages | Self::Unused | Self::Drain)
    }
}

type Opened = Arc<Mutex<VecDeque<(ClientSender, ClientMessages)>>>;

struct StoringBackend(Opened);

impl Backend for StoringBackend {
    async fn open(&self, client: ClientSender, messages: ClientMessages) -> Result<(), OpenError> {
        self.0.lock().unwrap().push_back((client, messages));
        Ok(())
    }
}

/// An initialized session, whose connection has one message to read.
struct Fixture {
    sessions: SessionManager,
    session: SessionHandle,
    inner: Arc<SessionInner<Bytes>>,
    client: ClientSender,
    messages: ClientMessages,
    connection: Option<Connection>,
}

impl Fixture {
    async fn new(sessions: &SessionManager, opened: &Opened, has_request: bool) -> Self {
        let initialize = post(r#""id":0,"method":"initialize""#);
        let initialized = sessions.initialize_session(initialize, AnswerFormat::Sse).await;
        let (session, mut connection) = initialized.unwrap();
        let (client, messages) = opened.lock().unwrap().pop_front().unwrap();
        let response = message(r#""id":0,"result":{"protocolVersion":"2025-11-25"}"#);
        client.send(response, None).await.unwrap();
        read_to_end(&mut connection).await;
        let inner = sessions.shared().registry.find(session.id()).unwrap();
        let sessions = sessions.clone();
        let mut this = Self { sessions, session, inner, client, messages, connection: None };
        if has_request {
            let request = post(r#""id":1,"method":"a""#);
            let connection = this.session.request(request, AnswerFormat::Sse).await.unwrap();
            this.client.send(message(r#""method":"n""#), Some(1.into())).await.unwrap();
            let connection = this.connection.insert(connection);
            poll_fn(|cx| Pin::new(&mut *connection).poll_next(cx)).await.unwrap();
        }
        this
    }

    /// Makes the next use of the core panic, and uses it.
    async fn panic_in(mut self, cause: Use) {
        self.inner.with_lock((), |locked| locked.state.panics = true);
        let panicked = SessionError::Rejected(PANICKED);
        match cause {
            Use::Request => {
                let request = post(r#""id":2,"method":"a""#);
                let refused = self.session.request(request, AnswerFormat::Sse).await;
                assert_eq!(refused.unwrap_err(), panicked);
            }
            Use::Notify => {
                let refused = self.session.notify(post(r#""method":"a""#)).await;
                assert_eq!(refused, Err(panicked));
            }
            Use::Standalone => assert_eq!(self.session.standalone().unwrap_err(), panicked),
            Use::Resume => {
                let refused = self.session.resume("0/0".parse().unwrap());
                assert_eq!(refused.unwrap_err(), panicked);
            }
            Use::Delete => assert_eq!(self.session.delete(), Err(panicked)),
            Use::Close => self.session.close(SessionCloseReason::ServerShutdown),
            Use::Getter => assert_eq!(self.session.initialized(), None),
            Use::Read => {
                let (connection, mut events) = (self.connection.as_mut().unwrap(), Vec::new());
                assert!(!poll_fn(|cx| connection.poll_events(cx, &mut events)).await);
            }
            #[cfg(feature = "http")]
            Use::ReadPart => assert!(self.connection.as_mut().unwrap().take_part().is_none()),
            #[cfg(feature = "http")]
            Use::DisconnectConnection => {
                self.connection.as_ref().unwrap().disconnect(Duration::ZERO);
            }
            Use::DropConnection => drop(self.connection.take()),
            Use::DropConnectionInUnwinding => {
                let connection = self.connection.take();
                let unwinding = catch_unwind(AssertUnwindSafe(move || {
                    let _connection = connection;
                    panic!("a panic outside of the session");
                }));
                assert!(unwinding.is_err());
            }
            Use::BackendMessage => {
                let refused = self.client.send(message(r#""method":"n""#), None).await;
                assert_eq!(refused, Err(SendError::Ended));
            }
            Use::BackendDisconnect => {
                let refused = self.client.disconnect(&1.into(), None);
                assert_eq!(refused, Err(SendError::NotPending));
            }
            Use::DropMessages => {
                drop(self.messages);
                assert_eq!(self.session.close_reason(), Some(SessionCloseReason::InternalError));
                return;
            }
            Use::Deadline => self.inner.on_deadline(Instant::MAX),
            Use::Unused => assert!(self.inner.close_if_unused()),
            Use::Drain => {
                let drain = self.sessions.drain(Duration::ZERO);
                let drained = tokio::time::timeout(Duration::from_secs(1), drain).await;
                assert!(drained.is_err(), "the other session is busy");
            }
        }
        assert_eq!(
            self.session.close_reason(),
            Some(SessionCloseReason::InternalError),
            "{cause:?}"
        );
        assert!(!self.sessions.has_session(self.session.id()), "{cause:?}");
        if let Some(connection) = &mut self.connection {
            read_to_end(connection).await;
        }
        self.messages.ended().await;
        while self.messages.recv().await.is_some() {}
        let sent = self.client.send(message(r#""method":"n""#), None).await;
        assert_eq!(sent, Err(SendError::Ended));
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_core_closes_its_session_and_no_other() {
    for cause in USES {
        let opened = Opened::default();
        let backend = StoringBackend(Arc::clone(&opened));
        let sessions = SessionManager::new(backend, ManagerConfig::default()).unwrap();
        let other = Fixture::new(&sessions, &opened, true).await;
        let panicking = Fixture::new(&sessions, &opened, cause.has_request()).await;
        panicking.panic_in(*cause).await;
        assert_eq!(sessions.sessions(), 1, "{cause:?}");
        let response = other.client.send(message(r#""id":1,"result":{}"#), None).await;
        assert_eq!(response, Ok(()));
        assert_eq!(read_to_end(&mut other.connection.unwrap()).await, 2);
    }
}

/// Reads a connection until it ends, and returns the number of events.
async fn read_to_end(connection: &mut Connection) -> usize {
    let mut events = Vec::new();
    while poll_fn(|cx| connection.poll_events(cx, &mut events)).await {}
    events.len()
}

fn message(members: &str) -> Bytes {
    format!(r#"{{"jsonrpc":"2.0",{members}}}"#).into()
}

fn post(members: &str) -> Post<ClientMessage> {
    parse_message(message(members), 1).unwrap()
}
