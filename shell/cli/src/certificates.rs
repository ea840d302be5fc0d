//! Certificates and keys in PEM files, and the CAs that the system trusts.

use std::{fs::File, io::Read as _, path::Path, sync::Arc};

use anyhow::{Context as _, ensure};
use rustls::{
    ClientConfig, ConfigBuilder, RootCertStore,
    client::WantsClientCert,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};

/// Maximum size of a file, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Returns the certificates of a file, of which there is at least one.
///
/// # Errors
///
/// The file cannot be read, or is invalid. The error does not name it.
pub(crate) fn read(file: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let pem = read_file(file)?;
    let certificates = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>()?;
    ensure!(!certificates.is_empty(), "has no certificate in PEM format");
    Ok(certificates)
}

/// Returns the private key of a file.
///
/// # Errors
///
/// Like those of [`read`].
pub(crate) fn read_key(file: &Path) -> anyhow::Result<PrivateKeyDer<'static>> {
    let pem = read_file(file)?;
    PrivateKeyDer::from_pem_slice(&pem).context("has no private key in PEM format")
}

/// Adds the certificates of a file to those that are trusted.
///
/// # Errors
///
/// Like those of [`read`].
pub(crate) fn add_file(roots: &mut RootCertStore, file: &Path) -> anyhow::Result<()> {
    for certificate in read(file)? {
        roots.add(certificate)?;
    }
    Ok(())
}

/// Adds the certificates of the system to those that are trusted. Those that are invalid are not.
pub(crate) fn add_system(roots: &mut RootCertStore) {
    let system = rustls_native_certs::load_native_certs();
    for error in system.errors {
        tracing::warn!("certificates of the system: {error}");
    }
    let (_, ignored) = roots.add_parsable_certificates(system.certs);
    if ignored > 0 {
        tracing::debug!(ignored, "some certificates of the system are invalid");
    }
}

/// Begins the configuration of a client that trusts `roots`.
///
/// # Errors
///
/// TLS cannot be set up.
pub(crate) fn client_config(
    roots: RootCertStore,
) -> anyhow::Result<ConfigBuilder<ClientConfig, WantsClientCert>> {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    Ok(config.with_safe_default_protocol_versions()?.with_root_certificates(roots))
}

fn read_file(file: &Path) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(file)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    ensure!(bytes.len() as u64 <= FILE_BYTES_MAX, "is larger than {FILE_BYTES_MAX} bytes");
    Ok(bytes)
}
