//! The store of sessions, as it is configured.

use std::{fs, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context as _, anyhow, ensure};
use rejoin::{
    LinkConfig,
    store::{RedisStore, RedisStoreConfig, StoreConfig, Takeover},
};
use rustls::ClientConfig;

use super::{ServerName, store_tls::StoreTls};

/// Where sessions are stored, and what becomes of those of other processes.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct ProgramStore {
    /// The URL of the server, which may have a password. Without one, sessions are only in memory.
    pub(crate) url: Option<String>,
    pub(crate) tls: StoreTls,
    pub(crate) prefix: String,
    pub(crate) ttl: Duration,
    pub(crate) takeover: Takeover,
    pub(crate) lease: Duration,
    /// The address for other processes, which pass requests on.
    pub(crate) cluster_listen: Option<SocketAddr>,
    pub(crate) cluster_advertise: Option<String>,
    pub(crate) cluster_secret_file: Option<String>,
}

/// Minimum of `lease`: renewals take a while.
const LEASE_MIN: Duration = Duration::from_millis(300);

impl Default for ProgramStore {
    fn default() -> Self {
        let StoreConfig { ttl, takeover, lease, .. } = StoreConfig::default();
        Self {
            url: None,
            tls: StoreTls::default(),
            prefix: "rejoin:".to_owned(),
            ttl,
            takeover,
            lease: lease.ttl,
            cluster_listen: None,
            cluster_advertise: None,
            cluster_secret_file: None,
        }
    }
}

/// Without the URL.
impl std::fmt::Debug for ProgramStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { url, tls, prefix, ttl, takeover, lease, cluster_listen, .. } = self;
        f.debug_struct("ProgramStore")
            .field("has_url", &url.is_some())
            .field("tls", tls)
            .field("prefix", prefix)
            .field("ttl", ttl)
            .field("takeover", takeover)
            .field("lease", lease)
            .field("cluster_listen", cluster_listen)
            .finish_non_exhaustive()
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
        let has_link = self.cluster_listen.is_some();
        ensure!(!has_link || self.url.is_some(), "--cluster-listen needs --store");
        ensure!(
            has_link == self.cluster_secret_file.is_some(),
            "--cluster-listen and --cluster-secret-file need each other"
        );
        let advertised = self.cluster_advertise.is_some();
        ensure!(has_link || !advertised, "--cluster-advertise needs --cluster-listen");
        let is_unspecified =
            self.cluster_listen.is_some_and(|address| address.ip().is_unspecified());
        ensure!(
            !is_unspecified || advertised,
            "--cluster-listen on all addresses needs --cluster-advertise"
        );
        self.tls.check(self.uses_tls()?)
    }

    fn uses_tls(&self) -> anyhow::Result<bool> {
        let uses_tls = self.url.as_ref().map(|url| RedisStoreConfig::new(url).uses_tls());
        let uses_tls = uses_tls.transpose().map_err(|error| anyhow!("--store: {error}"))?;
        Ok(uses_tls == Some(true))
    }

    /// Listens for other processes, if that is configured. `body_bytes_max` is the maximum size of a
    /// request that they pass on.
    ///
    /// # Errors
    ///
    /// The secret cannot be read or is too short, or the address cannot be listened on.
    pub(crate) fn link(&self, body_bytes_max: usize) -> anyhow::Result<Option<LinkConfig>> {
        let (Some(address), Some(file)) = (self.cluster_listen, &self.cluster_secret_file) else {
            return Ok(None);
        };
        let secret = fs::read(file).with_context(|| format!("--cluster-secret-file: {file}"))?;
        let mut link = LinkConfig::new(address, secret.trim_ascii())
            .context("--cluster-listen")?
            .body_bytes_max(body_bytes_max);
        if let Some(advertised) = &self.cluster_advertise {
            link = link.advertise(advertised);
        }
        Ok(Some(link))
    }

    /// Returns the configuration of TLS, if the store uses it.
    ///
    /// # Errors
    ///
    /// A file cannot be read, or is invalid. The error names the option and the file.
    pub(crate) fn tls(&self) -> anyhow::Result<Option<Arc<ClientConfig>>> {
        self.uses_tls()?.then(|| self.tls.read()).transpose()
    }

    /// Returns the store of a server, which is not connected, and its configuration. `tls` is
    /// [`Self::tls`].
    ///
    /// # Errors
    ///
    /// The user is at fault. The error names the option.
    pub(crate) fn open(
        &self,
        server: Option<&ServerName>,
        tls: Option<Arc<ClientConfig>>,
    ) -> anyhow::Result<Option<(RedisStore, StoreConfig)>> {
        let Some(url) = &self.url else { return Ok(None) };
        let mut store = RedisStoreConfig::new(url.as_str());
        store.tls = tls;
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
        let store = RedisStore::new(store).context("--store")?;
        Ok(Some((store, config)))
    }
}
