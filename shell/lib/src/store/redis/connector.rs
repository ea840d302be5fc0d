//! New connections to the server.

use std::{sync::Arc, time::Duration};

use redis::{
    AsyncConnectionConfig, Client, ConnectionInfo, IntoConnectionInfo as _, RedisError,
    aio::MultiplexedConnection, io::tcp::TcpSettings, parse_redis_url,
};
use tokio::task::JoinSet;

#[cfg(feature = "redis-tls")]
use super::tls::TlsConnector;
use super::{RedisStoreConfig, RedisStoreError};

/// Maximum number of commands of a connection that wait for a response.
const COMMANDS_MAX: usize = 1_024;

/// What opens connections.
pub(super) struct Connector {
    client: Client,
    timeout: Duration,
    #[cfg(feature = "redis-tls")]
    tls: Option<TlsConnector>,
}

/// A connection. A clone is the same.
#[derive(Clone)]
pub(super) struct Connection {
    pub(super) redis: MultiplexedConnection,
    /// The task of one with TLS, which is aborted with the last clone.
    _task: Option<Arc<JoinSet<()>>>,
}

impl Connector {
    pub(super) fn new(config: &RedisStoreConfig) -> Result<Self, RedisStoreError> {
        let (info, uses_tls) = parse(&config.url)?;
        #[cfg(not(feature = "redis-tls"))]
        if uses_tls {
            return Err(RedisStoreError("TLS requires the feature `redis-tls`".to_owned()));
        }
        Ok(Self {
            #[cfg(feature = "redis-tls")]
            tls: TlsConnector::new(info.addr(), uses_tls, config.tls.as_ref())
                .map_err(RedisStoreError)?,
            client: Client::open(info).map_err(|error| invalid(&error))?,
            timeout: config.timeout,
        })
    }

    pub(super) async fn connect(
        &self,
        response_timeout: Duration,
    ) -> Result<Connection, RedisError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.timeout))
            .set_response_timeout(Some(response_timeout))
            .set_pipeline_buffer_size(COMMANDS_MAX)
            .set_concurrency_limit(COMMANDS_MAX);
        #[cfg(feature = "redis-tls")]
        if let Some(tls) = &self.tls {
            let info = self.client.get_connection_info().redis_settings();
            let (redis, task) = tls.connect(info, config, self.timeout).await?;
            return Ok(Connection { redis, _task: Some(Arc::new(task)) });
        }
        let redis = self.client.get_multiplexed_async_connection_with_config(&config).await?;
        Ok(Connection { redis, _task: None })
    }
}

/// Returns what a URL says, and whether that is a connection with TLS.
pub(super) fn parse(url: &str) -> Result<(ConnectionInfo, bool), RedisStoreError> {
    let error = |error: &str| RedisStoreError(error.to_owned());
    let mut url = parse_redis_url(url).ok_or_else(|| error("not a URL of Redis"))?;
    let uses_tls = matches!(url.scheme(), "rediss" | "valkeys");
    if uses_tls {
        if url.fragment().is_some() {
            return Err(error("a fragment such as `#insecure` is not supported"));
        }
        // The client of the crate has no TLS.
        url.set_scheme("redis").map_err(|()| error("not a URL of Redis"))?;
    }
    let info = url.into_connection_info().map_err(|error| invalid(&error))?;
    Ok((info.set_tcp_settings(TcpSettings::default().set_nodelay(true)), uses_tls))
}

fn invalid(error: &RedisError) -> RedisStoreError {
    RedisStoreError(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_urls_are_refused() {
        for (url, expected) in [
            ("", "not a URL of Redis"),
            ("http://localhost", "not a URL of Redis"),
            ("redis://", "Missing hostname"),
            ("redis://localhost/a", "Invalid database number"),
            ("rediss://localhost/#insecure", "a fragment such as `#insecure` is not supported"),
            ("rediss://localhost", "TLS requires `RedisStoreConfig::tls`"),
            (" REDISS://localhost", "TLS requires `RedisStoreConfig::tls`"),
            ("valkeys://localhost", "TLS requires `RedisStoreConfig::tls`"),
        ] {
            let error = Connector::new(&RedisStoreConfig::new(url)).err().map(|it| it.to_string());
            let error = error.unwrap_or_default();
            assert!(error.starts_with("invalid configuration of a store: "), "{url}: {error}");
            assert!(error.contains(expected), "{url}: {error}");
        }
    }
}
