//! TLS to the store, as it is configured.

use std::{path::Path, sync::Arc};

use anyhow::{Context as _, bail, ensure};
use rustls::{ClientConfig, RootCertStore, crypto::ring};

use crate::certificates;

/// Files in PEM for TLS to the store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct StoreTls {
    /// The CAs that are trusted instead of those of the system.
    pub(crate) ca: Option<String>,
    /// The certificate of this client, and its key.
    pub(crate) cert: Option<String>,
    pub(crate) key: Option<String>,
}

impl StoreTls {
    /// The error if there are files, but no URL for TLS.
    pub(super) const NEEDS_URL: &str =
        "--store-ca, --store-cert and --store-key need --store with a `rediss://` URL";

    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Reads the files, if TLS is used.
    ///
    /// # Errors
    ///
    /// The user is at fault. The error names the option and the file.
    pub(super) fn client_config(&self, is_used: bool) -> anyhow::Result<Option<Arc<ClientConfig>>> {
        if !is_used {
            ensure!(self.is_empty(), Self::NEEDS_URL);
            return Ok(None);
        }
        let mut roots = RootCertStore::empty();
        match &self.ca {
            Some(file) => certificates::add_file(&mut roots, Path::new(file))
                .with_context(|| format!("--store-ca {file}"))?,
            None => certificates::add_system(&mut roots),
        }
        ensure!(!roots.is_empty(), "the system has no trusted certificates; use --store-ca");
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots);
        let config = match (&self.cert, &self.key) {
            (None, None) => config.with_no_client_auth(),
            (Some(cert), Some(key)) => {
                let chain = certificates::read(Path::new(cert));
                let chain = chain.with_context(|| format!("--store-cert {cert}"))?;
                let private_key = certificates::read_key(Path::new(key));
                let private_key = private_key.with_context(|| format!("--store-key {key}"))?;
                config
                    .with_client_auth_cert(chain, private_key)
                    .with_context(|| format!("--store-cert {cert}, --store-key {key}"))?
            }
            _ => bail!("--store-cert and --store-key need each other"),
        };
        Ok(Some(Arc::new(config)))
    }
}
