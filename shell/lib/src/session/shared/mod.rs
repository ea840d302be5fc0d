//! State that the sessions of one manager share: the configuration, the clock, and the tables
//! that list them.

mod deadlines;
mod drain;
mod kept_memory;
mod memory_waiters;
mod registry;
mod unused;

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Weak},
};

use rejoin_core::{SessionCloseReason, ValidConfig};

use self::{deadlines::Deadlines, drain::Drain, registry::Registry, unused::UnusedSessions};
pub(crate) use self::{
    kept_memory::{KeptMemory, KeptShare, MemoryWaiter},
    registry::PermitError,
};
#[cfg(feature = "http")]
use crate::byte_counter::RequestCounters;
#[cfg(feature = "journal")]
use crate::journal::Journal;
#[cfg(feature = "store")]
use crate::session::SessionStore;
use crate::{
    SessionId,
    clock::Clock,
    config::{ManagerConfig, ManagerConfigError},
    log,
    observer::Observers,
    payload::Payload,
    session::SessionInner,
    sync::{Mutex, RwLock},
};

/// Called for every session that was closed.
type CloseHook = Arc<dyn Fn(SessionId, SessionCloseReason) + Send + Sync>;

/// The state that all sessions share.
pub(crate) struct Shared<P: Payload> {
    pub(crate) config: ManagerConfig,
    pub(crate) session_config: ValidConfig,
    pub(crate) clock: Clock,
    pub(crate) deadlines: Arc<Deadlines<P>>,
    pub(crate) drain: Drain,
    pub(crate) kept_memory: Arc<KeptMemory>,
    /// Sessions with a limit that the task that reclaims memory does not know yet.
    newly_limited: Mutex<Vec<Weak<SessionInner<P>>>>,
    #[cfg(feature = "http")]
    pub(crate) request_counters: RequestCounters,
    /// Sessions that were initialized but never used.
    pub(crate) unused: UnusedSessions<P>,
    pub(crate) registry: Registry<P>,
    pub(crate) observers: Observers,
    close_hook: RwLock<Option<CloseHook>>,
    #[cfg(feature = "store")]
    pub(crate) store: Option<Arc<dyn SessionStore<P>>>,
    #[cfg(feature = "journal")]
    pub(crate) journal: Option<Journal>,
}

impl<P: Payload> Shared<P> {
    pub(crate) fn new(
        mut config: ManagerConfig,
        observers: Observers,
        has_store: bool,
    ) -> Result<Self, ManagerConfigError> {
        config.session.activity_reports |= observers.is_some();
        let session_config = config.validate(has_store)?;
        let registry = Registry::new(config.sessions_max);
        let kept_memory = Arc::new(KeptMemory::new(config.kept_memory_max()));
        Ok(Self {
            config,
            session_config,
            clock: Clock::start(),
            deadlines: Arc::new(Deadlines::default()),
            drain: Drain::default(),
            kept_memory,
            newly_limited: Mutex::default(),
            #[cfg(feature = "http")]
            request_counters: RequestCounters::default(),
            unused: UnusedSessions::default(),
            registry,
            observers,
            close_hook: RwLock::default(),
            #[cfg(feature = "store")]
            store: None,
            #[cfg(feature = "journal")]
            journal: None,
        })
    }

    /// Lists a session as one with a limit, which is raised when there is more memory.
    pub(crate) fn add_limited(&self, session: Weak<SessionInner<P>>) {
        self.kept_memory.add_limited();
        self.newly_limited.lock().push(session);
    }

    /// Takes the sessions that were listed since the last call.
    pub(crate) fn take_newly_limited(&self) -> Vec<Weak<SessionInner<P>>> {
        std::mem::take(&mut *self.newly_limited.lock())
    }

    /// Sets what is called for every session that was closed. Replaces an earlier hook.
    #[cfg(feature = "rmcp")]
    pub(crate) fn set_close_hook(
        &self,
        hook: impl Fn(SessionId, SessionCloseReason) + Send + Sync + 'static,
    ) {
        *self.close_hook.write() = Some(Arc::new(hook));
    }

    /// Calls the hook for a session that was closed. No lock is held.
    pub(crate) fn call_close_hook(&self, id: SessionId, reason: SessionCloseReason) {
        let Some(hook) = self.close_hook.read().clone() else { return };
        if catch_unwind(AssertUnwindSafe(|| hook(id, reason))).is_err() {
            log::hook_panicked(id);
        }
    }

    /// Removes a session that is closed. Returns whether it was there.
    pub(crate) fn remove(&self, session: &Arc<SessionInner<P>>) -> bool {
        let was_listed = self.registry.remove(session);
        self.drain.on_session_removed();
        was_listed
    }
}

impl<P: Payload> fmt::Debug for Shared<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("sessions", &self.registry.len()).finish_non_exhaustive()
    }
}
