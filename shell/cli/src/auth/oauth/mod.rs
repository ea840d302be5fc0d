//! An OAuth resource server: tokens of one issuer, verified with its public keys.

mod cache;
mod fetch;
mod jwk;
mod source;
mod token;
mod url;

use std::sync::Arc;

use rejoin::Principal;
use tokio::time::Instant;

use self::{
    cache::KeyCache,
    source::KeySource,
    token::{Requirements, key_hint},
};
use super::{AuthConfig, reason::Reason};

/// Verifies tokens.
#[derive(Debug)]
pub(super) struct ResourceServer {
    requirements: Requirements,
    keys: Arc<KeyCache>,
}

impl ResourceServer {
    /// Creates it for the issuer of a configuration.
    ///
    /// # Errors
    ///
    /// A URL is not accepted, or TLS cannot be set up.
    pub(super) fn new(issuer: &str, config: &AuthConfig) -> anyhow::Result<Self> {
        let source = KeySource::new(issuer, config.jwks_url.as_deref())?;
        let requirements = Requirements {
            issuer: issuer.to_owned(),
            audiences: config.audiences.clone(),
            scopes: config.scopes.clone(),
            leeway: config.leeway,
        };
        Ok(Self { requirements, keys: Arc::new(KeyCache::new(source, config.jwks_interval)) })
    }

    /// Fetches the keys in advance. Must be called in a tokio runtime.
    pub(super) fn prepare(&self) {
        let keys = Arc::clone(&self.keys);
        tokio::spawn(async move { keys.fetch_unless_tried_since(Instant::now()).await });
    }

    /// Verifies a token. Returns its principal, and when it is not accepted any more.
    pub(super) async fn verify(&self, token: &str) -> Result<(Principal, Instant), Reason> {
        let hint = key_hint(token)?;
        let keys = self.keys.keys_for(&hint).await?;
        let key = keys.find(hint.id.as_deref(), hint.algorithm)?;
        self.requirements.verify(token, hint.algorithm, key)
    }

    pub(super) fn issuer(&self) -> &str {
        &self.requirements.issuer
    }

    /// Returns the scopes that a token needs.
    pub(super) fn scopes(&self) -> &[String] {
        &self.requirements.scopes
    }
}
