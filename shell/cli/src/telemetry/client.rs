//! The HTTP client that sends telemetry to the collector.

use std::{env, mem, sync::Arc, time::Duration};

use anyhow::Context as _;
use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full, Limited};
use opentelemetry_http::{HttpClient, HttpError};
use parking_lot::Mutex;
use tokio::{runtime::Handle, time::Instant};
use tokio_util::task::AbortOnDropHandle;

use crate::https::{self, HttpsClient};

/// Maximum time for one request, unless `OTEL_EXPORTER_OTLP_TIMEOUT` says otherwise.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Maximum size of a response, in bytes.
const RESPONSE_BYTES_MAX: usize = 64 << 10;

/// Minimum time between two log lines about a collector that does not accept telemetry.
const REPORT_INTERVAL: Duration = Duration::from_secs(60);

/// A client that runs in the runtime of the program, called by the threads of the SDK.
#[derive(Clone, Debug)]
pub(super) struct CollectorClient {
    runtime: Handle,
    http: HttpsClient<Full<Bytes>>,
    timeout: Duration,
    failures: Arc<Mutex<Failures>>,
}

/// What is known of a collector that does not accept one signal.
#[derive(Debug)]
struct Failures {
    /// `traces` or `metrics`.
    signal: &'static str,
    count: u64,
    reported_at: Option<Instant>,
    /// Whether the log has one of them.
    is_reported: bool,
}

impl CollectorClient {
    /// Returns the client for another signal.
    pub(super) fn with_signal(&self, signal: &'static str) -> Self {
        Self { failures: Failures::of(signal), ..self.clone() }
    }

    /// Creates a client for a signal. Must be called in the runtime.
    ///
    /// # Errors
    ///
    /// TLS cannot be set up, or the variable for the timeout is invalid.
    pub(super) fn new(signal: &'static str) -> anyhow::Result<Self> {
        let timeout = match env::var("OTEL_EXPORTER_OTLP_TIMEOUT") {
            Ok(text) => {
                let milliseconds = text.parse().context("OTEL_EXPORTER_OTLP_TIMEOUT")?;
                Duration::from_millis(milliseconds)
            }
            Err(_) => TIMEOUT,
        };
        let (runtime, http) = (Handle::current(), https::client()?);
        Ok(Self { runtime, http, timeout, failures: Failures::of(signal) })
    }
}

#[async_trait]
impl HttpClient for CollectorClient {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let sent = send(self.http.clone(), request.map(Full::new), self.timeout);
        let result = AbortOnDropHandle::new(self.runtime.spawn(sent)).await?;
        let mut failures = self.failures.lock();
        match &result {
            Ok(response) if response.status().is_success() => failures.end(),
            Ok(response) => failures.add(&format!("status {}", response.status())),
            Err(error) => failures.add(&format!("{error:#}")),
        }
        Ok(result?)
    }
}

async fn send(
    http: HttpsClient<Full<Bytes>>,
    request: Request<Full<Bytes>>,
    timeout: Duration,
) -> anyhow::Result<Response<Bytes>> {
    let exchange = async {
        let (head, body) = http.request(request).await?.into_parts();
        let body = Limited::new(body, RESPONSE_BYTES_MAX).collect().await;
        let body = body.map_err(|error| anyhow::anyhow!(error))?.to_bytes();
        Ok(Response::from_parts(head, body))
    };
    let exchanged = tokio::time::timeout(timeout, exchange).await;
    exchanged.unwrap_or_else(|_| Err(anyhow::anyhow!("no response within {timeout:?}")))
}

impl Failures {
    fn of(signal: &'static str) -> Arc<Mutex<Self>> {
        let failures = Self { signal, count: 0, reported_at: None, is_reported: false };
        Arc::new(Mutex::new(failures))
    }

    /// Counts a failure, and logs the first one, and then one in each interval.
    fn add(&mut self, error: &str) {
        self.count += 1;
        let is_due = self.reported_at.is_none_or(|at| at.elapsed() >= REPORT_INTERVAL);
        if is_due {
            self.reported_at = Some(Instant::now());
            self.is_reported = true;
            let Self { signal, count, .. } = *self;
            tracing::warn!(signal, error, count, "the collector does not accept telemetry");
        }
    }

    /// Logs that the failures have ended, if the log has one of them.
    fn end(&mut self) {
        let Self { signal, count, .. } = *self;
        if mem::take(&mut self.is_reported) {
            tracing::info!(signal, failures = count, "the collector accepts telemetry again");
        }
        self.count = 0;
    }
}
