//! The configuration of a manager with a store.

use std::time::Duration;

use rejoin_core::cluster::LeaseConfig;

/// How a manager uses its store.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreConfig {
    /// Time after which the store removes a session whose process does not run any more, and that
    /// nobody asks for. Default 30 min.
    pub ttl: Duration,
    /// What becomes of a session whose backend has ended with its process. By default, it ends.
    pub takeover: Takeover,
    /// The lease by which other processes know that this one is alive.
    pub lease: LeaseConfig,
}

impl Default for StoreConfig {
    fn default() -> Self {
        let ttl = Duration::from_secs(30 * 60);
        Self { ttl, takeover: Takeover::default(), lease: LeaseConfig::default() }
    }
}

/// What becomes of a session that another process had, whose backend is gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Takeover {
    /// Its client gets what was sent before, and for pending requests an error. Then the session
    /// ends, and the client begins a new one.
    #[default]
    End,
    /// It gets a new backend, which is initialized like the one before and knows nothing else of it.
    /// For servers without state.
    Reopen,
}
