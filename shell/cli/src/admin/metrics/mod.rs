//! Metrics of all servers, in the format `OpenMetrics`.

mod families;
mod gauges;
mod labels;
mod observer;
mod operations;

use std::{collections::HashMap, fmt, sync::Arc};

use parking_lot::Mutex;
use prometheus_client::{encoding::text, registry::Registry};

use self::{families::Families, labels::AuthFailureLabels, observer::ServerObserver};
use super::history::Histories;
use crate::{observers::KnownNames, serve::Servers};

/// The metrics of all servers. A clone is the same.
#[derive(Clone, Debug)]
pub(crate) struct Metrics(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    registry: Registry,
    families: Arc<Families>,
    /// The tools of each server, by name: a reload does not make others known.
    tools: Mutex<HashMap<Arc<str>, Arc<KnownNames>>>,
    /// Locked while the gauges are set and read.
    scraping: Mutex<()>,
    histories: Histories,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::default();
        let families = Families::register(&mut registry);
        Self(Arc::new(Inner {
            registry,
            families: Arc::new(families),
            tools: Mutex::default(),
            scraping: Mutex::default(),
            histories: Histories::default(),
        }))
    }

    /// Returns the observer of a server: it counts, and remembers what is rare.
    pub(crate) fn observer(&self, server: &str) -> Arc<dyn rejoin::Observer> {
        let server: Arc<str> = server.into();
        let mut tools = self.0.tools.lock();
        let tools = Arc::clone(tools.entry(Arc::clone(&server)).or_default());
        let (families, histories) = (Arc::clone(&self.0.families), self.0.histories.clone());
        Arc::new(ServerObserver::new(server, families, tools, histories))
    }

    /// Returns what is remembered of each session.
    pub(super) fn histories(&self) -> &Histories {
        &self.0.histories
    }

    /// Counts a request that was refused because of its credential or its principal. The set of
    /// reasons is fixed.
    pub(crate) fn count_auth_failure(&self, reason: &'static str) {
        self.0.families.auth_failures.get_or_create(&AuthFailureLabels { reason }).inc();
    }

    /// Returns all metrics as text.
    pub(super) fn encode(&self, servers: &Servers) -> Result<String, fmt::Error> {
        let _scraping = self.0.scraping.lock();
        self.0.families.set_gauges(servers);
        let mut text = String::new();
        text::encode(&mut text, &self.0.registry)?;
        Ok(text)
    }
}
