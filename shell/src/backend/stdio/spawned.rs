//! The processes that this backend has started and not yet reaped.

use std::{
    collections::BTreeSet,
    io,
    process::{Child, Command},
};

use parking_lot::{Mutex, RwLock};
use rustix::process::{Pid, WaitOptions, waitpid};

use super::table::ProcessTable;

/// Distinguishes the children that were started here, which are waited for elsewhere, from
/// orphans that the system has made children of this process.
#[derive(Debug, Default)]
pub(super) struct SpawnedProcesses {
    /// Locked for reading while a process is being started and is not yet in `ids`.
    starting: RwLock<()>,
    /// At most two for each session, of which one lives for a moment, and the guard.
    ids: Mutex<BTreeSet<i32>>,
}

impl SpawnedProcesses {
    /// Starts a process.
    pub(super) fn spawn(&self, command: &mut Command) -> io::Result<Child> {
        let _starting = self.starting.read();
        let child = command.spawn()?;
        self.ids.lock().insert(id(&child));
        Ok(child)
    }

    /// Waits for a process that has exited, or was killed.
    pub(super) fn reap(&self, child: &mut Child) {
        if let Err(error) = child.wait() {
            tracing::warn!(pid = child.id(), %error, "process was not reaped");
        }
        // Where that failed, it counts as an orphan.
        self.ids.lock().remove(&id(child));
    }

    pub(super) fn contains(&self, id: i32) -> bool {
        self.ids.lock().contains(&id)
    }

    /// Reaps the orphans that have exited. Returns whether that was possible: it is not while
    /// a process is being started, since that one is not known yet.
    pub(super) fn reap_orphans(&self, table: &ProcessTable) -> bool {
        let own = std::process::id();
        let is_own = |parent: i32| u32::try_from(parent) == Ok(own);
        let zombies = table.iter().filter(|process| process.is_zombie && is_own(process.parent));
        let Some(_none_starts) = self.starting.try_write() else { return false };
        for zombie in zombies.filter(|zombie| !self.contains(zombie.id)) {
            if let Some(id) = Pid::from_raw(zombie.id) {
                // An error says that it was reaped meanwhile.
                let _ = waitpid(Some(id), WaitOptions::NOHANG);
                tracing::debug!(pid = zombie.id, "orphan was reaped");
            }
        }
        true
    }
}

/// Process ids are positive numbers of 31 bits.
fn id(child: &Child) -> i32 {
    child.id().cast_signed()
}
