//! Metrics of all servers, in the format `OpenMetrics`.

mod families;
mod gauges;
mod labels;
mod observer;
mod tools;

use std::{fmt, sync::Arc};

use prometheus_client::{encoding::text, registry::Registry};

use self::{families::Families, observer::ServerObserver};
use crate::serve::Servers;

/// The metrics of all servers. A clone is the same.
#[derive(Clone)]
pub(crate) struct Metrics(Arc<Inner>);

struct Inner {
    registry: Registry,
    families: Arc<Families>,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::default();
        let families = Families::register(&mut registry);
        Self(Arc::new(Inner { registry, families: Arc::new(families) }))
    }

    /// Returns the observer of a server.
    pub(crate) fn observer(&self, server: &str) -> Arc<dyn rejoin::Observer> {
        Arc::new(ServerObserver::new(server, Arc::clone(&self.0.families)))
    }

    /// Returns all metrics as text.
    pub(super) fn encode(&self, servers: &Servers) -> Result<String, fmt::Error> {
        self.0.families.set_gauges(servers);
        let mut text = String::new();
        text::encode(&mut text, &self.0.registry)?;
        Ok(text)
    }
}
