//! TLS to the server of a store.

use std::fmt;

use redis::{ClientTlsConfig, ConnectionAddr, TlsCertificates};
use rustls::{
    RootCertStore,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    sign::CertifiedKey,
};

use super::RedisStoreError;

/// Certificates for TLS, in PEM.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct RedisTlsConfig {
    /// Certificates of authorities that are trusted, instead of those of the system.
    pub authorities: Option<Vec<u8>>,
    /// The certificate of this client, for servers that require one.
    pub client: Option<RedisClientCertificate>,
}

/// A certificate of a client.
#[derive(Clone)]
pub struct RedisClientCertificate {
    /// The certificate and its intermediates, in PEM.
    pub chain: Vec<u8>,
    /// Its private key, in PEM.
    pub key: Vec<u8>,
}

/// Without the key.
impl fmt::Debug for RedisClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisClientCertificate").finish_non_exhaustive()
    }
}

impl RedisTlsConfig {
    /// Returns the certificates for an address, after they were checked. `None` without TLS.
    pub(super) fn certificates(
        &self,
        address: &ConnectionAddr,
    ) -> Result<Option<TlsCertificates>, RedisStoreError> {
        let &ConnectionAddr::TcpTls { insecure, .. } = address else {
            let has_none = self.authorities.is_none() && self.client.is_none();
            return if has_none { Ok(None) } else { Err(RedisStoreError::NoTls) };
        };
        if insecure {
            return Err(RedisStoreError::Url("certificates are always verified".to_owned()));
        }
        // Connections would panic without one.
        let provider = CryptoProvider::get_default().ok_or(RedisStoreError::NoCryptoProvider)?;
        if let Some(authorities) = &self.authorities {
            check_authorities(authorities).map_err(RedisStoreError::Authorities)?;
        }
        if let Some(client) = &self.client {
            client.check(provider).map_err(RedisStoreError::ClientCertificate)?;
        }
        let client_tls = self.client.clone().map(|RedisClientCertificate { chain, key }| {
            ClientTlsConfig { client_cert: chain, client_key: key }
        });
        Ok(Some(TlsCertificates { client_tls, root_cert: self.authorities.clone() }))
    }
}

impl RedisClientCertificate {
    fn check(&self, provider: &CryptoProvider) -> Result<(), String> {
        let chain = read_certificates(&self.chain)?;
        let key = PrivateKeyDer::from_pem_slice(&self.key);
        let key = key.map_err(|error| format!("no private key in PEM: {error}"))?;
        let checked = CertifiedKey::from_der(chain, key, provider);
        checked.map(drop).map_err(|error| error.to_string())
    }
}

fn check_authorities(pem: &[u8]) -> Result<(), String> {
    let mut roots = RootCertStore::empty();
    for certificate in read_certificates(pem)? {
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    Ok(())
}

fn read_certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    let certificates = certificates.map_err(|error| error.to_string())?;
    if certificates.is_empty() { Err("no certificate in PEM".to_owned()) } else { Ok(certificates) }
}
