//! Traces and metrics that a collector gets.
#![cfg(feature = "otel")]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "telemetry/collector.rs"]
mod collector;
#[path = "telemetry/connections.rs"]
mod connections;
#[path = "telemetry/fixture.rs"]
mod fixture;
#[path = "telemetry/logs.rs"]
mod logs;
#[path = "telemetry/metrics.rs"]
mod metrics;
#[path = "telemetry/outages.rs"]
mod outages;
#[path = "telemetry/shutdown.rs"]
mod shutdown;
#[path = "telemetry/spans.rs"]
mod spans;
