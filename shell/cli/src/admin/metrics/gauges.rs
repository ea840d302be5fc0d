//! Gauges that are read when the metrics are.

use std::{collections::BTreeMap, sync::Arc};

use super::{families::Families, labels::ServerLabels};
use crate::serve::Servers;

/// The sums of the servers with one name: the current one, and those that retire.
#[derive(Default)]
struct Sums {
    sessions: usize,
    kept_bytes: usize,
    requests_pending: usize,
    is_unavailable: bool,
}

impl Families {
    /// Sets them. Must not be called by two at a time.
    pub(super) fn set_gauges(&self, servers: &Servers) {
        let mut sums = BTreeMap::<Arc<str>, Sums>::new();
        let servers = servers.all();
        for server in &servers {
            let sum = sums.entry(server.label().into()).or_default();
            let manager = server.sessions();
            sum.sessions += manager.sessions();
            sum.is_unavailable |= !manager.is_available();
            sum.kept_bytes += manager.kept_bytes();
            let stats = manager.all().into_iter().filter_map(|session| session.stats());
            sum.requests_pending += stats.map(|stats| stats.pending_requests).sum::<usize>();
        }
        // Those of servers that are gone.
        self.sessions.clear();
        self.kept_bytes.clear();
        self.requests_pending.clear();
        self.store_available.clear();
        for (server, sum) in sums {
            let labels = ServerLabels { server };
            let gauge = |value: usize| i64::try_from(value).unwrap_or(i64::MAX);
            self.sessions.get_or_create(&labels).set(gauge(sum.sessions));
            let is_available = i64::from(!sum.is_unavailable);
            self.store_available.get_or_create(&labels).set(is_available);
            self.kept_bytes.get_or_create(&labels).set(gauge(sum.kept_bytes));
            self.requests_pending.get_or_create(&labels).set(gauge(sum.requests_pending));
        }
    }
}
