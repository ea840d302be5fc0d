//! OpenTelemetry in a program that was built without the feature `otel`: it cannot be started.

use std::{convert::Infallible, sync::Arc};

use rejoin::Observer;

use crate::config::ProgramConfig;

/// Never exists.
#[derive(Clone)]
pub(crate) struct Telemetry(Infallible);

impl Telemetry {
    /// Returns an error if telemetry is configured.
    pub(crate) fn start(config: &ProgramConfig) -> anyhow::Result<Option<Self>> {
        anyhow::ensure!(
            config.otlp_endpoint.is_none(),
            "--otlp-endpoint: the program was built without the feature `otel`"
        );
        Ok(None)
    }

    pub(crate) fn observer(&self, _: &str) -> Arc<dyn Observer> {
        match self.0 {}
    }

    #[expect(clippy::unused_async, reason = "the interface is that of the feature")]
    pub(crate) async fn flush(&self) {
        match self.0 {}
    }
}
