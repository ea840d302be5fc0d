//! Connections with TLS.

use std::{io, sync::Arc, time::Duration};

use redis::{
    AsyncConnectionConfig, ConnectionAddr, RedisConnectionInfo, RedisError,
    aio::MultiplexedConnection,
};
use tokio::{net::TcpStream, task::JoinSet, time::timeout};
use tokio_rustls::rustls::{ClientConfig, pki_types::ServerName};

use super::RedisStoreConfig;

/// What opens connections with TLS to a server.
pub(super) struct TlsConnector {
    host: String,
    port: u16,
    /// What the certificate of the server must be valid for.
    name: ServerName<'static>,
    config: Arc<ClientConfig>,
}

impl TlsConnector {
    /// Returns the connector of a configuration, whose URL has the address. `None` without TLS. The
    /// error says what is wrong with the URL.
    pub(super) fn new(
        config: &RedisStoreConfig,
        address: &ConnectionAddr,
    ) -> Result<Option<Self>, String> {
        let tls = match (config.uses_tls(), &config.tls) {
            (true, Some(tls)) => Arc::clone(tls),
            (true, None) => return Err("TLS requires `RedisStoreConfig::tls`".to_owned()),
            (false, Some(_)) => {
                let error = "`RedisStoreConfig::tls` requires a URL that begins with `rediss://`";
                return Err(error.to_owned());
            }
            (false, None) => return Ok(None),
        };
        if config.url.contains('#') {
            let error = "`#insecure` is not supported: certificates are always verified";
            return Err(error.to_owned());
        }
        let ConnectionAddr::Tcp(host, port) = address else {
            return Err("TLS requires a host".to_owned());
        };
        let name = ServerName::try_from(host.clone()).map_err(|error| error.to_string())?;
        Ok(Some(Self { host: host.clone(), port: *port, name, config: tls }))
    }

    /// Opens a connection, whose task is added to `tasks`.
    pub(super) async fn connect(
        &self,
        info: &RedisConnectionInfo,
        config: AsyncConnectionConfig,
        longest: Duration,
        tasks: &mut JoinSet<()>,
    ) -> Result<MultiplexedConnection, RedisError> {
        let connecting = async {
            let stream = TcpStream::connect((&*self.host, self.port)).await?;
            stream.set_nodelay(true)?;
            let connector = tokio_rustls::TlsConnector::from(Arc::clone(&self.config));
            let stream = connector.connect(self.name.clone(), stream).await?;
            MultiplexedConnection::new_with_config(info, stream, config).await
        };
        let (connection, task) = timeout(longest, connecting).await.map_err(io::Error::from)??;
        tasks.spawn(task);
        Ok(connection)
    }
}
