//! The configuration of a store on Valkey or Redis.

#[cfg(feature = "redis-tls")]
use std::sync::Arc;
use std::{fmt, time::Duration};

use thiserror::Error;
#[cfg(feature = "redis-tls")]
use tokio_rustls::rustls::ClientConfig;

use super::connector;

/// Configuration of a [`RedisStore`](super::RedisStore).
#[derive(Clone)]
#[non_exhaustive]
pub struct RedisStoreConfig {
    /// The URL of the server: `redis://[user:password@]host[:port][/database]`; with the feature
    /// `redis-tls` also `rediss://`, which requires `tls`. `valkey://` and `valkeys://` are the same.
    pub url: String,
    /// The beginning of every key. `rejoin:` by default.
    pub prefix: String,
    /// Timeout for a response, and for a connection. 1 s by default.
    pub timeout: Duration,
    /// The configuration of rustls 0.23 for a `rediss://` URL: what is trusted, the certificate of this
    /// client if the server requires one, and the crypto provider. `None` by default.
    #[cfg(feature = "redis-tls")]
    pub tls: Option<Arc<ClientConfig>>,
}

impl RedisStoreConfig {
    /// Returns a configuration with the defaults.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            prefix: "rejoin:".to_owned(),
            timeout: Duration::from_secs(1),
            #[cfg(feature = "redis-tls")]
            tls: None,
        }
    }

    /// Returns whether the URL is one for TLS, and requires `tls`.
    ///
    /// # Errors
    ///
    /// The URL is invalid.
    pub fn uses_tls(&self) -> Result<bool, RedisStoreError> {
        connector::parse(&self.url).map(|(_, uses_tls)| uses_tls)
    }
}

/// Without the URL, which may have a password.
impl fmt::Debug for RedisStoreConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut config = f.debug_struct("RedisStoreConfig");
        config.field("prefix", &self.prefix).field("timeout", &self.timeout);
        config.finish_non_exhaustive()
    }
}

/// The configuration of a store is invalid.
#[derive(Debug, Error)]
#[error("invalid configuration of a store: {0}")]
pub struct RedisStoreError(pub(super) String);
