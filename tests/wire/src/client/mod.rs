//! Clients: initialize a session, make requests, and resume until all of them have settled.

mod initialize;
mod invalid_request;
mod misuse;
mod notify;
mod read;
mod request;
mod send;
mod standalone;

use std::sync::Arc;

use rejoin_core::RequestId;
use rejoin_tests::kit::{Fault, Rng, request_id};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::client_session::ClientSession;
use crate::simulation::{Simulation, Workload};

/// The kinds of actors that have generators of their own.
const RNG_CLIENT: u64 = 11;
const RNG_TASK: u64 = 12;
const RNG_END: u64 = 13;

/// The range of serial numbers that each client has.
const SERIALS: u64 = 1_000_000;

/// A client in a session, as shared by its tasks.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) simulation: Arc<Simulation>,
    pub(crate) session: Arc<ClientSession>,
    no: usize,
}

/// Runs a client until the simulation stops.
pub(crate) async fn run(simulation: Arc<Simulation>, no: usize) {
    let mut rng = Rng::new(simulation.parameters.base.seed, RNG_CLIENT, wide(no));
    let mut serial = wide(no) * SERIALS;
    let mut nth = 0;
    while !simulation.is_stopping() {
        let name = format!("{no}/{nth}");
        nth += 1;
        let session = tokio::select! {
            biased;
            session = initialize::initialize(&simulation, name, &mut rng) => session,
            () = simulation.stopping() => return,
        };
        let Some(session) = session else {
            sleep(simulation.millis(&mut rng, 50, 500)).await;
            continue;
        };
        let client = Client { simulation: Arc::clone(&simulation), session, no };
        client.run_session(&mut rng, &mut serial).await;
    }
}

impl Client {
    /// Uses a session until it ends, or the simulation stops.
    async fn run_session(&self, rng: &mut Rng, serial: &mut u64) {
        let mut tasks = JoinSet::new();
        tasks.spawn(self.clone().read_standalone(self.new_rng(serial)));
        tokio::select! {
            biased;
            () = self.session.ended() => {}
            () = self.simulation.stopping() => {}
            () = self.send_in_turn(rng, serial, &mut tasks) => {}
        }
        if !self.simulation.is_stopping() {
            // The tasks notice the end, too.
            while tasks.join_next().await.is_some() {}
            self.simulation.hit("sessions: ended before their clients");
            return;
        }
        tasks.shutdown().await;
        let mut rng = Rng::new(self.simulation.parameters.base.seed, RNG_END, wide(self.no));
        // Over sockets, sessions are deleted, because waiting for their timeouts takes real
        // time.
        if rng.chance(500) || self.simulation.parameters.speedup > 1 {
            self.delete(&mut rng).await;
        }
    }

    /// Sends requests and misuse, with delays between.
    async fn send_in_turn(&self, rng: &mut Rng, serial: &mut u64, tasks: &mut JoinSet<()>) {
        loop {
            while tasks.try_join_next().is_some() {}
            self.misuse(rng, serial, tasks);
            self.send_requests(rng, serial, tasks);
            let most = if self.simulation.draw_fault(rng, Fault::RequestBurst) { 2 } else { 400 };
            sleep(self.simulation.millis(rng, 0, most)).await;
        }
    }

    /// Sends the next requests.
    fn send_requests(&self, rng: &mut Rng, serial: &mut u64, tasks: &mut JoinSet<()>) {
        let Some(workload) = self.workload() else { return };
        let parameters = &self.simulation.parameters.base;
        let posts =
            if self.simulation.draw_fault(rng, Fault::RequestBurst) { rng.size(2, 8) } else { 1 };
        for _ in 0..posts {
            let is_batch = self.may_batch() && rng.chance(300);
            let most = if is_batch { rng.size(1, parameters.config.batch_max.min(4)) } else { 1 };
            let count = workload.start(most, parameters.pending_max);
            if count == 0 {
                return;
            }
            let ids = (0..count).map(|_| next_id(serial)).collect();
            tasks.spawn(self.clone().request_until_settled(self.new_rng(serial), ids, is_batch));
            self.simulation.notify_progress();
        }
    }

    fn may_batch(&self) -> bool {
        self.session.version == "2025-03-26" && self.simulation.parameters.base.config.batch_max > 0
    }

    pub(crate) fn workload(&self) -> Option<&Workload> {
        self.simulation.workloads.get(&self.no)
    }

    /// Returns the generator of a new task.
    fn new_rng(&self, serial: &mut u64) -> Rng {
        *serial += 1;
        Rng::new(self.simulation.parameters.base.seed, RNG_TASK, *serial)
    }

    /// Reports a failure in this session.
    pub(crate) fn report_failure(&self, message: String) {
        self.simulation.report_failure(Some(&self.session), message);
    }
}

/// Returns the id of the next request.
fn next_id(serial: &mut u64) -> RequestId {
    *serial += 1;
    request_id(*serial)
}

pub(crate) fn wide(no: usize) -> u64 {
    u64::try_from(no).unwrap_or(u64::MAX)
}
