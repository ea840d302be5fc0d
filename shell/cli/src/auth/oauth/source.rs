//! Where the keys of an issuer come from: its metadata, or a URL that is given.

use anyhow::Context as _;
use http::Uri;
use serde::Deserialize;

use super::{fetch::Fetcher, jwk::KeySet, url};

/// The source of the keys.
#[derive(Debug)]
pub(super) struct KeySource {
    fetcher: Fetcher,
    issuer: String,
    /// The URL of the keys, if the metadata is not to be asked.
    keys: Option<Uri>,
}

/// The metadata of an issuer. Specification: RFC 8414, 2.
#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    jwks_uri: String,
}

impl KeySource {
    /// # Errors
    ///
    /// A URL is not accepted, or TLS cannot be set up.
    pub(super) fn new(issuer: &str, keys: Option<&str>) -> anyhow::Result<Self> {
        url::parse(issuer).context("--auth-issuer")?;
        let keys = keys.map(url::parse).transpose().context("--auth-jwks-url")?;
        Ok(Self { fetcher: Fetcher::new()?, issuer: issuer.to_owned(), keys })
    }

    /// Fetches the keys.
    pub(super) async fn fetch(&self) -> anyhow::Result<KeySet> {
        let uri = match &self.keys {
            Some(uri) => uri.clone(),
            None => self.discover().await?,
        };
        let json = self.fetcher.get(&uri).await?;
        let keys = KeySet::parse(&json).with_context(|| format!("{uri}: not a JWK set"))?;
        anyhow::ensure!(keys.len() > 0, "{uri}: no key that can be used");
        Ok(keys)
    }

    /// Returns the URL of the keys, from the metadata of the issuer.
    async fn discover(&self) -> anyhow::Result<Uri> {
        let mut failure = None;
        for location in url::metadata(&self.issuer) {
            match self.metadata(&location).await {
                Ok(uri) => return Ok(uri),
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        Err(failure.context("no metadata")?)
    }

    async fn metadata(&self, location: &str) -> anyhow::Result<Uri> {
        let json = self.fetcher.get(&url::parse(location)?).await?;
        let metadata: Metadata =
            serde_json::from_slice(&json).with_context(|| location.to_owned())?;
        // RFC 8414, 3.3.
        anyhow::ensure!(
            metadata.issuer == self.issuer,
            "{location}: the issuer is `{}`",
            metadata.issuer
        );
        let uri =
            url::parse(&metadata.jwks_uri).with_context(|| format!("{location}: jwks_uri"))?;
        let is_remote_http = uri.scheme_str() == Some("http") && !self.issuer.starts_with("http:");
        anyhow::ensure!(!is_remote_http, "{location}: `jwks_uri` must be an https URL");
        Ok(uri)
    }
}
