//! The session manager for the HTTP service of rmcp.

mod config;
mod error;
mod events;
mod late_closes;
mod payload;
mod restoring;
mod size;
mod transport;

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use futures_core::Stream;
use rejoin_core::{AnswerFormat, Instant, Post, Session, SessionCloseReason, ValidConfig};
use rmcp::{
    model::{ClientJsonRpcMessage, ServerJsonRpcMessage},
    transport::streamable_http_server::session::{
        EventStore, RestoreOutcome, ServerSseMessage, SessionId as RmcpSessionId, SessionManager,
        local::SessionConfig,
    },
};

pub(super) use self::payload::RmcpMessages;
pub use self::{
    error::LocalSessionManagerError,
    transport::{SessionTransport, SessionTransportError},
};
use self::{
    events::{SHADOW_ID, ServerEvents},
    late_closes::{ExpectLateClose, LateCloses},
    payload::ServerMessage,
    restoring::Restoring,
};
use crate::{
    Connection, ManagerConfig, ManagerConfigError, ManagerError, Observer, SessionHandle,
    SessionId, SessionPermit,
    manager::{NewSession, Sessions, UnopenedSession},
    observer::Observers,
    owner::Owner,
    session::Shared,
    sync::Mutex,
};

/// The session manager for the `StreamableHttpService` of rmcp: it replaces the manager of the
/// same name in rmcp.
///
/// ```
/// use std::sync::Arc;
///
/// use rejoin::rmcp::LocalSessionManager; // instead of rmcp's
/// use rmcp::{ServerHandler, transport::streamable_http_server::StreamableHttpService};
///
/// struct Greeter;
///
/// impl ServerHandler for Greeter {}
///
/// let service = StreamableHttpService::new(
///     || Ok(Greeter),
///     Arc::new(LocalSessionManager::default()),
///     Default::default(),
/// );
/// ```
///
/// What changes is described in `shell/lib/docs/from_local_session_manager.md` of the repository.
///
/// Its timers run in the tokio runtime in which the first session is created. The HTTP service holds
/// the manager as long as there are sessions: to end them, cancel the `cancellation_token` of the
/// service, or call [`close_all`](Self::close_all).
#[non_exhaustive]
pub struct LocalSessionManager {
    /// The configuration of rmcp, for sessions that are created from now on:
    ///
    /// - `channel_capacity` is [`window_events_max`](rejoin_core::Config::window_events_max), the
    ///   number of events that a connection may lag behind before its sender waits.
    /// - `keep_alive` is [`idle_timeout`](rejoin_core::Config::idle_timeout). A session is not idle
    ///   while a request is pending, or while it has a connection.
    /// - `sse_retry` is the reconnect delay of priming events. With `None` there are none, so that a
    ///   client can only come back for a response after an earlier event of the same request.
    /// - `completed_cache_ttl` is [`retention`](rejoin_core::Config::retention), how long a client
    ///   can come back for a response.
    /// - `init_timeout` is [`init_timeout`](rejoin_core::Config::init_timeout).
    pub session_config: SessionConfig,
    sessions: Sessions<RmcpMessages>,
    event_store: Option<Arc<dyn EventStore>>,
    /// Locked while the session of an id that a client named is looked up and inserted.
    insertion: Mutex<()>,
    restoring: Restoring,
    late_closes: Arc<LateCloses>,
}

impl LocalSessionManager {
    /// Returns the configuration of the [`Default`]: that of [`ManagerConfig`], except that, as with
    /// the manager of rmcp, a session that was not used yet has no timeout of its own
    /// (`unused_timeout`), and nothing remains of a response once its retention is over
    /// (`tombstones_max`).
    #[must_use]
    pub fn default_config() -> ManagerConfig {
        let mut config = ManagerConfig { unused_timeout: None, ..ManagerConfig::default() };
        config.session.tombstones_max = 0;
        config
    }

    /// Creates a manager with other limits than those of
    /// [`default_config`](Self::default_config).
    ///
    /// What [`session_config`](Self::session_config) has as well applies from there, and
    /// `priming` follows from its `sse_retry`. What concerns the messages of clients before they
    /// reach the session does not apply, because the HTTP service of rmcp receives them:
    /// `sessions_per_ip_max`, `json_depth_max`, `batch_max`, `start_timeout`, and the quarter of
    /// `memory_bytes_max` for them.
    ///
    /// # Errors
    ///
    /// The configuration is invalid: the caller is at fault.
    pub fn with_config(config: ManagerConfig) -> Result<Self, ManagerConfigError> {
        Self::new(config, Observers::default())
    }

    /// Creates a manager like [`with_config`](Self::with_config), with an observer, which is told
    /// what happens in the sessions.
    ///
    /// # Errors
    ///
    /// The configuration is invalid: the caller is at fault.
    pub fn with_observer(
        config: ManagerConfig,
        observer: Arc<dyn Observer>,
    ) -> Result<Self, ManagerConfigError> {
        Self::new(config, Observers::new(None, Some(observer)))
    }

    fn new(config: ManagerConfig, observers: Observers) -> Result<Self, ManagerConfigError> {
        Ok(Self {
            session_config: SessionConfig::default(),
            sessions: Sessions::new(Shared::new(config, observers, false)?),
            event_store: None,
            insertion: Mutex::default(),
            restoring: Restoring::default(),
            late_closes: Arc::default(),
        })
    }

    /// Sets the event store that the HTTP service uses for clients of protocol version 2026-07-28,
    /// which have no session. Sessions keep their events themselves.
    #[must_use]
    pub fn with_event_store(self, event_store: Arc<dyn EventStore>) -> Self {
        Self { event_store: Some(event_store), ..self }
    }

    /// Calls `hook` for every session that ends, with the reason. Replaces an earlier hook.
    ///
    /// It runs in the task that ended the session, so it should not block. Its panics are logged.
    #[must_use]
    pub fn on_close(
        self,
        hook: impl Fn(&RmcpSessionId, SessionCloseReason) + Send + Sync + 'static,
    ) -> Self {
        self.sessions.shared().set_close_hook(move |id, reason| hook(&to_rmcp(id), reason));
        self
    }

    /// Returns the number of sessions.
    #[must_use]
    pub fn session_count(&self) -> usize {
        self.sessions.shared().registry.len()
    }

    /// Returns the ids of all sessions, in no particular order. They are secrets: anyone who knows
    /// one can act for its client.
    #[must_use]
    pub fn session_ids(&self) -> Vec<RmcpSessionId> {
        let all = self.sessions.shared().registry.all();
        all.iter().map(|session| to_rmcp(session.id())).collect()
    }

    /// Closes every session as soon as it has no pending requests, and waits until all are closed.
    /// New sessions and requests are refused. Clients that can resume get `retry` as their
    /// reconnect delay.
    pub async fn drain(&self, retry: Duration) {
        self.sessions.drain(retry).await;
    }

    /// Closes all sessions for a shutdown, and refuses new ones. Pending requests fail with an
    /// error.
    pub fn close_all(&self) {
        self.sessions.close_all();
    }

    /// Returns the configuration of a new session, and waits for its permit.
    async fn reserve(&self) -> Result<(ValidConfig, SessionPermit), LocalSessionManagerError> {
        let config = &self.sessions.shared().config.session;
        let config = config::with_rmcp(config, &self.session_config).validate()?;
        Ok((config, self.sessions.reserve().await?))
    }

    /// Inserts a session. There must be none with that id.
    fn insert(
        &self,
        id: SessionId,
        core: Session<Box<ClientJsonRpcMessage>, ServerMessage>,
        permit: SessionPermit,
    ) -> Result<SessionTransport, LocalSessionManagerError> {
        let NewSession { session, client, messages } =
            self.sessions.insert(id, core, permit, Owner::default())?;
        session.into_opened();
        let shared = Arc::clone(self.sessions.shared());
        let end = ExpectLateClose::new(client.clone(), shared, Arc::clone(&self.late_closes));
        Ok(SessionTransport::new(client, messages, end))
    }

    fn now(&self) -> Instant {
        self.sessions.shared().clock.now()
    }

    fn standalone_events(
        &self,
        session: &SessionHandle<RmcpMessages>,
    ) -> Result<ServerEvents, LocalSessionManagerError> {
        Ok(ServerEvents::standalone(session.standalone()?, self.session_config.sse_retry))
    }

    fn events(&self, connection: Connection<RmcpMessages>) -> ServerEvents {
        ServerEvents::new(connection, self.session_config.sse_retry)
    }

    fn find(&self, id: &str) -> Option<SessionHandle<RmcpMessages>> {
        let id = SessionId::parse_uuid(id)?;
        self.sessions.shared().registry.find(id).map(SessionHandle::new)
    }

    fn session(&self, id: &str) -> Result<SessionHandle<RmcpMessages>, LocalSessionManagerError> {
        Ok(self.find(id).ok_or(ManagerError::NotFound)?)
    }
}

impl SessionManager for LocalSessionManager {
    type Error = LocalSessionManagerError;
    type Transport = SessionTransport;

    async fn create_session(&self) -> Result<(RmcpSessionId, SessionTransport), Self::Error> {
        let (config, permit) = self.reserve().await?;
        let id = SessionId::random_uuid();
        let core = Session::new(config, self.now());
        Ok((to_rmcp(id), self.insert(id, core, permit)?))
    }

    async fn initialize_session(
        &self,
        id: &RmcpSessionId,
        message: ClientJsonRpcMessage,
    ) -> Result<ServerJsonRpcMessage, Self::Error> {
        let session = self.session(id)?;
        let _restored = self.restoring.remove_on_drop(session.id());
        // Closes the session unless there is a response.
        let unopened = UnopenedSession::new(session);
        let post = Post::Single(payload::client_message(message)?);
        let connection = unopened.session().request(post, AnswerFormat::Json).await?;
        let response = events::response(connection).await;
        let response = response.ok_or(LocalSessionManagerError::NotInitialized)?;
        unopened.into_opened();
        Ok(response)
    }

    async fn has_session(&self, id: &RmcpSessionId) -> Result<bool, Self::Error> {
        let session = self.find(id);
        Ok(session.is_some_and(|session| {
            !self.restoring.contains(session.id()) || session.initialized().is_some()
        }))
    }

    /// Closes a session, unless it has already ended. The HTTP service calls it also after its own
    /// end of the session: what that has sent before is still sent.
    async fn close_session(&self, id: &RmcpSessionId) -> Result<(), Self::Error> {
        if let Some(session) = self.find(id)
            && !self.late_closes.take(session.id())
        {
            session.delete_unless_backend_ended();
        }
        Ok(())
    }

    async fn create_stream(
        &self,
        id: &RmcpSessionId,
        message: ClientJsonRpcMessage,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, Self::Error> {
        let session = self.session(id)?;
        let post = Post::Single(payload::client_message(message)?);
        Ok(self.events(session.request(post, AnswerFormat::Sse).await?))
    }

    async fn accept_message(
        &self,
        id: &RmcpSessionId,
        message: ClientJsonRpcMessage,
    ) -> Result<(), Self::Error> {
        let post = Post::Single(payload::client_message(message)?);
        Ok(self.session(id)?.notify(post).await?)
    }

    async fn create_standalone_stream(
        &self,
        id: &RmcpSessionId,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, Self::Error> {
        self.standalone_events(&self.session(id)?)
    }

    async fn resume(
        &self,
        id: &RmcpSessionId,
        last_event_id: String,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, Self::Error> {
        let session = self.session(id)?;
        if last_event_id == SHADOW_ID {
            return self.standalone_events(&session);
        }
        Ok(self.events(session.resume(last_event_id.parse()?)?))
    }

    /// Restores a session if its id is a UUID in lower case, as those of rmcp and of this manager are.
    ///
    /// Events of the session that it replaces are lost. Their ids do not name events of the new
    /// one.
    async fn restore_session(
        &self,
        id: RmcpSessionId,
    ) -> Result<RestoreOutcome<SessionTransport>, Self::Error> {
        let Some(id) = SessionId::parse_uuid(&id) else {
            return Ok(RestoreOutcome::NotSupported);
        };
        let exists = |id| self.sessions.shared().registry.find(id).is_some();
        if exists(id) {
            return Ok(RestoreOutcome::AlreadyPresent);
        }
        let (config, permit) = self.reserve().await?;
        let _insertion = self.insertion.lock();
        if exists(id) {
            return Ok(RestoreOutcome::AlreadyPresent);
        }
        self.restoring.add(id, exists);
        let core = Session::replacing(config, self.now(), origin());
        Ok(RestoreOutcome::Restored(self.insert(id, core, permit)?))
    }

    fn event_store(&self) -> Option<Arc<dyn EventStore>> {
        self.event_store.clone()
    }
}

impl Default for LocalSessionManager {
    fn default() -> Self {
        let manager = Self::with_config(Self::default_config());
        #[expect(clippy::expect_used, reason = "the configuration is a constant, and valid")]
        manager.expect("the configuration is valid")
    }
}

impl fmt::Debug for LocalSessionManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalSessionManager")
            .field("session_config", &self.session_config)
            .field("sessions", &self.session_count())
            .finish_non_exhaustive()
    }
}

/// Returns the id as rmcp and clients have it.
fn to_rmcp(id: SessionId) -> RmcpSessionId {
    id.to_uuid().into()
}

/// Returns a number that is greater than every number of an earlier session, as long as that had
/// less than one stream or event in each microsecond.
fn origin() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "it must be greater than before a restart")]
    let now = SystemTime::now();
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(0)
}
