//! State that the sessions of one manager share: the configuration, the clock, and the tables
//! that list them.

mod deadlines;
mod drain;
mod kept_memory;
mod memory_waiters;
mod registry;
mod unused;

use std::{fmt, sync::Arc};

use rejoin_core::ValidConfig;

use self::{deadlines::Deadlines, drain::Drain, registry::Registry, unused::UnusedSessions};
pub(crate) use self::{
    kept_memory::{KeptMemory, KeptShare, MemoryWaiter},
    registry::PermitError,
};
#[cfg(feature = "http")]
use crate::byte_counter::RequestCounters;
#[cfg(feature = "journal")]
use crate::journal::Journal;
use crate::{
    SessionId,
    clock::Clock,
    config::{ManagerConfig, ManagerConfigError},
};

/// The state that all sessions share.
pub(crate) struct Shared {
    pub(crate) config: ManagerConfig,
    pub(crate) session_config: ValidConfig,
    pub(crate) clock: Clock,
    pub(crate) deadlines: Arc<Deadlines>,
    pub(crate) drain: Drain,
    pub(crate) kept_memory: Arc<KeptMemory>,
    #[cfg(feature = "http")]
    pub(crate) request_counters: RequestCounters,
    /// Sessions that were initialized but never used.
    pub(crate) unused: UnusedSessions,
    pub(crate) registry: Registry,
    #[cfg(feature = "journal")]
    pub(crate) journal: Option<Journal>,
}

impl Shared {
    pub(crate) fn new(config: ManagerConfig) -> Result<Self, ManagerConfigError> {
        let session_config = config.validate()?;
        let registry = Registry::new(config.sessions_max);
        let kept_memory = Arc::new(KeptMemory::new(config.kept_memory_max()));
        Ok(Self {
            config,
            session_config,
            clock: Clock::start(),
            deadlines: Arc::new(Deadlines::default()),
            drain: Drain::default(),
            kept_memory,
            #[cfg(feature = "http")]
            request_counters: RequestCounters::default(),
            unused: UnusedSessions::default(),
            registry,
            #[cfg(feature = "journal")]
            journal: None,
        })
    }

    /// Removes a session that is closed.
    pub(crate) fn remove(&self, id: SessionId) {
        self.registry.remove(id);
        self.drain.on_session_removed();
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("sessions", &self.registry.len()).finish_non_exhaustive()
    }
}
