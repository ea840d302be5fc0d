//! The session manager: sessions with a backend for each.

mod builder;
mod error;
#[cfg(feature = "cluster")]
mod passed_on;
mod reclaim;
#[cfg(feature = "store")]
mod reopen;
mod sessions;
#[cfg(feature = "store")]
mod takeover;
mod unopened;

use std::{fmt, net::IpAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use rejoin_core::{AnswerFormat, Post, Rejection, Session};

#[cfg(feature = "cluster")]
pub(crate) use self::passed_on::{Owned, WeakSessionManager};
pub use self::{builder::SessionManagerBuilder, error::ManagerError};
pub(crate) use self::{
    sessions::{NewSession, Sessions},
    unopened::UnopenedSession,
};
#[cfg(feature = "store")]
use crate::cluster::Cluster;
#[cfg(feature = "cluster")]
use crate::cluster::{Shutdown, link::Link};
use crate::{
    Backend, ClientMessage, Connection, Principal, SessionError, SessionEvent, SessionHandle,
    SessionId,
    backend::AnyBackend,
    clock,
    config::{ManagerConfig, ManagerConfigError},
    session::Shared,
};

/// All sessions of one server. A clone manages the same sessions.
///
/// When the last clone is dropped, every session is closed.
///
/// ```
/// # use rejoin::{Backend, ClientMessages, ClientSender, OpenError};
/// use rejoin::{ManagerConfig, SessionManager};
/// # struct NeverAnswers;
/// # impl Backend for NeverAnswers {
/// #     async fn open(&self, _: ClientSender, mut messages: ClientMessages) -> Result<(), OpenError> {
/// #         tokio::spawn(async move { while messages.recv().await.is_some() {} });
/// #         Ok(())
/// #     }
/// # }
/// # let my_backend = NeverAnswers;
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
/// let sessions = SessionManager::new(my_backend, ManagerConfig::default())?;
/// let session = sessions.create_session().await?;
/// assert!(sessions.has_session(session.id()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct SessionManager {
    inner: Arc<Inner>,
}

/// Where a session is.
pub(crate) enum Found {
    Here(SessionHandle),
    /// In another process.
    #[cfg(feature = "cluster")]
    There(Link),
}

struct Inner {
    sessions: Sessions<Bytes>,
    backend: Box<dyn AnyBackend>,
    /// `None` without a store.
    #[cfg(feature = "store")]
    cluster: Option<Arc<Cluster>>,
}

impl SessionManager {
    /// Creates a manager without sessions.
    ///
    /// # Errors
    ///
    /// The configuration is invalid: the caller is at fault.
    pub fn new(backend: impl Backend, config: ManagerConfig) -> Result<Self, ManagerConfigError> {
        Self::builder(backend, config).build()
    }

    /// Returns a builder for a manager with a journal or an observer.
    pub fn builder(backend: impl Backend, config: ManagerConfig) -> SessionManagerBuilder {
        SessionManagerBuilder::new(backend, config)
    }

    /// Returns the configuration.
    #[must_use]
    pub fn config(&self) -> &ManagerConfig {
        &self.shared().config
    }

    /// Creates a session, which waits for `initialize`. Must be called in a tokio runtime with
    /// timers enabled, and all later calls in the same one.
    ///
    /// Cancel-safe: if the future is dropped, the session is closed.
    ///
    /// # Errors
    ///
    /// There are too many sessions, the backend could not be opened, or `init_timeout` has
    /// expired meanwhile.
    ///
    /// # Panics
    ///
    /// The operating system provides no randomness for the session id.
    pub async fn create_session(&self) -> Result<SessionHandle, ManagerError> {
        self.create(None, None, None).await
    }

    /// Creates a session. `first` is the client's first message, if that is known.
    async fn create(
        &self,
        principal: Option<Principal>,
        peer: Option<IpAddr>,
        first: Option<ClientMessage>,
    ) -> Result<SessionHandle, ManagerError> {
        #[cfg(feature = "store")]
        if let Some(cluster) = &self.inner.cluster {
            self.wait_for_lease(cluster).await?;
        }
        let shared = self.shared();
        let owner = self.inner.sessions.admit(principal, peer)?;
        let permit = self.inner.sessions.reserve().await?;
        let core = Session::new(shared.session_config.clone(), shared.clock.now());
        let id = SessionId::random();
        let NewSession { session, client, mut messages } =
            self.inner.sessions.insert(id, core, permit, owner)?;
        messages.set_first_message(first);
        let opening = self.inner.backend.open_any(client, messages);
        let opened = clock::timeout(shared.config.start_timeout, opening).await;
        let error = match opened {
            Ok(Ok(())) => return Ok(session.into_opened()),
            Ok(Err(error)) => error,
            Err(_) => "start timeout expired".into(),
        };
        let text = error.to_string().into();
        shared.observers.on_session_event(id, &SessionEvent::OpenFailed { error: text });
        Err(ManagerError::Open(error))
    }

    /// Creates a session for a POST with `initialize`. The response is sent on the connection. If
    /// that is dropped before the response, or the response is an error, the session is closed.
    ///
    /// # Errors
    ///
    /// Same as [`create_session`](Self::create_session), or the client is at fault.
    pub async fn initialize_session(
        &self,
        post: Post<ClientMessage>,
        format: AnswerFormat,
    ) -> Result<(SessionHandle, Connection), ManagerError> {
        self.initialize_session_from(None, post, format).await
    }

    /// Creates a session like [`initialize_session`](Self::initialize_session), and counts it for
    /// the address of its client: see [`ManagerConfig::sessions_per_ip_max`].
    ///
    /// # Errors
    ///
    /// Same as [`initialize_session`](Self::initialize_session), or clients at that address have
    /// too many sessions.
    pub async fn initialize_session_from(
        &self,
        peer: Option<IpAddr>,
        post: Post<ClientMessage>,
        format: AnswerFormat,
    ) -> Result<(SessionHandle, Connection), ManagerError> {
        self.initialize_session_of(None, peer, post, format).await
    }

    /// Creates a session like [`initialize_session_from`](Self::initialize_session_from), which
    /// belongs to a principal: see [`session_of`](Self::session_of). It is counted for that, too:
    /// see [`ManagerConfig::sessions_per_principal_max`].
    ///
    /// # Errors
    ///
    /// Same as [`initialize_session_from`](Self::initialize_session_from), or the principal has
    /// too many sessions.
    pub async fn initialize_session_of(
        &self,
        principal: Option<Principal>,
        peer: Option<IpAddr>,
        post: Post<ClientMessage>,
        format: AnswerFormat,
    ) -> Result<(SessionHandle, Connection), ManagerError> {
        let first = match &post {
            Post::Single(message) => Some(message.body.clone()),
            Post::Batch(_) => None,
        };
        let unopened = UnopenedSession::new(self.create(principal, peer, first).await?);
        match unopened.session().request(post, format).await {
            Ok(connection) => Ok((unopened.into_opened(), connection)),
            // The client does not know the id of this session, so "not found" would mislead it.
            Err(SessionError::Rejected(Rejection::Closed(reason))) => {
                Err(ManagerError::ClosedDuringInitialize(reason))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Returns a session, whomever it belongs to: see [`session_of`](Self::session_of).
    ///
    /// # Errors
    ///
    /// The session has ended, or never existed.
    pub fn session(&self, id: SessionId) -> Result<SessionHandle, ManagerError> {
        let session = self.shared().registry.find(id).ok_or(ManagerError::NotFound)?;
        Ok(SessionHandle::new(session))
    }

    /// Returns a session that belongs to `principal`, or if that is `None`, to nobody.
    ///
    /// # Errors
    ///
    /// The session has ended, never existed, or belongs to another principal.
    pub fn session_of(
        &self,
        principal: Option<&Principal>,
        id: SessionId,
    ) -> Result<SessionHandle, ManagerError> {
        let session = self.session(id)?;
        if session.principal() == principal { Ok(session) } else { Err(ManagerError::NotFound) }
    }

    /// Returns a session that belongs to `principal`, or if that is `None`, to nobody. With a store, a
    /// session that no other process serves is restored.
    ///
    /// # Errors
    ///
    /// The session has ended, never existed, or belongs to another principal. Or the store is away, or
    /// another process may have the session.
    pub async fn find_session(
        &self,
        principal: Option<&Principal>,
        id: SessionId,
    ) -> Result<SessionHandle, ManagerError> {
        match self.find(principal, id).await? {
            Found::Here(session) => Ok(session),
            #[cfg(feature = "cluster")]
            Found::There(_) => Err(ManagerError::StoreAway),
        }
    }

    /// Finds a session like [`find_session`](Self::find_session), or the process that has it. Whether it
    /// belongs to `principal` is up to that.
    #[cfg_attr(not(feature = "store"), expect(clippy::unused_async, reason = "there is no store"))]
    pub(crate) async fn find(
        &self,
        principal: Option<&Principal>,
        id: SessionId,
    ) -> Result<Found, ManagerError> {
        #[cfg(feature = "store")]
        if let Some(cluster) = &self.inner.cluster {
            return self.find_in_cluster(cluster, principal, id).await;
        }
        self.session_of(principal, id).map(Found::Here)
    }

    /// Deletes a session on behalf of its client. With a store, waits until no other process can
    /// take the session over.
    ///
    /// # Errors
    ///
    /// The session is already closed, or the store is away.
    #[cfg_attr(not(feature = "store"), expect(clippy::unused_async, reason = "there is no store"))]
    pub async fn delete_session(&self, session: &SessionHandle) -> Result<(), ManagerError> {
        session.delete()?;
        #[cfg(feature = "store")]
        takeover::ended(session).await?;
        Ok(())
    }

    /// Waits until no session is left: after [`close_all`](Self::close_all), until the store knows
    /// that they can be taken over, and other processes have the responses to the requests that they
    /// have passed on.
    pub async fn closed(&self) {
        self.inner.sessions.closed().await;
        #[cfg(feature = "store")]
        if let Some(cluster) = &self.inner.cluster
            && self.shared().registry.is_closing()
        {
            #[cfg(feature = "cluster")]
            cluster.leave().await;
            cluster.end_lease().await;
        }
    }

    /// Begins to connect to the store, if there is one. Without this call, the first session does. Must
    /// be called in a tokio runtime.
    pub fn connect_store(&self) {
        #[cfg(feature = "store")]
        if let Some(cluster) = &self.inner.cluster {
            cluster.start(self.shared());
        }
    }

    /// Returns whether sessions can be served: with a store, whether this process has its lease.
    #[must_use]
    pub fn is_available(&self) -> bool {
        #[cfg(feature = "store")]
        if let Some(cluster) = &self.inner.cluster {
            return cluster.has_lease(self.shared().clock.now());
        }
        true
    }

    /// Returns whether there is a store, which can be lost.
    #[cfg(feature = "http")]
    #[cfg_attr(not(feature = "store"), expect(clippy::unused_self, reason = "there is no store"))]
    pub(crate) fn has_store(&self) -> bool {
        #[cfg(feature = "store")]
        let has_store = self.inner.cluster.is_some();
        #[cfg(not(feature = "store"))]
        let has_store = false;
        has_store
    }

    /// Returns all sessions, in no particular order.
    #[must_use]
    pub fn all(&self) -> Vec<SessionHandle> {
        self.shared().registry.all().into_iter().map(SessionHandle::new).collect()
    }

    /// Returns the size of what all sessions keep for their clients, in bytes.
    #[must_use]
    pub fn kept_bytes(&self) -> usize {
        self.shared().kept_memory.used()
    }

    /// Returns whether there is a session with that id, whomever it belongs to.
    #[must_use]
    pub fn has_session(&self, id: SessionId) -> bool {
        self.shared().registry.find(id).is_some()
    }

    /// Returns the number of sessions.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.shared().registry.len()
    }

    /// Closes every session as soon as it has no pending requests, and waits until all are closed,
    /// and until the requests have ended that are passed on to other processes. New sessions and
    /// requests are refused; responses and notifications of clients are accepted, so that pending
    /// requests can finish.
    ///
    /// Clients that can resume get `retry` as their reconnect delay, or on streams that are passed on,
    /// that of `HttpConfig`. A client that does not read holds this up: for a deadline, drop the future
    /// and call [`close_all`](Self::close_all).
    pub async fn drain(&self, retry: Duration) {
        #[cfg(feature = "cluster")]
        self.shut_down(Shutdown::Draining);
        self.inner.sessions.drain(retry).await;
        #[cfg(feature = "cluster")]
        self.passed_on_requests_ended().await;
    }

    /// Closes all sessions for a shutdown, and refuses new ones. Pending requests fail with an
    /// error, also those that are passed on to other processes.
    pub fn close_all(&self) {
        #[cfg(feature = "cluster")]
        self.shut_down(Shutdown::Closing);
        self.inner.sessions.close_all();
    }

    pub(crate) fn shared(&self) -> &Arc<Shared<Bytes>> {
        self.inner.sessions.shared()
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner").field("sessions", &self.sessions).finish_non_exhaustive()
    }
}
