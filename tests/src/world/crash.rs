//! Crashes: a process dies, and another one goes on from the snapshot.

use std::time::Duration;

use rejoin_core::{Input, Instant};

use super::World;
use super::agenda::{Happening, ServerNo};
use super::faults::Fault;

impl World {
    /// Plans the next crash of a server, if there is to be one.
    pub(super) fn plan_crash(&mut self, no: ServerNo) {
        let rate = self.faults.rate(Fault::Crash);
        let Some(server) = self.servers.get_mut(no) else {
            return;
        };
        if server.luck.strikes(rate) {
            let delay = server.luck.millis(200, 20_000);
            self.later(delay, Happening::Crash(no));
        }
    }

    /// Restores a session from a snapshot. All connections break; the backend lives on.
    ///
    /// The session that was goes on as the twin of the one that is, as if no more had
    /// happened to it than that its connections broke.
    pub(super) fn crash(&mut self, no: ServerNo) -> Result<(), String> {
        let now = self.now;
        if self.is_healed {
            return Ok(());
        }
        // A snapshot says what time is left from the last input on.
        let _ = self.tell_server_at(no, now, Input::Tick)?;
        let Some(server) = self.servers.get_mut(no).filter(|it| it.view.closed.is_none()) else {
            return Ok(());
        };
        server.restarts += 1;
        let there = elsewhere(now, server.restarts);
        let (mut restored, actions, replays) =
            server.session.restore(&server.config, now, there)?;
        let mut expected = (Vec::new(), Vec::new());
        let mut steps = Vec::new();
        let known: Vec<_> = server.view.connections.iter().map(|seat| seat.connection).collect();
        for connection in known {
            let line = server.lines.get(&connection).and_then(|line| self.lines.get(line));
            let through = line.and_then(|line| line.through);
            let step = server.step_alone(
                now,
                Input::ConnectionClosed { connection, through },
                &mut self.tally,
            )?;
            expected.0.extend(step.actions.iter().cloned());
            expected.1.extend(step.replays.iter().cloned());
            steps.push(step);
        }
        if (&actions, &replays) != (&expected.0, &expected.1) {
            return Err(format!(
                "a restore differs from breaking all connections: {actions:?}, {replays:?} \
                 instead of {expected:?}"
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
        let lines: Vec<_> = std::mem::take(&mut server.lines).into_values().collect();
        for line in lines {
            self.lose_both(line);
        }
        for step in &steps {
            self.carry_out(no, step);
        }
        self.tally.struck(Fault::Crash);
        if !view.requests.is_empty() {
            self.tally.add("restarts: with requests in flight");
        }
        self.arm(no);
        self.plan_crash(no);
        Ok(())
    }
}

/// Returns what `now` is called by the next process: the same, less or more.
fn elsewhere(now: Instant, nth: u64) -> Instant {
    let some = Duration::from_secs(1 + nth);
    match nth % 3 {
        0 => now,
        1 => Instant::new(some),
        _ => now.saturating_add(some),
    }
}
