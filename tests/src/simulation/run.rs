//! The phases of a simulation: first with faults, then without.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use rejoin_core::Instant;
use serde_json::Value;

use super::checker::check_quiescence;
use super::event_queue::{NextEvent, ServerNo, SimEvent};
use super::{Failure, Simulation};
use crate::kit::{Coverage, FAULT_PHASE_MAX, Fault, Faults, Parameters};

/// After this many events, a simulation counts as livelocked.
const EVENTS_MAX: u64 = 1_000_000;

/// Runs a simulation, and checks it after every step.
///
/// # Errors
///
/// The first failure: a broken law, an unreported loss, a request that did not settle, or
/// memory that was not freed.
pub fn run(parameters: &Parameters) -> Result<Coverage, Box<Failure>> {
    let config = match parameters.config.clone().validate() {
        Ok(config) => config,
        Err(error) => return Err(Failure::new(parameters, error.to_string(), None)),
    };
    let mut simulation = Simulation::new(parameters.clone(), config);
    let result =
        catch_unwind(AssertUnwindSafe(|| simulation.run_phases())).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
            Err(format!("panicked: {}", text.unwrap_or_default()))
        });
    match result {
        Ok(()) => {
            simulation.coverage.hit("simulations");
            let longest = simulation.servers.iter().map(|server| server.inputs.len()).max();
            let longest = longest.and_then(|longest| u64::try_from(longest).ok());
            simulation.coverage.stats.longest = longest.unwrap_or(0);
            simulation.coverage.stats.sessions +=
                u64::try_from(simulation.servers.len()).unwrap_or(0);
            Ok(simulation.coverage)
        }
        Err(message) => Err(Failure::new(parameters, message, simulation.take_failed_session())),
    }
}

impl Simulation {
    fn run_phases(&mut self) -> Result<(), String> {
        let end = Instant::EPOCH.saturating_add(FAULT_PHASE_MAX);
        self.run_while(end, |simulation| {
            simulation.clients.values().any(|client| client.requests_left > 0)
        })?;
        self.stop_faults()?;
        let bound = self.parameters.settle_bound();
        self.run_while(self.now.saturating_add(bound), |simulation| !simulation.is_settled())?;
        if let Some(no) = self.servers.iter().position(|server| server.backend.is_held()) {
            self.failed_session = Some(no);
            return Err("a sender is held, although all clients read".to_owned());
        }
        if !self.is_settled() {
            return Err(self.describe_unsettled(bound));
        }
        self.disconnect_clients();
        let bound = self.parameters.quiescence_bound();
        self.run_while(self.now.saturating_add(bound), |_| true)?;
        (0..self.servers.len()).try_for_each(|no| self.check_quiescence(no))?;
        let bound = self.parameters.end_bound();
        self.run_while(self.now.saturating_add(bound), |_| true)?;
        match self.servers.iter().position(|server| server.view.closed.is_none()) {
            Some(no) => {
                self.failed_session = Some(no);
                Err(format!("session {no} is still open without clients"))
            }
            None => (0..self.servers.len()).try_for_each(|no| self.check_quiescence(no)),
        }
    }

    /// Dispatches events up to a time, while a condition holds.
    fn run_while(&mut self, end: Instant, should: impl Fn(&Self) -> bool) -> Result<(), String> {
        let mut count = 0;
        while should(self) {
            let Some(NextEvent { at, event, is_reordered }) = self.event_queue.pop_until(end)
            else {
                self.now = self.now.max(end);
                return Ok(());
            };
            if is_reordered {
                self.coverage.hit_fault(Fault::Reorder);
            }
            self.now = self.now.max(at);
            self.dispatch(at, event)?;
            count += 1;
            if count > EVENTS_MAX {
                return Err("the simulation is livelocked".to_owned());
            }
        }
        Ok(())
    }

    fn dispatch(&mut self, at: Instant, event: SimEvent) -> Result<(), String> {
        match event {
            SimEvent::ClientTurn(client) => {
                self.client_turn(client);
                Ok(())
            }
            SimEvent::PacketArrived(packet) => self.deliver_packet(*packet),
            SimEvent::PullBody(link) => self.pull_body(link),
            SimEvent::ClientReads(link) => self.client_reads(link),
            SimEvent::ServerSeesClose(link) => self.server_sees_close(link),
            SimEvent::ClientSeesClose(link) => self.client_sees_close(link),
            SimEvent::LinkFault(link) => self.inject_link_fault(link),
            SimEvent::Resume(reader) => self.resume(reader),
            SimEvent::RequestTimeout(serial) => {
                self.time_out_request(serial);
                Ok(())
            }
            SimEvent::BackendTask(server, task) => self.run_task(server, task),
            SimEvent::ServerRequestTimeout(server, id) => self.time_out_server_request(server, id),
            SimEvent::Tick(server) => self.tick(server, at),
            SimEvent::Committed(server, through) => self.commit(server, through),
            SimEvent::Crash(server) => self.crash(server),
            SimEvent::Limit(server) => self.change_limit(server),
            SimEvent::DrainTimeout(server) => self.end_drain(server),
        }
    }

    /// Stops all faults.
    fn stop_faults(&mut self) -> Result<(), String> {
        self.is_fault_free = true;
        self.faults = Faults::default();
        self.clear_link_faults();
        for reader in self.readers.keys().copied().collect::<Vec<_>>() {
            self.schedule_after(Duration::ZERO, SimEvent::Resume(reader));
        }
        self.end_limits()
    }

    /// Disconnects all clients, without deleting their sessions.
    fn disconnect_clients(&mut self) {
        for no in self.parameters.clients.clone() {
            if let Some(client) = self.clients.get_mut(&no) {
                client.is_done = true;
            }
            self.close_all_at_client(no);
        }
    }

    fn is_settled(&self) -> bool {
        self.clients.values().all(|client| client.requests_left == 0 && client.pending.is_empty())
            && !self.servers.iter().any(|server| server.backend.is_held())
    }

    fn describe_unsettled(&mut self, bound: Duration) -> String {
        let open = self.requests.values().filter(|request| request.outcome.is_none());
        let open: Vec<_> = open.collect();
        let mut idle = self.clients.values().filter(|client| client.requests_left > 0);
        let pending_at = open.first().map(|request| request.server);
        self.failed_session = pending_at.or_else(|| idle.next()?.server);
        let requests_left: Vec<usize> =
            self.clients.values().map(|client| client.requests_left).collect();
        format!(
            "after {bound:?} without faults, these requests have not settled: {open:?}, requests left: {requests_left:?}"
        )
    }

    fn check_quiescence(&mut self, no: ServerNo) -> Result<(), String> {
        self.failed_session = Some(no);
        let Some(server) = self.servers.get(no) else {
            return Ok(());
        };
        let text = server.session.snapshot_json()?;
        let snapshot: Value = serde_json::from_str(&text).map_err(|it| it.to_string())?;
        check_quiescence(&server.view, &snapshot)?;
        if !server.backend.server_requests.is_empty() {
            return Err(format!(
                "these server requests are still pending: {:?}",
                server.backend.server_requests
            ));
        }
        Ok(())
    }
}
