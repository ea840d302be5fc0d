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
        let (tls, ConnectionAddr::Tcp(host, port)) = (&config.tls, address) else {
            return Ok(None);
        };
        match tls {
            None if config.uses_tls() => Err("TLS requires a configuration of TLS".to_owned()),
            None => Ok(None),
            Some(_) if !config.uses_tls() => Err("it is not one for TLS".to_owned()),
            Some(_) if config.url.contains('#') => {
                Err("`#insecure` is not supported: certificates are always verified".to_owned())
            }
            Some(config) => {
                let name = ServerName::try_from(host.clone()).map_err(|error| error.to_string())?;
                Ok(Some(Self { host: host.clone(), port: *port, name, config: Arc::clone(config) }))
            }
        }
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
