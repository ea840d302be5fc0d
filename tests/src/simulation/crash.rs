//! Crashes: a process exits, and another one restores the session from a snapshot.

use std::time::Duration;

use rejoin_core::{Input, Instant};

use super::Simulation;
use super::event_queue::{ServerNo, SimEvent};
use crate::kit::Fault;

impl Simulation {
    /// Schedules the next crash of a server, if the rng draws one.
    pub(super) fn plan_crash(&mut self, no: ServerNo) {
        let rate = self.faults.rate(Fault::Crash);
        let Some(server) = self.servers.get_mut(no) else {
            return;
        };
        if server.rng.chance(rate) {
            let delay = server.rng.millis(200, 20_000);
            self.schedule_after(delay, SimEvent::Crash(no));
        }
    }

    /// Restores a session from a snapshot, in which everything is committed. All connections break;
    /// the backend goes on.
    ///
    /// The old session becomes the twin of the restored one: to it, only its connections broke.
    pub(super) fn crash(&mut self, no: ServerNo) -> Result<(), String> {
        let now = self.now;
        if self.is_fault_free {
            return Ok(());
        }
        self.check_lost_process(no)?;
        self.commit_all(no)?;
        // A snapshot holds the time that is left, counted from the last input.
        let _ = self.handle_input_at(no, now, Input::Tick)?;
        let Some(server) = self.servers.get_mut(no).filter(|it| it.view.closed.is_none()) else {
            return Ok(());
        };
        server.restores += 1;
        let restored_now = next_clock(now, server.restores);
        let (mut restored, actions) = server.session.restore(&server.config, now, restored_now)?;
        let mut expected = Vec::new();
        let mut steps = Vec::new();
        let known: Vec<_> = server.view.connections.iter().map(|conn| conn.connection).collect();
        for connection in known {
            let link = server.links.get(&connection).and_then(|link| self.links.get(link));
            let through = link.and_then(|link| link.acknowledged);
            let step = server.step_without_twin(
                now,
                Input::ConnectionClosed { connection, through },
                &mut self.coverage,
            )?;
            expected.extend(step.actions.iter().cloned());
            steps.push(step);
        }
        if actions != expected {
            return Err(format!(
                "a restore differs from breaking all connections: {actions:?} instead of {expected:?}"
            ));
        }
        let view = restored.view();
        if view != server.view {
            return Err(format!(
                "a restored session differs from one whose connections broke: {view:?} \
                 instead of {:?}",
                server.view
            ));
        }
        std::mem::swap(&mut server.session, &mut restored);
        server.twin = restored;
        let links: Vec<_> = std::mem::take(&mut server.links).into_values().collect();
        for link in links {
            self.break_link(link);
        }
        for step in &steps {
            self.apply_actions(no, step);
        }
        self.coverage.hit_fault(Fault::Crash);
        if !view.requests.is_empty() {
            self.coverage.hit("restarts: with pending requests");
        }
        self.arm_timer(no);
        self.plan_crash(no);
        Ok(())
    }
}

/// Returns `now` on the clock of the next process: the same, earlier or later.
fn next_clock(now: Instant, nth: u64) -> Instant {
    let offset = Duration::from_secs(1 + nth);
    match nth % 3 {
        0 => now,
        1 => Instant::new(offset),
        _ => now.saturating_add(offset),
    }
}
