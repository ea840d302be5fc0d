//! Fetching of small JSON documents over HTTPS.

use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Empty, Limited};

use crate::https::{self, HttpsClient};

/// Maximum time for one document.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Maximum size of a document, in bytes.
const BYTES_MAX: usize = 256 << 10;

/// A client that does not follow redirects.
#[derive(Clone, Debug)]
pub(super) struct Fetcher(HttpsClient<Empty<Bytes>>);

impl Fetcher {
    /// Creates a client that trusts the certificates of the system.
    ///
    /// # Errors
    ///
    /// TLS cannot be set up.
    pub(super) fn new() -> anyhow::Result<Self> {
        Ok(Self(https::client()?))
    }

    /// Fetches a document.
    pub(super) async fn get(&self, uri: &Uri) -> anyhow::Result<Bytes> {
        let request = Request::get(uri).header(header::ACCEPT, "application/json");
        let request = request.body(Empty::new())?;
        let fetch = async {
            let response = self.0.request(request).await?;
            let status = response.status();
            anyhow::ensure!(status == StatusCode::OK, "status {status}");
            let body = Limited::new(response.into_body(), BYTES_MAX).collect().await;
            Ok(body.map_err(|error| anyhow::anyhow!(error))?.to_bytes())
        };
        let fetched = tokio::time::timeout(TIMEOUT, fetch).await.context("timed out");
        fetched.and_then(|fetched| fetched).with_context(|| uri.to_string())
    }
}
