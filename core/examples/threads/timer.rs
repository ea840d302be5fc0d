//! The clock, and one timer for all sessions.

use std::time::{Duration, Instant as SystemInstant};

use parking_lot::{Condvar, Mutex};
use rejoin_core::Instant;

/// The clock of all sessions, and a timer for their earliest deadline.
pub(crate) struct Timer {
    epoch: SystemInstant,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// The earliest deadline that was scheduled since the timer last fired.
    deadline: Option<Instant>,
    is_stopped: bool,
}

impl Timer {
    /// Starts the clock of the sessions.
    #[expect(clippy::disallowed_methods, reason = "the driver owns the only clock")]
    pub(crate) fn start() -> Self {
        Self { epoch: SystemInstant::now(), state: Mutex::default(), changed: Condvar::new() }
    }

    /// Returns the time as sessions know it.
    pub(crate) fn now(&self) -> Instant {
        Instant::new(self.epoch.elapsed())
    }

    /// Makes the timer fire no later than `deadline`.
    pub(crate) fn schedule(&self, deadline: Instant) {
        let mut state = self.state.lock();
        if state.deadline.is_none_or(|earliest| deadline < earliest) {
            state.deadline = Some(deadline);
            self.changed.notify_one();
        }
    }

    /// Calls `tick` whenever the timer fires, until it is stopped.
    ///
    /// It sleeps in between. The timer may fire for a deadline that was postponed since; that
    /// tick only schedules the new one.
    pub(crate) fn run(&self, mut tick: impl FnMut()) {
        while self.wait() {
            tick();
        }
    }

    /// Ends [`run`](Self::run).
    pub(crate) fn stop(&self) {
        self.state.lock().is_stopped = true;
        self.changed.notify_one();
    }

    /// Waits until the timer fires. Returns `false` if it is stopped.
    fn wait(&self) -> bool {
        let mut state = self.state.lock();
        while !state.is_stopped {
            match state.deadline.map(|deadline| deadline.since(self.now())) {
                None => self.changed.wait(&mut state),
                Some(Duration::ZERO) => {
                    state.deadline = None;
                    return true;
                }
                Some(left) => {
                    self.changed.wait_for(&mut state, left);
                }
            }
        }
        false
    }
}
