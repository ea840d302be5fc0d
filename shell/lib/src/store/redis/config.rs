//! The configuration of a store on Valkey or Redis.

use std::{fmt, time::Duration};

use redis::{Client, IntoConnectionInfo as _, RedisError, io::tcp::TcpSettings};
use thiserror::Error;

#[cfg(feature = "redis-tls")]
use super::tls::RedisTlsConfig;

/// Configuration of a [`RedisStore`](super::RedisStore).
#[derive(Clone)]
#[non_exhaustive]
pub struct RedisStoreConfig {
    /// The URL of the server: `redis://[user:password@]host[:port][/database]`; with the feature
    /// `redis-tls` also `rediss://`, for TLS.
    pub url: String,
    /// The beginning of every key. `rejoin:` by default.
    pub prefix: String,
    /// Timeout for a response, and for a connection. 1 s by default.
    pub timeout: Duration,
    /// Certificates for a URL with `rediss://`. By default those of the system are trusted.
    #[cfg(feature = "redis-tls")]
    pub tls: RedisTlsConfig,
}

impl RedisStoreConfig {
    /// Returns a configuration with the defaults.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            prefix: "rejoin:".to_owned(),
            timeout: Duration::from_secs(1),
            #[cfg(feature = "redis-tls")]
            tls: RedisTlsConfig::default(),
        }
    }

    pub(super) fn client(&self) -> Result<Client, RedisStoreError> {
        let invalid = |error: RedisError| RedisStoreError::Url(error.to_string());
        let info = self.url.as_str().into_connection_info().map_err(invalid)?;
        let info = info.set_tcp_settings(TcpSettings::default().set_nodelay(true));
        #[cfg(feature = "redis-tls")]
        if let Some(certificates) = self.tls.certificates(info.addr())? {
            return Client::build_with_tls(info, certificates).map_err(invalid);
        }
        Client::open(info).map_err(invalid)
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
#[non_exhaustive]
pub enum RedisStoreError {
    /// The URL is invalid, or has a scheme that is not supported.
    #[error("invalid URL of a store: {0}")]
    Url(String),
    /// The certificates of the authorities are invalid.
    #[cfg(feature = "redis-tls")]
    #[error("invalid certificate of an authority: {0}")]
    Authorities(String),
    /// The certificate of the client or its key is invalid, or they do not belong together.
    #[cfg(feature = "redis-tls")]
    #[error("invalid certificate of the client, or its key: {0}")]
    ClientCertificate(String),
    /// There are certificates for a URL without TLS.
    #[cfg(feature = "redis-tls")]
    #[error("certificates need a URL with `rediss://`")]
    NoTls,
    /// `rustls` has no [default provider](rustls::crypto::CryptoProvider::install_default). The
    /// program must install one.
    #[cfg(feature = "redis-tls")]
    #[error("no default crypto provider of rustls is installed")]
    NoCryptoProvider,
}
