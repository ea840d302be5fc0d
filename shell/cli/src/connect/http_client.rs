//! The HTTP client: connections, TLS and timeouts.

use std::{
    error::Error,
    path::Path,
    pin::Pin,
    task::{self, Poll},
    time::Duration,
};

use anyhow::Context as _;
use bytes::Bytes;
use http::Uri;
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use rustls::RootCertStore;
use tower_service::Service;

use crate::certificates;

/// An HTTP client with a pool of connections.
pub(super) type HttpClient = Client<Timed<HttpsConnector<HttpConnector>>, Full<Bytes>>;

/// Timeout for a TCP connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Timeout for a connection with all that it needs: the lookup of the name, TCP, and TLS.
const READY_TIMEOUT: Duration = Duration::from_secs(20);

/// How long a connection may be silent until the system asks whether the other side is alive, and
/// how often it asks then. A connection is given up after four times this.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// How long an unused connection is kept. Less than the idle timeouts of servers (mostly 5 s): a
/// request on a connection that the server closes at the same time may be lost.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(3);

/// Maximum unused connections.
const POOL_IDLE_MAX: usize = 8;

/// Maximum size in bytes of what a connection has read and not passed on.
const READ_BUFFER_BYTES: usize = 256 << 10;

/// Creates a client for the server at `url`.
///
/// # Errors
///
/// A certificate is invalid, or the system has none and the URL needs them.
pub(super) fn create(url: &Uri, ca: Option<&Path>) -> anyhow::Result<HttpClient> {
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_nodelay(true);
    http.set_connect_timeout(Some(CONNECT_TIMEOUT));
    http.set_keepalive(Some(KEEP_ALIVE));
    http.set_keepalive_interval(Some(KEEP_ALIVE));
    http.set_keepalive_retries(Some(3));
    #[cfg(target_os = "linux")]
    http.set_tcp_user_timeout(Some(4 * KEEP_ALIVE));
    let mut roots = RootCertStore::empty();
    if url.scheme_str() == Some("https") {
        certificates::add_system(&mut roots);
    }
    if let Some(file) = ca {
        certificates::add_file(&mut roots, file)
            .with_context(|| format!("--ca: {}", file.display()))?;
    }
    let is_secure = url.scheme_str() == Some("https");
    anyhow::ensure!(
        !is_secure || !roots.is_empty(),
        "the system has no trusted certificates; name a file with --ca"
    );
    let tls = certificates::client_config(roots)?.with_no_client_auth();
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_http1()
        .wrap_connector(http);
    Ok(Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(POOL_IDLE_TIMEOUT)
        .pool_max_idle_per_host(POOL_IDLE_MAX)
        .http1_max_buf_size(READ_BUFFER_BYTES)
        .build(Timed(connector)))
}

/// A connector with a timeout.
#[derive(Clone, Debug)]
pub(super) struct Timed<S>(S);

type Connecting<T> = Pin<Box<dyn Future<Output = Result<T, Box<dyn Error + Send + Sync>>> + Send>>;

impl<S> Service<Uri> for Timed<S>
where
    S: Service<Uri, Error = Box<dyn Error + Send + Sync>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = Box<dyn Error + Send + Sync>;
    type Future = Connecting<S::Response>;

    fn poll_ready(&mut self, cx: &mut task::Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, url: Uri) -> Self::Future {
        let connecting = self.0.call(url);
        Box::pin(async move { tokio::time::timeout(READY_TIMEOUT, connecting).await? })
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, future};

    use super::*;

    /// A connector that never connects.
    struct Silent;

    impl Service<Uri> for Silent {
        type Response = ();
        type Error = Box<dyn Error + Send + Sync>;
        type Future = future::Pending<Result<(), Self::Error>>;

        fn poll_ready(&mut self, _: &mut task::Context<'_>) -> Poll<Result<(), Self::Error>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: Uri) -> Self::Future {
            future::pending()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn server_that_does_not_finish_a_connection_is_given_up() {
        let begin = tokio::time::Instant::now();
        let connecting = Timed(Silent).call(Uri::from_static("https://localhost/mcp"));
        let error = connecting.await.unwrap_err();
        assert!(error.is::<tokio::time::error::Elapsed>(), "{error}");
        assert_eq!(begin.elapsed(), READY_TIMEOUT);
    }

    #[test]
    fn file_without_a_certificate_is_an_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let url = Uri::from_static("https://localhost/mcp");
        for text in ["", "x", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            fs::write(file.path(), text).unwrap();
            let error = create(&url, Some(file.path())).unwrap_err();
            assert!(format!("{error:#}").starts_with("--ca: "), "{error:#}");
        }
        assert!(create(&Uri::from_static("http://localhost/mcp"), None).is_ok());
    }
}
