//! TLS to the store, as it is configured.

use std::{path::Path, sync::Arc};

use anyhow::{Context as _, ensure};
use rustls::{ClientConfig, RootCertStore};

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
    /// Checks the options against each other.
    ///
    /// # Errors
    ///
    /// The user is at fault. The error names the options.
    pub(super) fn check(&self, is_used: bool) -> anyhow::Result<()> {
        ensure!(
            is_used || *self == Self::default(),
            "--store-ca, --store-cert and --store-key need --store with a `rediss://` URL"
        );
        ensure!(
            self.cert.is_some() == self.key.is_some(),
            "--store-cert and --store-key need each other"
        );
        Ok(())
    }

    /// Reads the files.
    ///
    /// # Errors
    ///
    /// The user is at fault. The error names the option and the file.
    pub(super) fn read(&self) -> anyhow::Result<Arc<ClientConfig>> {
        let mut roots = RootCertStore::empty();
        match &self.ca {
            Some(file) => certificates::add_file(&mut roots, Path::new(file))
                .with_context(|| format!("--store-ca {file}"))?,
            None => certificates::add_system(&mut roots),
        }
        ensure!(!roots.is_empty(), "the system has no trusted certificates; use --store-ca");
        let config = certificates::client_config(roots)?;
        let (Some(cert), Some(key)) = (&self.cert, &self.key) else {
            return Ok(Arc::new(config.with_no_client_auth()));
        };
        let chain = certificates::read(Path::new(cert));
        let chain = chain.with_context(|| format!("--store-cert {cert}"))?;
        let private_key = certificates::read_key(Path::new(key));
        let private_key = private_key.with_context(|| format!("--store-key {key}"))?;
        let config = config.with_client_auth_cert(chain, private_key);
        Ok(Arc::new(config.with_context(|| format!("--store-cert {cert}, --store-key {key}"))?))
    }
}
