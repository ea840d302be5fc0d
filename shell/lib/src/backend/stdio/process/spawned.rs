//! Processes that this backend has spawned and not reaped.

use std::{
    collections::BTreeSet,
    io,
    process::{Child, Command},
};

use parking_lot::{Mutex, RwLock};
use rustix::process::{Pid, WaitOptions, waitpid};

use super::table::ProcessTable;

/// The ids of spawned processes, which their owners reap. Any other child of this process is an
/// orphan that it has adopted.
#[derive(Debug, Default)]
pub(super) struct SpawnedProcesses {
    /// Read-locked while a process is being spawned and is not in `ids` yet.
    starting: RwLock<()>,
    /// At most the children and the watchdog.
    ids: Mutex<BTreeSet<i32>>,
}

impl SpawnedProcesses {
    /// Spawns a process.
    pub(super) fn spawn(&self, command: &mut Command) -> io::Result<Child> {
        let _starting = self.starting.read();
        let child = command.spawn()?;
        self.ids.lock().insert(id(&child));
        Ok(child)
    }

    /// Reaps a process that has exited or was killed.
    pub(super) fn reap(&self, child: &mut Child) {
        if let Err(error) = child.wait() {
            tracing::warn!(pid = child.id(), %error, "cannot reap process");
        }
        // If that failed, the process counts as an orphan.
        self.ids.lock().remove(&id(child));
    }

    pub(super) fn contains(&self, id: i32) -> bool {
        self.ids.lock().contains(&id)
    }

    /// Reaps the orphans that have exited. Returns false, without effect, while a process is
    /// being spawned: its id is not known yet.
    pub(super) fn reap_orphans(&self, table: &ProcessTable) -> bool {
        let own = std::process::id();
        let is_own = |parent: i32| u32::try_from(parent) == Ok(own);
        let zombies = table.iter().filter(|process| process.is_zombie && is_own(process.parent));
        let Some(_no_spawn) = self.starting.try_write() else { return false };
        for zombie in zombies.filter(|zombie| !self.contains(zombie.id)) {
            if let Some(id) = Pid::from_raw(zombie.id) {
                // An error means that it was reaped meanwhile.
                let _ = waitpid(Some(id), WaitOptions::NOHANG);
                tracing::debug!(pid = zombie.id, "orphan reaped");
            }
        }
        true
    }
}

/// Process ids are positive numbers of 31 bits.
fn id(child: &Child) -> i32 {
    child.id().cast_signed()
}
