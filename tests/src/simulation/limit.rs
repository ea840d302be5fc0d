//! The limit of what a session keeps, which the driver changes now and then: its sessions share a
//! budget.

use rejoin_core::Input;

use super::Simulation;
use super::event_queue::{ServerNo, SimEvent};
use crate::kit::Fault;

impl Simulation {
    /// Schedules the next change of the limit of a server, if there are any.
    pub(super) fn plan_limit(&mut self, no: ServerNo) {
        if self.faults.rate(Fault::LowerLimit) > 0
            && let Some(server) = self.servers.get_mut(no)
        {
            let delay = server.limit_rng.millis(100, 10_000);
            self.schedule_after(delay, SimEvent::Limit(no));
        }
    }

    /// Lowers the limit of a session, or raises it again.
    pub(super) fn change_limit(&mut self, no: ServerNo) -> Result<(), String> {
        let rate = self.faults.rate(Fault::LowerLimit);
        let Some(server) = self.servers.get_mut(no).filter(|it| it.view.closed.is_none()) else {
            return Ok(());
        };
        if self.is_fault_free {
            return Ok(());
        }
        let bytes_max = if server.limit_rng.chance(rate) {
            let kept = server.view.bytes;
            server.was_limited = true;
            let most = server.limit_rng.choose(&[kept, 1_000, 4_000]).unwrap_or(kept);
            self.coverage.hit_fault(Fault::LowerLimit);
            server.limit_rng.size(0, most)
        } else {
            usize::MAX
        };
        self.limit(no, bytes_max)?;
        self.plan_limit(no);
        Ok(())
    }

    /// Raises the limits of all sessions to those of their config.
    pub(super) fn end_limits(&mut self) -> Result<(), String> {
        (0..self.servers.len()).try_for_each(|no| self.limit(no, usize::MAX))
    }

    fn limit(&mut self, no: ServerNo, bytes_max: usize) -> Result<(), String> {
        let result = self.handle_input(no, Input::LimitBytes { bytes_max })?;
        result.map_err(|rejection| format!("a limit was rejected: {rejection}"))
    }
}
