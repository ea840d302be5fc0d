//! Limit of the kept bytes, and how a session shrinks to a lower one.

use super::Session;
use crate::{
    Actions,
    timers::{TimerKey, TimerKind},
};

/// The limit of the kept bytes of a session.
#[derive(Debug)]
pub(super) struct Limit {
    /// At most `session_bytes_max`.
    pub(super) bytes_max: usize,
    /// Whether the session still has to shrink to the limit.
    pub(super) is_shrinking: bool,
    /// Fires when the session may shrink further without an input.
    timer: Option<TimerKey>,
}

impl Limit {
    pub(super) const fn new(bytes_max: usize, is_shrinking: bool) -> Self {
        Self { bytes_max, is_shrinking, timer: None }
    }

    /// Clears the timer after it has fired.
    pub(super) fn clear_timer(&mut self) {
        self.timer = None;
    }
}

impl<C, S: Clone> Session<C, S> {
    /// Sets the limit, to which the session shrinks at the end of this input.
    pub(super) fn set_limit(&mut self, bytes_max: usize) {
        self.limit.bytes_max = bytes_max.min(self.config.session_bytes_max);
        self.limit.is_shrinking = true;
    }

    /// Evicts events and cuts stopped readers until the limit holds, as far as possible.
    #[cold]
    pub(super) fn shrink(&mut self, out: &mut Actions<C, S>) {
        self.evict_evictable(out);
        while !self.fits(0)
            && let Some(connection) = self.longest_stopped()
        {
            self.cut_stalled(connection, out);
            self.evict_evictable(out);
        }
        self.limit.is_shrinking = !self.fits(0);
        let next_stop = self.limit.is_shrinking.then(|| self.next_stop()).flatten();
        if let Some(timer) = self.limit.timer.take() {
            self.timers.remove(timer);
        }
        self.limit.timer =
            next_stop.map(|deadline| self.timers.insert(TimerKind::Shrink, 0, deadline));
    }
}
