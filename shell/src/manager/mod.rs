//! The session manager: who is there, who may come, and when who is to be woken.

mod config;
mod deadlines;
mod drain;
mod error;
mod peers;
mod permits;
mod registry;
mod unopened;
mod unused;

use std::{fmt, net::IpAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use rejoin_core::{AnswerFormat, CloseReason, EventId, Post, Rejection, ValidConfig};

pub use self::{
    config::{ManagerConfig, ManagerConfigError},
    error::ManagerError,
    permits::SessionPermit,
};
use self::{
    deadlines::Deadlines, drain::Drain, peers::PeerSessions, registry::Registry,
    unopened::UnopenedSession, unused::UnusedSessions,
};
pub(crate) use self::{peers::PeerPermit, permits::WeakPermit};
#[cfg(feature = "journal")]
use crate::journal::Journal;
use crate::{
    Backend, Connection, SessionError, SessionHandle, SessionId,
    backend::{AnyBackend, ClientSender},
    clock::{self, Clock},
    session::SessionInner,
    sync::yield_now,
};

/// After how many sessions the others have a turn while all are drained.
const SESSIONS_PER_YIELD: usize = 64;

/// All sessions of one server. A clone manages the same sessions.
///
/// When the last clone is gone, every session is closed.
///
/// ```
/// # use rejoin::{Backend, ClientMessages, OpenError, Peer};
/// use rejoin::{SessionManager, Settings};
/// # struct Silent;
/// # impl Backend for Silent {
/// #     async fn open(&self, _: Peer, mut inbox: ClientMessages) -> Result<(), OpenError> {
/// #         tokio::spawn(async move { while inbox.recv().await.is_some() {} });
/// #         Ok(())
/// #     }
/// # }
/// # let my_backend = Silent;
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
/// let sessions = SessionManager::new(my_backend, Settings::default())?;
/// let session = sessions.create_session().await?;
/// assert!(sessions.has_session(session.id()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct SessionManager {
    inner: Arc<CloseOnDrop>,
}

/// Ends with the last manager.
#[derive(Debug)]
struct CloseOnDrop(Arc<Shared>);

/// What all sessions share.
pub(crate) struct Shared {
    pub(crate) config: ManagerConfig,
    pub(crate) session_config: ValidConfig,
    pub(crate) clock: Clock,
    pub(crate) deadlines: Arc<Deadlines>,
    pub(crate) drain: Drain,
    /// Sessions that have never called anything.
    pub(crate) unused: UnusedSessions,
    peers: Arc<PeerSessions>,
    registry: Registry,
    backend: Box<dyn AnyBackend>,
    #[cfg(feature = "journal")]
    pub(crate) journal: Option<Journal>,
}

impl SessionManager {
    /// Begins without a session.
    ///
    /// # Errors
    ///
    /// A setting is wrong: the caller is at fault.
    pub fn new(backend: impl Backend, config: ManagerConfig) -> Result<Self, ManagerConfigError> {
        Ok(Self::begin(Shared::new(backend, config)?))
    }

    /// Begins likewise, and records what happens in every session.
    ///
    /// # Errors
    ///
    /// A setting is wrong: the caller is at fault.
    #[cfg(feature = "journal")]
    pub fn with_journal(
        backend: impl Backend,
        config: ManagerConfig,
        journal: Journal,
    ) -> Result<Self, ManagerConfigError> {
        let mut shared = Shared::new(backend, config)?;
        shared.journal = Some(journal);
        Ok(Self::begin(shared))
    }

    fn begin(shared: Shared) -> Self {
        Self { inner: Arc::new(CloseOnDrop(Arc::new(shared))) }
    }

    /// Returns what the sessions are held to.
    #[must_use]
    pub fn config(&self) -> &ManagerConfig {
        &self.shared().config
    }

    /// Begins a session, which waits for `initialize`. Call it in a tokio runtime with
    /// timers, and go on calling the manager in the same one.
    ///
    /// Cancel-safe: who stops waiting leaves no session behind.
    ///
    /// # Errors
    ///
    /// There are too many sessions, the backend could not be opened, or the time to
    /// initialize the session was over at once.
    ///
    /// # Panics
    ///
    /// The operating system has no randomness to give, for an id that nobody guesses.
    pub async fn create_session(&self) -> Result<SessionHandle, ManagerError> {
        self.create(None, None).await
    }

    /// Begins a session, whose client says `first` next, if that is known.
    async fn create(
        &self,
        peer: Option<IpAddr>,
        first: Option<Bytes>,
    ) -> Result<SessionHandle, ManagerError> {
        let shared = self.shared();
        shared.deadlines.start(shared.clock);
        let peer_place = shared.peer_permit(peer)?;
        let id = SessionId::random();
        let place = shared.registry.reserve(&shared.unused, shared.config.queue_timeout).await?;
        let (session, mut inbox) = SessionInner::create(id, Arc::clone(shared), place.downgrade());
        inbox.set_first_message(first);
        let peer = ClientSender::new(id, Arc::downgrade(&session));
        shared.registry.insert(Arc::clone(&session), place);
        session.mark_unused(peer_place);
        if let Some(reason) = session.close_reason() {
            // Its time was over before it had its place, so that nobody has let go of it.
            shared.remove(&session);
            return Err(ManagerError::ClosedDuringInitialize(reason));
        }
        let unopened = UnopenedSession::new(SessionHandle::new(session));
        if shared.registry.is_closing() {
            // Whoever closes all sessions may not have seen this one.
            return Err(ManagerError::Closing);
        }
        let opening = shared.backend.open_any(peer, inbox);
        let opened = clock::timeout(shared.config.start_timeout, opening).await;
        let error = match opened {
            Ok(Ok(())) => return Ok(unopened.into_opened()),
            Ok(Err(error)) => error,
            Err(_) => "it took too long to start".into(),
        };
        tracing::error!(session = %id.short(), %error, "backend could not be opened");
        Err(ManagerError::Open(error))
    }

    /// Begins a session by a POST with `initialize`. The answer comes on the connection;
    /// if it is dropped before, or says an error, no session is left.
    ///
    /// # Errors
    ///
    /// As of [`create_session`](Self::create_session), or the client is at fault.
    pub async fn initialize_session(
        &self,
        post: Post<Bytes>,
        format: AnswerFormat,
    ) -> Result<(SessionHandle, Connection), ManagerError> {
        self.initialize_session_from(None, post, format).await
    }

    /// Begins a session of a client at an address, which counts for
    /// [`Settings::sessions_per_ip_max`].
    ///
    /// # Errors
    ///
    /// Those of [`initialize_session`](Self::initialize_session), or clients at that address
    /// have as many sessions as are allowed.
    pub async fn initialize_session_from(
        &self,
        peer: Option<IpAddr>,
        post: Post<Bytes>,
        format: AnswerFormat,
    ) -> Result<(SessionHandle, Connection), ManagerError> {
        let first = match &post {
            Post::Single(message) => Some(message.body.clone()),
            Post::Batch(_) => None,
        };
        let unopened = UnopenedSession::new(self.create(peer, first).await?);
        match unopened.session().request(post, format).await {
            Ok(connection) => Ok((unopened.into_opened(), connection)),
            // There was a session, which the client has never heard of.
            Err(SessionError::Rejected(Rejection::Closed(reason))) => {
                Err(ManagerError::ClosedDuringInitialize(reason))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Returns a session.
    ///
    /// # Errors
    ///
    /// There is none of that id, or not any more.
    pub fn session(&self, id: SessionId) -> Result<SessionHandle, ManagerError> {
        let session = self.shared().registry.find(id).ok_or(ManagerError::NotFound)?;
        Ok(SessionHandle::new(session))
    }

    /// Returns whether there is a session of that id.
    #[must_use]
    pub fn has_session(&self, id: SessionId) -> bool {
        self.shared().registry.find(id).is_some()
    }

    /// Returns how many sessions there are.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.shared().registry.len()
    }

    /// Closes a session as its client wants it.
    ///
    /// # Errors
    ///
    /// There is none of that id, or not any more.
    pub fn close_session(&self, id: SessionId) -> Result<(), ManagerError> {
        Ok(self.session(id)?.delete()?)
    }

    /// Ends every session as soon as nothing is in flight in it, and waits until all have
    /// ended. No session begins any more, and no request is accepted; responses and
    /// notifications of clients are, so that what is in flight can finish.
    ///
    /// Clients that can come back are told to do so after `retry`. To set a limit, stop to
    /// wait and call [`close_all`](Self::close_all).
    pub async fn drain(&self, retry: Duration) {
        let shared = self.shared();
        shared.drain.start(retry);
        shared.registry.begin_closing();
        for (number, session) in shared.registry.all().into_iter().enumerate() {
            session.close_if_drained();
            if number % SESSIONS_PER_YIELD == 0 {
                yield_now().await;
            }
        }
        while shared.registry.len() > 0 {
            shared.drain.next_removal().await;
        }
    }

    /// Closes all sessions, as the server goes down, and lets no other one begin.
    /// Connections get what they have to hear of it, and end.
    pub fn close_all(&self) {
        self.shared().close_all();
    }

    /// Opens a stream of a session by a POST with a request.
    ///
    /// # Errors
    ///
    /// As of [`session`](Self::session) and [`SessionHandle::request`].
    pub async fn create_stream(
        &self,
        id: SessionId,
        post: Post<Bytes>,
        format: AnswerFormat,
    ) -> Result<Connection, ManagerError> {
        Ok(self.session(id)?.into_request(post, format).await?)
    }

    /// Connects to the standalone stream of a session.
    ///
    /// # Errors
    ///
    /// As of [`session`](Self::session) and [`SessionHandle::standalone`].
    pub fn create_standalone_stream(&self, id: SessionId) -> Result<Connection, ManagerError> {
        Ok(self.session(id)?.standalone()?)
    }

    /// Connects to a stream of a session again.
    ///
    /// # Errors
    ///
    /// As of [`session`](Self::session) and [`SessionHandle::resume`].
    pub fn resume(
        &self,
        id: SessionId,
        last_event_id: EventId,
    ) -> Result<Connection, ManagerError> {
        Ok(self.session(id)?.resume(last_event_id)?)
    }

    /// Takes a POST without a request for a session.
    ///
    /// # Errors
    ///
    /// As of [`session`](Self::session) and [`SessionHandle::message`].
    pub async fn accept_message(
        &self,
        id: SessionId,
        post: Post<Bytes>,
    ) -> Result<(), ManagerError> {
        Ok(self.session(id)?.notify(post).await?)
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.inner.0
    }
}

impl Shared {
    fn new(backend: impl Backend, config: ManagerConfig) -> Result<Self, ManagerConfigError> {
        let session_config = config.validate()?;
        let registry = Registry::new(config.sessions_max);
        Ok(Self {
            config,
            session_config,
            clock: Clock::start(),
            deadlines: Arc::new(Deadlines::default()),
            drain: Drain::default(),
            unused: UnusedSessions::default(),
            peers: Arc::default(),
            registry,
            backend: Box::new(backend),
            #[cfg(feature = "journal")]
            journal: None,
        })
    }

    /// Counts a session for the address of its client.
    fn peer_permit(&self, peer: Option<IpAddr>) -> Result<Option<PeerPermit>, ManagerError> {
        let (Some(peer), Some(max)) = (peer, self.config.sessions_per_ip_max) else {
            return Ok(None);
        };
        let place = self.peers.try_acquire(peer, max);
        place.map(Some).ok_or(ManagerError::TooManySessionsPerIp(max))
    }

    /// Lets go of a session that is closed.
    pub(crate) fn remove(&self, session: &SessionInner) {
        self.registry.remove(session.id());
        self.drain.on_session_removed();
        session.cancel_deadlines();
    }

    #[cfg(all(test, not(shuttle)))]
    pub(crate) fn find(&self, id: SessionId) -> Option<Arc<SessionInner>> {
        self.registry.find(id)
    }

    fn close_all(&self) {
        self.registry.begin_closing();
        for session in self.registry.all() {
            SessionHandle::new(session).close(CloseReason::ServerShutdown);
        }
    }
}

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.close_all();
        self.0.deadlines.stop();
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("sessions", &self.registry.len()).finish_non_exhaustive()
    }
}
