//! Draining: the operator lets a session finish what it has begun, and does not wait forever.

use std::time::Duration;

use rejoin_core::{Input, SessionCloseReason};

use super::Simulation;
use super::event_queue::{ServerNo, SimEvent};
use crate::kit::Fault;

impl Simulation {
    /// Drains a session. Its client sends refused requests again, in its next session at the
    /// latest.
    pub(super) fn drain(&mut self, no: ServerNo) -> Result<(), String> {
        let Some(server) = self.servers.get_mut(no).filter(|it| it.view.closed.is_none()) else {
            return Ok(());
        };
        let retry = Duration::from_millis(server.rng.between(0, 3_000));
        let timeout = server.rng.millis(100, 60_000);
        self.coverage.hit_fault(Fault::Drain);
        let result = self.handle_input(no, Input::Drain { retry })?;
        result.map_err(|rejection| format!("draining was rejected: {rejection}"))?;
        if self.servers.get(no).is_some_and(|it| it.view.closed.is_some()) {
            self.coverage.hit("drains: at once");
        } else {
            self.schedule_after(timeout, SimEvent::DrainTimeout(no));
        }
        Ok(())
    }

    /// Closes a session that drains, and still waits.
    pub(super) fn end_drain(&mut self, no: ServerNo) -> Result<(), String> {
        let closed = self.servers.get(no).and_then(|it| it.view.closed);
        if closed == Some(SessionCloseReason::ServerShutdown) {
            self.coverage.hit("drains: after a wait");
        } else if closed.is_none() {
            self.coverage.hit("drains: at the timeout");
            let reason = SessionCloseReason::ServerShutdown;
            let closed = self.handle_input(no, Input::CloseSession { reason })?;
            closed.map_err(|rejection| format!("a session did not close: {rejection}"))?;
        }
        Ok(())
    }
}
