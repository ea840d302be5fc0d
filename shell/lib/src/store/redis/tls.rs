//! Connections with TLS.

use std::{io, sync::Arc, time::Duration};

use futures_util::future::select_ok;
use redis::{
    AsyncConnectionConfig, ConnectionAddr, RedisConnectionInfo, RedisError,
    aio::MultiplexedConnection,
};
use tokio::{
    net::{TcpStream, lookup_host},
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::rustls::{ClientConfig, pki_types::ServerName};

/// What opens connections with TLS to a server.
pub(super) struct TlsConnector {
    host: String,
    port: u16,
    /// What the certificate of the server must be valid for.
    name: ServerName<'static>,
    config: Arc<ClientConfig>,
}

impl TlsConnector {
    /// Returns a connector if the URL `uses_tls`. The error says what is missing.
    pub(super) fn new(
        address: &ConnectionAddr,
        uses_tls: bool,
        config: Option<&Arc<ClientConfig>>,
    ) -> Result<Option<Self>, String> {
        let config = match (uses_tls, config) {
            (true, Some(config)) => Arc::clone(config),
            (true, None) => return Err("TLS requires `RedisStoreConfig::tls`".to_owned()),
            (false, Some(_)) => {
                let error = "`RedisStoreConfig::tls` requires a URL that begins with `rediss://`";
                return Err(error.to_owned());
            }
            (false, None) => return Ok(None),
        };
        let ConnectionAddr::Tcp(host, port) = address else {
            return Err("TLS requires a host".to_owned());
        };
        let name = ServerName::try_from(host.clone()).map_err(|error| error.to_string())?;
        Ok(Some(Self { host: host.clone(), port: *port, name, config }))
    }

    /// Opens a connection. Also returns its task.
    pub(super) async fn connect(
        &self,
        info: &RedisConnectionInfo,
        config: AsyncConnectionConfig,
        longest: Duration,
    ) -> Result<(MultiplexedConnection, JoinSet<()>), RedisError> {
        let connecting = async {
            let stream = self.connect_tcp().await?;
            stream.set_nodelay(true)?;
            let connector = tokio_rustls::TlsConnector::from(Arc::clone(&self.config));
            let stream = connector.connect(self.name.clone(), stream).await?;
            MultiplexedConnection::new_with_config(info, stream, config).await
        };
        let (connection, driver) =
            timeout(longest, connecting).await.map_err(io::Error::from)??;
        let mut task = JoinSet::new();
        task.spawn(driver);
        Ok((connection, task))
    }

    /// Connects to the address of the host that answers first.
    async fn connect_tcp(&self) -> io::Result<TcpStream> {
        let addresses = lookup_host((&*self.host, self.port)).await?;
        let connecting: Vec<_> =
            addresses.map(|address| Box::pin(TcpStream::connect(address))).collect();
        if connecting.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the host has no address"));
        }
        select_ok(connecting).await.map(|(stream, _)| stream)
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;
    use tokio_rustls::rustls::{RootCertStore, crypto::ring};

    use super::*;

    fn config() -> Arc<ClientConfig> {
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let config = config.with_safe_default_protocol_versions().unwrap();
        Arc::new(config.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
    }

    fn connector(host: &str, port: u16) -> TlsConnector {
        let address = ConnectionAddr::Tcp(host.to_owned(), port);
        TlsConnector::new(&address, true, Some(&config())).unwrap().unwrap()
    }

    #[test]
    fn a_certificate_is_for_the_host_of_the_url() {
        assert!(matches!(connector("localhost", 1).name, ServerName::DnsName(_)));
        assert!(matches!(connector("::1", 1).name, ServerName::IpAddress(_)));
        let address = ConnectionAddr::Tcp("localhost".to_owned(), 1);
        let error = TlsConnector::new(&address, false, Some(&config())).err();
        assert!(error.is_some_and(|error| error.contains("rediss://")));
    }

    #[tokio::test]
    async fn a_server_that_is_silent_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let connector = connector("localhost", listener.local_addr().unwrap().port());
        let (info, longest) = (RedisConnectionInfo::default(), Duration::from_millis(50));
        let connecting = connector.connect(&info, AsyncConnectionConfig::new(), longest);
        let error = connecting.await.err();
        assert!(error.as_ref().is_some_and(RedisError::is_timeout), "{error:?}");
    }
}
