//! The metrics, with their names and descriptions.

use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram, info::Info},
    registry::{Registry, Unit},
};

use super::labels::{
    AuthFailureLabels, OperationLabels, ReasonLabels, RefusalLabels, ServerLabels,
};
use crate::observers::labels::DURATION_BUCKETS;

type Counters<L> = Family<L, Counter>;
type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

/// The histograms of durations.
#[derive(Debug)]
pub(super) struct Durations {
    pub(super) session: Histograms<ServerLabels>,
    pub(super) operation: Histograms<OperationLabels>,
    pub(super) process_start: Histograms<ServerLabels>,
}

impl Default for Durations {
    fn default() -> Self {
        let histogram: fn() -> Histogram = || Histogram::new(DURATION_BUCKETS);
        Self {
            session: Family::new_with_constructor(histogram),
            operation: Family::new_with_constructor(histogram),
            process_start: Family::new_with_constructor(histogram),
        }
    }
}

/// All metrics, each a family by labels.
#[derive(Debug, Default)]
pub(super) struct Families {
    pub(super) durations: Durations,
    pub(super) sessions: Family<ServerLabels, Gauge>,
    pub(super) kept_bytes: Family<ServerLabels, Gauge>,
    pub(super) sessions_opened: Counters<ServerLabels>,
    pub(super) sessions_closed: Counters<ReasonLabels>,
    pub(super) sessions_restored: Counters<ServerLabels>,
    pub(super) sessions_given_up: Counters<ReasonLabels>,
    pub(super) store_available: Family<ServerLabels, Gauge>,
    pub(super) requests_pending: Family<ServerLabels, Gauge>,
    pub(super) resumes: Counters<ServerLabels>,
    pub(super) events_replayed: Counters<ServerLabels>,
    pub(super) gaps: Counters<ServerLabels>,
    pub(super) events_missed: Counters<ServerLabels>,
    pub(super) connections_lost: Counters<ServerLabels>,
    pub(super) connections_cut: Counters<ReasonLabels>,
    pub(super) streams_expired: Counters<ServerLabels>,
    pub(super) readers_stalled: Counters<ServerLabels>,
    pub(super) responses_dropped: Counters<ReasonLabels>,
    pub(super) refusals: Counters<RefusalLabels>,
    pub(super) auth_failures: Counters<AuthFailureLabels>,
    pub(super) processes: Family<ServerLabels, Gauge>,
    pub(super) process_exits: Counters<ReasonLabels>,
    pub(super) open_failures: Counters<ServerLabels>,
}

impl Families {
    /// Creates the metrics, and adds them to a registry.
    pub(super) fn register(registry: &mut Registry) -> Self {
        let families = Self::default();
        let build = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("rejoin_build", "Version of the program", build);
        families.register_sessions(registry);
        families.register_store(registry);
        families.register_delivery(registry);
        families.register_processes(registry);
        families
    }

    fn register_sessions(&self, registry: &mut Registry) {
        registry.register("rejoin_sessions", "Open sessions", self.sessions.clone());
        registry.register_with_unit(
            "rejoin_kept",
            "Size of what all sessions keep for their clients",
            Unit::Bytes,
            self.kept_bytes.clone(),
        );
        registry.register(
            "rejoin_sessions_opened",
            "Sessions that were initialized",
            self.sessions_opened.clone(),
        );
        registry.register(
            "rejoin_sessions_closed",
            "Sessions that were closed after they were initialized, by reason",
            self.sessions_closed.clone(),
        );
        registry.register_with_unit(
            "mcp_server_session_duration",
            "Duration of sessions",
            Unit::Seconds,
            self.durations.session.clone(),
        );
        registry.register(
            "rejoin_requests_pending",
            "Requests of clients without a response",
            self.requests_pending.clone(),
        );
        registry.register_with_unit(
            "mcp_server_operation_duration",
            "Duration of requests, by method, tool and type of error (empty for a result)",
            Unit::Seconds,
            self.durations.operation.clone(),
        );
        registry.register(
            "rejoin_refusals",
            "HTTP requests that were refused, by status and by the option that sets the limit",
            self.refusals.clone(),
        );
        registry.register(
            "rejoin_auth_failures",
            "Requests that were refused because of their credential or their principal, by reason",
            self.auth_failures.clone(),
        );
    }

    fn register_store(&self, registry: &mut Registry) {
        registry.register(
            "rejoin_sessions_restored",
            "Sessions of other processes that were restored from the store",
            self.sessions_restored.clone(),
        );
        registry.register(
            "rejoin_sessions_given_up",
            "Sessions that were given up because of the store, by reason",
            self.sessions_given_up.clone(),
        );
        registry.register(
            "rejoin_store_available",
            "Whether the process has its lease: 1 without a store",
            self.store_available.clone(),
        );
    }

    fn register_delivery(&self, registry: &mut Registry) {
        registry.register("rejoin_resumes", "Streams that were resumed", self.resumes.clone());
        registry.register(
            "rejoin_events_replayed",
            "Events that resumed streams still had for their clients",
            self.events_replayed.clone(),
        );
        registry.register("rejoin_gaps", "Gaps that clients were sent", self.gaps.clone());
        registry.register(
            "rejoin_events_missed",
            "Events in these gaps",
            self.events_missed.clone(),
        );
        registry.register(
            "rejoin_connections_lost",
            "Connections that ended before their stream",
            self.connections_lost.clone(),
        );
        registry.register(
            "rejoin_connections_cut",
            "Connections that were cut, by reason",
            self.connections_cut.clone(),
        );
        registry.register(
            "rejoin_streams_expired",
            "Complete streams whose end no client has acknowledged in time",
            self.streams_expired.clone(),
        );
        registry.register(
            "rejoin_readers_stalled",
            "Readers that have acknowledged nothing for their stall timeout",
            self.readers_stalled.clone(),
        );
        registry.register(
            "rejoin_responses_dropped",
            "Responses that were not delivered, by reason",
            self.responses_dropped.clone(),
        );
    }

    fn register_processes(&self, registry: &mut Registry) {
        registry.register("rejoin_processes", "Running processes", self.processes.clone());
        registry.register_with_unit(
            "rejoin_process_start",
            "Duration of starting a process",
            Unit::Seconds,
            self.durations.process_start.clone(),
        );
        registry.register(
            "rejoin_process_exits",
            "Processes that ended: with their session, or before it",
            self.process_exits.clone(),
        );
        registry.register(
            "rejoin_open_failures",
            "Sessions whose backend could not be opened",
            self.open_failures.clone(),
        );
    }
}
