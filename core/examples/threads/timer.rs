//! The clock, and one timer for all sessions.

use std::time::{Duration, Instant as SystemInstant};

use parking_lot::{Condvar, Mutex};
use rejoin_core::Instant;

/// Says what time it is, and when a session has a deadline.
pub(crate) struct Timer {
    epoch: SystemInstant,
    alarm: Mutex<Alarm>,
    changed: Condvar,
}

#[derive(Default)]
struct Alarm {
    /// The earliest deadline that was announced since the alarm last went off.
    at: Option<Instant>,
    is_stopped: bool,
}

impl Timer {
    /// Begins the time of the sessions.
    #[expect(clippy::disallowed_methods, reason = "the driver owns the one clock")]
    pub(crate) fn start() -> Self {
        Self { epoch: SystemInstant::now(), alarm: Mutex::default(), changed: Condvar::new() }
    }

    /// Returns the time as sessions know it.
    pub(crate) fn now(&self) -> Instant {
        Instant::new(self.epoch.elapsed())
    }

    /// Lets the alarm go off at `deadline`, if it does not do so before.
    pub(crate) fn announce(&self, deadline: Instant) {
        let mut alarm = self.alarm.lock();
        if alarm.at.is_none_or(|at| deadline < at) {
            alarm.at = Some(deadline);
            self.changed.notify_one();
        }
    }

    /// Calls `tick` whenever the alarm goes off, until the timer is stopped.
    ///
    /// It sleeps in between. The alarm may go off for a deadline that has moved
    /// on since: that tick does nothing but announce the new one.
    pub(crate) fn run(&self, mut tick: impl FnMut()) {
        while self.wait() {
            tick();
        }
    }

    /// Ends [`run`](Self::run).
    pub(crate) fn stop(&self) {
        self.alarm.lock().is_stopped = true;
        self.changed.notify_one();
    }

    /// Waits until the alarm goes off; returns `false` if the timer is stopped.
    fn wait(&self) -> bool {
        let mut alarm = self.alarm.lock();
        while !alarm.is_stopped {
            match alarm.at.map(|at| at.since(self.now())) {
                None => self.changed.wait(&mut alarm),
                Some(Duration::ZERO) => {
                    alarm.at = None;
                    return true;
                }
                Some(left) => {
                    self.changed.wait_for(&mut alarm, left);
                }
            }
        }
        false
    }
}
