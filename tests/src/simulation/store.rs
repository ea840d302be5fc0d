//! The store of records: it commits them after a while.

use rejoin_core::Input;

use super::Simulation;
use super::event_queue::{ServerNo, SimEvent};
use crate::laws::{Step, last_record};

impl Simulation {
    /// Schedules the commit of what a step has recorded.
    pub(super) fn store(&mut self, no: ServerNo, step: &Step) {
        if let Some(through) = last_record(step) {
            let is_slow = !self.is_fault_free && self.store_rng.chance(20);
            let most = if is_slow { 3_000 } else { 3 };
            let delay = self.store_rng.millis(0, most);
            self.schedule_after(delay, SimEvent::Committed(no, through));
        }
    }

    /// Reports a commit.
    pub(super) fn commit(&mut self, no: ServerNo, through: u64) -> Result<(), String> {
        let result = self.handle_input(no, Input::Committed { through })?;
        result.map_err(|rejection| format!("a commit was rejected: {rejection}"))
    }

    /// Reports the commit of everything.
    pub(super) fn commit_all(&mut self, no: ServerNo) -> Result<(), String> {
        let recorded = self.servers.get(no).map_or(0, |server| server.recorded);
        if recorded > 0 { self.commit(no, recorded) } else { Ok(()) }
    }
}
