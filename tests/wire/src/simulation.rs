//! State shared by all actors of a simulation.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rejoin_core::EventId;
use rejoin_tests::kit::{Coverage, Fault, Faults, Rng};
use tokio::sync::{Notify, watch};

use crate::client_session::ClientSession;
use crate::link::{LinkOutcome, LinkPlan, Pace};
use crate::parameters::Parameters;
use crate::server::Server;

/// State shared by all actors of a simulation.
#[derive(Debug)]
pub(crate) struct Simulation {
    pub(crate) parameters: Parameters,
    pub(crate) server: Server,
    pub(crate) coverage: Arc<Mutex<Coverage>>,
    /// Whether the fault-free phase has begun.
    is_fault_free: watch::Sender<bool>,
    /// The same flag, shared with the backends.
    is_fault_free_for_backends: Arc<AtomicBool>,
    is_stopping: watch::Sender<bool>,
    /// An event id that some client received, for others to misuse.
    pub(crate) foreign_event_id: Mutex<Option<EventId>>,
    /// The remaining work of each client.
    pub(crate) workloads: BTreeMap<usize, Workload>,
    /// All sessions that were opened.
    sessions: Mutex<Vec<Arc<ClientSession>>>,
    /// The first failure, and its session.
    failure: Mutex<Option<(Option<Arc<ClientSession>>, String)>>,
    progress: Notify,
}

/// The records of a simulation, to be checked.
#[derive(Debug)]
pub(crate) struct Records {
    pub(crate) sessions: Vec<Arc<ClientSession>>,
    pub(crate) failure: Option<(Option<Arc<ClientSession>>, String)>,
    pub(crate) coverage: Coverage,
}

/// The remaining work of a client.
#[derive(Debug)]
pub(crate) struct Workload {
    /// The number of requests it has still to make.
    pub(crate) requests_left: AtomicUsize,
    /// The number of requests that have not settled.
    pub(crate) pending: AtomicUsize,
}

/// Counts what links did.
#[derive(Clone, Debug)]
pub(crate) struct LinkCoverage(Arc<Mutex<Coverage>>);

impl LinkCoverage {
    pub(crate) fn count(&self, outcome: LinkOutcome) {
        let mut coverage = self.0.lock();
        outcome.kinds().for_each(|kind| coverage.hit(kind));
    }
}

impl Simulation {
    pub(crate) fn new(
        parameters: Parameters,
        server: Server,
        is_fault_free_for_backends: Arc<AtomicBool>,
    ) -> Arc<Self> {
        let workload = |no: &usize| {
            let requests_left = AtomicUsize::new(parameters.base.requests);
            (*no, Workload { requests_left, pending: AtomicUsize::new(0) })
        };
        Arc::new(Self {
            workloads: parameters.base.clients.iter().map(workload).collect(),
            parameters,
            server,
            coverage: Arc::default(),
            is_fault_free: watch::channel(false).0,
            is_fault_free_for_backends,
            is_stopping: watch::channel(false).0,
            foreign_event_id: Mutex::default(),
            sessions: Mutex::default(),
            failure: Mutex::default(),
            progress: Notify::new(),
        })
    }

    /// Returns the current rate of a fault.
    pub(crate) fn rate(&self, fault: Fault) -> u32 {
        if self.is_fault_free() { 0 } else { self.parameters.base.faults.rate(fault) }
    }

    /// Draws whether to inject a fault.
    pub(crate) fn draw_fault(&self, rng: &mut Rng, fault: Fault) -> bool {
        rng.chance(self.rate(fault))
    }

    /// Draws the behaviour of a link.
    pub(crate) fn draw_link(&self, rng: &mut Rng) -> LinkPlan {
        let none = Faults::default();
        let faults = if self.is_fault_free() { &none } else { &self.parameters.base.faults };
        let plan = LinkPlan::draw(rng, faults, self.parameters.stall_max());
        match self.parameters.tcp.and_then(|tcp| tcp.rate) {
            Some(rate) if plan.pace == Pace::Fast => LinkPlan { pace: Pace::Steady(rate), ..plan },
            Some(_) | None => plan,
        }
    }

    /// Draws a delay.
    pub(crate) fn millis(&self, rng: &mut Rng, least: u64, most: u64) -> Duration {
        self.parameters.millis(rng, least, most)
    }

    pub(crate) fn hit(&self, kind: &'static str) {
        self.coverage.lock().hit(kind);
    }

    pub(crate) fn link_coverage(&self) -> LinkCoverage {
        LinkCoverage(Arc::clone(&self.coverage))
    }

    /// Stops all faults.
    pub(crate) fn stop_faults(&self) {
        self.is_fault_free_for_backends.store(true, Ordering::Relaxed);
        self.is_fault_free.send_replace(true);
        // Requests made from now on must be answered: add as many as may be pending.
        for workload in self.workloads.values() {
            workload.requests_left.fetch_add(self.parameters.base.pending_max, Ordering::Relaxed);
        }
    }

    pub(crate) fn is_fault_free(&self) -> bool {
        *self.is_fault_free.borrow()
    }

    pub(crate) fn fault_free(&self) -> watch::Receiver<bool> {
        self.is_fault_free.subscribe()
    }

    /// Limits the requests that each client has still to make to one.
    pub(crate) fn limit_requests_left(&self) {
        for workload in self.workloads.values() {
            workload.requests_left.fetch_min(1, Ordering::Relaxed);
        }
        self.notify_progress();
    }

    /// Stops all clients.
    pub(crate) fn stop_clients(&self) {
        self.is_stopping.send_replace(true);
    }

    /// Waits until clients must stop.
    pub(crate) async fn stopping(&self) {
        // The sender is owned by `self`, so this cannot fail.
        let _ = self.is_stopping.subscribe().wait_for(|is_stopping| *is_stopping).await;
    }

    pub(crate) fn is_stopping(&self) -> bool {
        *self.is_stopping.borrow()
    }

    /// Adds a session that was opened.
    pub(crate) fn add_session(&self, session: &Arc<ClientSession>) {
        self.sessions.lock().push(Arc::clone(session));
    }

    /// Returns the sessions that were opened.
    pub(crate) fn sessions(&self) -> Vec<Arc<ClientSession>> {
        self.sessions.lock().clone()
    }

    /// Reports a failure. Only the first one counts.
    pub(crate) fn report_failure(&self, session: Option<&Arc<ClientSession>>, message: String) {
        self.failure.lock().get_or_insert((session.cloned(), message));
        self.progress.notify_one();
    }

    /// Takes the records to be checked.
    pub(crate) fn take_records(&self) -> Records {
        Records {
            sessions: std::mem::take(&mut *self.sessions.lock()),
            failure: self.failure.lock().take(),
            coverage: self.coverage.lock().clone(),
        }
    }

    /// Returns whether a failure was reported.
    pub(crate) fn has_failed(&self) -> bool {
        self.failure.lock().is_some()
    }

    /// Notifies that a request was made or has settled.
    pub(crate) fn notify_progress(&self) {
        self.progress.notify_one();
    }

    /// Waits until a condition holds for all clients, or a failure is reported.
    pub(crate) async fn wait_for_all(&self, condition: impl Fn(&Workload) -> bool) {
        while !self.has_failed() && !self.workloads.values().all(&condition) {
            self.progress.notified().await;
        }
    }
}

impl Workload {
    pub(crate) fn is_sent(&self) -> bool {
        self.requests_left.load(Ordering::Relaxed) == 0
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.is_sent() && self.pending.load(Ordering::Relaxed) == 0
    }

    /// Starts up to `count` of the remaining requests, if fewer than `most` are pending.
    pub(crate) fn start(&self, count: usize, most: usize) -> usize {
        let pending = self.pending.load(Ordering::Relaxed);
        if pending >= most {
            return 0;
        }
        let requests_left = self.requests_left.load(Ordering::Relaxed);
        let count = count.min(requests_left);
        self.requests_left.store(requests_left - count, Ordering::Relaxed);
        self.pending.store(pending + count, Ordering::Relaxed);
        count
    }

    /// Removes requests that have settled, and requeues `again` of them.
    pub(crate) fn finish(&self, settled: usize, again: usize) {
        self.pending.fetch_sub(settled + again, Ordering::Relaxed);
        self.requests_left.fetch_add(again, Ordering::Relaxed);
    }
}
