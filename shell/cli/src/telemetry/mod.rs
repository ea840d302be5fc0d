//! OpenTelemetry: a span for each request, and metrics, which are sent to a collector by OTLP.
//!
//! Specification: OpenTelemetry semantic conventions for generative AI 0.1.0, "Semantic
//! conventions for Model Context Protocol (MCP)".

mod attributes;
mod client;
mod instruments;
mod observer;
mod open_spans;
mod request_span;
#[cfg(test)]
mod tests;
mod trace_context;

use std::{collections::HashMap, env, mem, sync::Arc, thread, time::Duration};

use anyhow::Context as _;
use opentelemetry::{
    InstrumentationScope, KeyValue, metrics::MeterProvider as _, trace::TracerProvider as _,
};
use opentelemetry_otlp::{
    MetricExporter, Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _,
};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    metrics::SdkMeterProvider,
    trace::{SdkTracer, SdkTracerProvider},
};
use parking_lot::Mutex;
use rejoin::Observer;
use tokio::sync::oneshot;

use self::{client::CollectorClient, instruments::Instruments, observer::ServerObserver};
use crate::{config::ProgramConfig, observers::KnownNames};

/// Maximum time to send what is left on shutdown.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// The running telemetry. A clone is the same.
#[derive(Clone)]
pub(crate) struct Telemetry(Arc<Inner>);

struct Inner {
    spans: SdkTracerProvider,
    metrics: SdkMeterProvider,
    tracer: SdkTracer,
    instruments: Instruments,
    /// The names of each server, by its name: a reload does not make others known.
    names: Mutex<HashMap<Arc<str>, ServerNames>>,
}

/// The names that clients choose and that are known of a server.
#[derive(Clone, Default)]
struct ServerNames {
    tools: Arc<KnownNames>,
    prompts: Arc<KnownNames>,
}

impl Telemetry {
    /// Starts two threads, which send spans and metrics, if a collector is configured.
    ///
    /// # Errors
    ///
    /// A variable of OpenTelemetry is invalid, or TLS cannot be set up.
    pub(crate) fn start(config: &ProgramConfig) -> anyhow::Result<Option<Self>> {
        let Some(endpoint) = &config.otlp_endpoint else { return Ok(None) };
        if env::var("OTEL_SDK_DISABLED").is_ok_and(|value| value.eq_ignore_ascii_case("true")) {
            tracing::warn!("--otlp-endpoint has no effect: OTEL_SDK_DISABLED is set");
            return Ok(None);
        }
        let started = start(endpoint.trim_end_matches('/'));
        started.map(Some).context("cannot start OpenTelemetry")
    }

    /// Returns the observer of a server.
    pub(crate) fn observer(&self, server: &str) -> Arc<dyn Observer> {
        let Inner { tracer, instruments, names, .. } = &*self.0;
        let server: Arc<str> = server.into();
        let names = names.lock().entry(Arc::clone(&server)).or_default().clone();
        Arc::new(ServerObserver::new(server, tracer.clone(), instruments.clone(), names))
    }

    /// Sends what is left, and stops. Takes [`FLUSH_TIMEOUT`] at most.
    pub(crate) async fn flush(&self) {
        let Inner { spans, metrics, .. } = &*self.0;
        let (spans, metrics) = (spans.clone(), metrics.clone());
        tokio::join!(
            stop("spans", move || spans.shutdown_with_timeout(FLUSH_TIMEOUT)),
            stop("metrics", move || metrics.shutdown_with_timeout(FLUSH_TIMEOUT)),
        );
    }
}

fn start(endpoint: &str) -> anyhow::Result<Telemetry> {
    let client = CollectorClient::new("traces")?;
    let spans = SpanExporter::builder()
        .with_http()
        .with_http_client(client.clone())
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(format!("{endpoint}/v1/traces"))
        .build()?;
    let metrics = MetricExporter::builder()
        .with_http()
        .with_http_client(client.with_signal("metrics"))
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(format!("{endpoint}/v1/metrics"))
        .build()?;
    let resource = resource();
    let spans = SdkTracerProvider::builder()
        .with_resource(resource.clone())
        .with_batch_exporter(spans)
        .build();
    let metrics =
        SdkMeterProvider::builder().with_resource(resource).with_periodic_exporter(metrics).build();
    // Dropping the last one would wait for the collector, also when a second signal ends the
    // program at once.
    mem::forget((spans.clone(), metrics.clone()));
    let scope = InstrumentationScope::builder("rejoin").with_version(env!("CARGO_PKG_VERSION"));
    let scope = scope.build();
    let tracer = spans.tracer_with_scope(scope.clone());
    let instruments = Instruments::new(&metrics.meter_with_scope(scope));
    let names = Mutex::default();
    Ok(Telemetry(Arc::new(Inner { spans, metrics, tracer, instruments, names })))
}

/// Returns what `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` say of this process. By default
/// its service is `rejoin`.
fn resource() -> Resource {
    let builder = || {
        Resource::builder()
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
    };
    let resource = builder().build();
    let name = resource.get(&"service.name".into());
    if name.is_some_and(|name| !name.as_str().starts_with("unknown_service")) {
        return resource;
    }
    builder().with_service_name("rejoin").build()
}

/// Calls `shutdown` in a thread that is left alone if it takes too long.
async fn stop(what: &str, shutdown: impl FnOnce() -> OTelSdkResult + Send + 'static) {
    let (done, waiting) = oneshot::channel();
    let thread = thread::Builder::new().name("telemetry".to_owned());
    let spawned = thread.spawn(move || {
        // The receiver may have timed out.
        let _ = done.send(shutdown());
    });
    let stopped = match spawned {
        Ok(_) => tokio::time::timeout(FLUSH_TIMEOUT, waiting).await,
        Err(error) => {
            tracing::warn!(%error, what, "cannot start a thread to send telemetry");
            return;
        }
    };
    if !matches!(stopped, Ok(Ok(Ok(())))) {
        tracing::warn!(what, "shutdown: some telemetry was not sent");
    }
}
