//! A process group: a child, and all that it has started and that has not left it.

use std::sync::Arc;

use rustix::{
    io::Errno,
    process::{Pid, Signal, kill_process_group, test_kill_process_group},
};

use super::guard::Guard;

/// Dies when it is dropped, at the latest.
pub(super) struct Group {
    id: Pid,
    guard: Option<Arc<Guard>>,
    /// Whether nothing is left of it, or will be. Its id may then be another group's.
    is_over: bool,
}

impl Group {
    /// Takes care of a group, and has the guard do so.
    pub(super) fn new(id: Pid, guard: Option<Arc<Guard>>) -> Self {
        if let Some(guard) = &guard {
            guard.add(id);
        }
        Self { id, guard, is_over: false }
    }

    pub(super) fn id(&self) -> Pid {
        self.id
    }

    /// Asks every process of it to end.
    pub(super) fn terminate(&self) {
        if !self.is_over {
            self.signal(Signal::TERM);
        }
    }

    /// Ends every process of it.
    pub(super) fn kill(&mut self) {
        if !self.is_over {
            self.signal(Signal::KILL);
            self.is_over = true;
        }
    }

    /// Hears that the child was reaped. While others are left, they keep the id.
    pub(super) fn child_is_reaped(&mut self) {
        if test_kill_process_group(self.id) == Err(Errno::SRCH) {
            self.is_over = true;
        }
    }

    fn signal(&self, signal: Signal) {
        match kill_process_group(self.id, signal) {
            Ok(()) | Err(Errno::SRCH) => {}
            Err(error) => {
                let group = self.id.as_raw_nonzero();
                tracing::warn!(%group, ?signal, %error, "a process group was not signalled");
            }
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
        if let Some(guard) = &self.guard {
            guard.remove(self.id);
        }
    }
}
