//! The instruments of the metrics.

use std::time::Duration;

use opentelemetry::{
    KeyValue,
    metrics::{Histogram, Meter},
};

use crate::observers::labels::DURATION_BUCKETS;

/// The histograms of all servers.
#[derive(Clone)]
pub(super) struct Instruments {
    operation: Histogram<f64>,
    session: Histogram<f64>,
}

impl Instruments {
    pub(super) fn new(meter: &Meter) -> Self {
        let histogram = |name, description| {
            let builder = meter.f64_histogram(name).with_unit("s").with_description(description);
            builder.with_boundaries(DURATION_BUCKETS.to_vec()).build()
        };
        Self {
            operation: histogram(
                "mcp.server.operation.duration",
                "MCP request or notification duration as observed on the receiver from the time it was received until the result or ack is sent.",
            ),
            session: histogram(
                "mcp.server.session.duration",
                "The duration of the MCP session as observed on the MCP server.",
            ),
        }
    }

    pub(super) fn record_operation(&self, duration: Duration, attributes: &[KeyValue]) {
        self.operation.record(duration.as_secs_f64(), attributes);
    }

    pub(super) fn record_session(&self, duration: Duration, attributes: &[KeyValue]) {
        self.session.record(duration.as_secs_f64(), attributes);
    }
}
