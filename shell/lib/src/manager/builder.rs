//! The builder of a session manager.

use std::{fmt, sync::Arc};

#[cfg(feature = "store")]
use bytes::Bytes;

use super::{Inner, SessionManager, Sessions};
#[cfg(feature = "store")]
use crate::cluster::Cluster;
#[cfg(feature = "cluster")]
use crate::cluster::link::LinkConfig;
#[cfg(feature = "journal")]
use crate::journal::Journal;
#[cfg(feature = "store")]
use crate::session::SessionStore;
#[cfg(feature = "store")]
use crate::store::{Store, StoreConfig};
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
    #[cfg(feature = "store")]
    cluster: Option<Arc<Cluster>>,
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
            #[cfg(feature = "store")]
            cluster: None,
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

    /// Writes sessions to a store, with which they outlive the process.
    #[cfg(feature = "store")]
    pub fn store(self, store: impl Store, config: StoreConfig) -> Self {
        Self { cluster: Some(Arc::new(Cluster::new(Box::new(store), config))), ..self }
    }

    /// Writes sessions to a store like [`store`](Self::store), and passes requests for sessions of other
    /// processes with the same store on to these, if they have a link, too. A
    /// [`StreamableHttp`](crate::StreamableHttp) of the manager serves what they pass on.
    #[cfg(feature = "cluster")]
    pub fn cluster(self, store: impl Store, config: StoreConfig, link: LinkConfig) -> Self {
        let cluster = Cluster::new(Box::new(store), config).with_links(link);
        Self { cluster: Some(Arc::new(cluster)), ..self }
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
        let observers = Observers::new(self.name, self.observer);
        #[cfg(feature = "store")]
        let has_store = self.cluster.is_some();
        #[cfg(not(feature = "store"))]
        let has_store = false;
        #[cfg_attr(
            not(any(feature = "journal", feature = "store")),
            expect(unused_mut, reason = "set with a journal or a store")
        )]
        let mut shared = Shared::new(self.config, observers, has_store)?;
        #[cfg(feature = "store")]
        {
            let store = self.cluster.as_ref().map(Arc::clone);
            shared.store = store.map(|store| store as Arc<dyn SessionStore<Bytes>>);
        }
        #[cfg(feature = "journal")]
        {
            shared.journal = self.journal;
        }
        Ok(SessionManager {
            inner: Arc::new(Inner {
                sessions: Sessions::new(shared),
                backend: self.backend,
                #[cfg(feature = "store")]
                cluster: self.cluster,
            }),
        })
    }
}

impl fmt::Debug for SessionManagerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionManagerBuilder")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
