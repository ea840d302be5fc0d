//! Fetching of small JSON documents over HTTPS.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use bytes::Bytes;
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use rustls::{ClientConfig, RootCertStore, crypto::ring};

/// Maximum time for one document.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Maximum size of a document, in bytes.
const BYTES_MAX: usize = 256 << 10;

/// A client that does not follow redirects.
#[derive(Clone, Debug)]
pub(super) struct Fetcher(Client<HttpsConnector<HttpConnector>, Empty<Bytes>>);

impl Fetcher {
    /// Creates a client that trusts the certificates of the system.
    ///
    /// # Errors
    ///
    /// TLS cannot be set up.
    pub(super) fn new() -> anyhow::Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let https = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
        let mut client = Client::builder(TokioExecutor::new());
        // Connections would be idle for much longer than servers keep them.
        client.pool_max_idle_per_host(0);
        Ok(Self(client.build(https.enable_http1().build())))
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
