//! New connections to the server.

use std::time::Duration;

use redis::{
    AsyncConnectionConfig, Client, IntoConnectionInfo as _, RedisError, aio::MultiplexedConnection,
    io::tcp::TcpSettings,
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

impl Connector {
    pub(super) fn new(config: &RedisStoreConfig) -> Result<Self, RedisStoreError> {
        // The client of the crate knows nothing of TLS.
        let url = config.url.replacen("s://", "://", usize::from(config.uses_tls()));
        let invalid = |error: RedisError| RedisStoreError(error.to_string());
        let info = url.into_connection_info().map_err(invalid)?;
        let info = info.set_tcp_settings(TcpSettings::default().set_nodelay(true));
        #[cfg(not(feature = "redis-tls"))]
        if config.uses_tls() {
            return Err(RedisStoreError("TLS requires the feature `redis-tls`".to_owned()));
        }
        Ok(Self {
            #[cfg(feature = "redis-tls")]
            tls: TlsConnector::new(config, info.addr()).map_err(RedisStoreError)?,
            client: Client::open(info).map_err(invalid)?,
            timeout: config.timeout,
        })
    }

    /// Opens a connection. The task of one with TLS is added to `tasks`.
    #[cfg_attr(not(feature = "redis-tls"), expect(unused_variables, reason = "only for TLS"))]
    pub(super) async fn connect(
        &self,
        response_timeout: Duration,
        tasks: &mut JoinSet<()>,
    ) -> Result<MultiplexedConnection, RedisError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.timeout))
            .set_response_timeout(Some(response_timeout))
            .set_pipeline_buffer_size(COMMANDS_MAX)
            .set_concurrency_limit(COMMANDS_MAX);
        #[cfg(feature = "redis-tls")]
        if let Some(tls) = &self.tls {
            let info = self.client.get_connection_info().redis_settings();
            return tls.connect(info, config, self.timeout, tasks).await;
        }
        self.client.get_multiplexed_async_connection_with_config(&config).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_urls_are_refused() {
        for (url, expected) in [
            ("http://localhost", "invalid URL of a store: Redis URL did not parse"),
            ("redis://", "invalid URL of a store: "),
            ("rediss://localhost", "invalid URL of a store: TLS requires "),
            ("valkeys://localhost", "invalid URL of a store: TLS requires "),
        ] {
            let error = Connector::new(&RedisStoreConfig::new(url)).err().map(|it| it.to_string());
            assert!(error.as_ref().is_some_and(|it| it.starts_with(expected)), "{url}: {error:?}");
        }
    }
}
