//! The store of sessions, as it is configured.

use std::time::Duration;

use anyhow::ensure;
use rejoin::store::{RedisStore, RedisStoreConfig, StoreConfig, Takeover};

use super::ServerName;

/// Where sessions are stored, and what becomes of those of other processes.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct ProgramStore {
    /// The URL of the server, which may have a password. Without one, sessions are only in memory.
    pub(crate) url: Option<String>,
    pub(crate) prefix: String,
    pub(crate) ttl: Duration,
    pub(crate) takeover: Takeover,
    pub(crate) lease: Duration,
}

/// Minimum of `lease`: renewals take a while.
const LEASE_MIN: Duration = Duration::from_millis(300);

impl Default for ProgramStore {
    fn default() -> Self {
        let StoreConfig { ttl, takeover, lease, .. } = StoreConfig::default();
        Self { url: None, prefix: "rejoin:".to_owned(), ttl, takeover, lease: lease.ttl }
    }
}

/// Without the URL.
impl std::fmt::Debug for ProgramStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { url, prefix, ttl, takeover, lease } = self;
        f.debug_struct("ProgramStore")
            .field("has_url", &url.is_some())
            .field("prefix", prefix)
            .field("ttl", ttl)
            .field("takeover", takeover)
            .field("lease", lease)
            .finish()
    }
}

impl ProgramStore {
    /// Checks the options against each other.
    ///
    /// # Errors
    ///
    /// The user is at fault. The error names the option.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        ensure!(self.lease >= LEASE_MIN, "--lease must be at least 300ms");
        let ttl_min = self.lease * 4;
        ensure!(self.ttl >= ttl_min, "--store-ttl must be at least four times --lease");
        self.open(None).map(drop)
    }

    /// Returns the store of a server, which is not connected, and its configuration.
    ///
    /// # Errors
    ///
    /// The URL is invalid.
    pub(crate) fn open(
        &self,
        server: Option<&ServerName>,
    ) -> anyhow::Result<Option<(RedisStore, StoreConfig)>> {
        let Some(url) = &self.url else { return Ok(None) };
        let mut store = RedisStoreConfig::new(url.as_str());
        store.prefix.clone_from(&self.prefix);
        if let Some(server) = server {
            // Servers of a file have their own sessions.
            store.prefix.push_str(server.as_str());
            store.prefix.push(':');
        }
        let mut config = StoreConfig::default();
        config.ttl = self.ttl;
        config.takeover = self.takeover;
        config.lease.ttl = self.lease;
        config.lease.interval = self.lease / 3;
        let store = RedisStore::new(store).map_err(|error| anyhow::anyhow!("--store: {error}"))?;
        Ok(Some((store, config)))
    }
}
