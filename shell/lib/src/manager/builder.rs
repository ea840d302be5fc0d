//! The builder of a session manager.

use std::{fmt, sync::Arc};

use super::SessionManager;
#[cfg(feature = "journal")]
use crate::journal::Journal;
use crate::{
    Backend, Observer,
    backend::AnyBackend,
    config::{ManagerConfig, ManagerConfigError},
    observer::Observers,
    session::Shared,
};

/// Builds a [`SessionManager`]: [`SessionManager::builder`].
#[must_use]
pub struct SessionManagerBuilder {
    backend: Box<dyn AnyBackend>,
    config: ManagerConfig,
    name: Option<Arc<str>>,
    observer: Option<Arc<dyn Observer>>,
    #[cfg(feature = "journal")]
    journal: Option<Journal>,
}

impl SessionManagerBuilder {
    pub(super) fn new(backend: impl Backend, config: ManagerConfig) -> Self {
        Self {
            backend: Box::new(backend),
            config,
            name: None,
            observer: None,
            #[cfg(feature = "journal")]
            journal: None,
        }
    }

    /// Sets the name of the server that the sessions have, for the lines that the log has at their
    /// beginning. For a program with several managers.
    pub fn name(self, name: impl Into<Arc<str>>) -> Self {
        Self { name: Some(name.into()), ..self }
    }

    /// Sets an observer, which is told what happens in the sessions. They then have
    /// [`activity_reports`](rejoin_core::Config::activity_reports).
    pub fn observer(self, observer: Arc<dyn Observer>) -> Self {
        Self { observer: Some(observer), ..self }
    }

    /// Records the inputs of every session in a journal.
    #[cfg(feature = "journal")]
    pub fn journal(self, journal: Journal) -> Self {
        Self { journal: Some(journal), ..self }
    }

    /// Creates the manager, without sessions.
    ///
    /// # Errors
    ///
    /// The configuration is invalid: the caller is at fault.
    pub fn build(self) -> Result<SessionManager, ManagerConfigError> {
        #[cfg_attr(not(feature = "journal"), expect(unused_mut, reason = "set with a journal"))]
        let mut shared = Shared::new(self.config, Observers::new(self.name, self.observer))?;
        #[cfg(feature = "journal")]
        {
            shared.journal = self.journal;
        }
        Ok(SessionManager::from_shared(self.backend, shared))
    }
}

impl fmt::Debug for SessionManagerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionManagerBuilder")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
