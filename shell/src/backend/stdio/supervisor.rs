//! What all children share: the guard, the table of processes, and the care for orphans.

use std::{
    io,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::Mutex,
    task::spawn_blocking,
    time::sleep,
};

use super::{
    spawned::SpawnedProcesses,
    table::{Mark, ProcessEntry, ProcessTable},
    watchdog::Watchdog,
};

/// How long orphans may wait to be reaped, so that many are reaped at once.
const REAP_DELAY: Duration = Duration::from_millis(100);

/// How often to look whether processes that were killed are gone.
pub(super) const KILL_ROUNDS: u32 = 100;

/// How long to wait between two looks at processes that were killed.
pub(super) const KILL_INTERVAL: Duration = Duration::from_millis(10);

pub(super) struct Supervisor {
    pub(super) spawned: SpawnedProcesses,
    pub(super) watchdog: Option<Watchdog>,
    /// Whether orphans become children of this process.
    adopts: bool,
    is_reaping: AtomicBool,
    instance: u64,
    children: AtomicU64,
    /// How many tables were asked for.
    tables: AtomicU64,
    /// The latest table, and which one it was.
    latest: Mutex<(u64, Arc<ProcessTable>)>,
}

impl Supervisor {
    pub(super) fn new(
        instance: u64,
        watchdog: Option<Watchdog>,
        spawned: SpawnedProcesses,
        adopts: bool,
    ) -> Self {
        Self {
            spawned,
            watchdog,
            adopts: adopts && adopt(),
            is_reaping: AtomicBool::new(false),
            instance,
            children: AtomicU64::new(0),
            tables: AtomicU64::new(0),
            latest: Mutex::default(),
        }
    }

    /// Returns the mark of the next child.
    pub(super) fn next_mark(&self) -> Mark {
        let child = self.children.fetch_add(1, Ordering::Relaxed);
        Mark { instance: self.instance, child }
    }

    /// Returns whether a process is a child of this one that was not started here.
    pub(super) fn is_orphan(&self, process: &ProcessEntry) -> bool {
        self.adopts && process.parent == own_id() && !self.spawned.contains(process.id)
    }

    /// Reads the table of processes, once for all who ask meanwhile.
    ///
    /// # Errors
    ///
    /// Same as [`Table::read`].
    pub(super) async fn table(self: &Arc<Self>) -> io::Result<Arc<ProcessTable>> {
        let asked = self.tables.load(Ordering::Acquire);
        let mut latest = self.latest.lock().await;
        if latest.0 > asked {
            // It was read after this call.
            return Ok(Arc::clone(&latest.1));
        }
        let number = self.tables.fetch_add(1, Ordering::AcqRel).saturating_add(1);
        let adopts = self.adopts;
        // Orphans are children of this process, or, where it adopts none, may be anybody's.
        let read = move || ProcessTable::read(|parent| !adopts || parent == own_id());
        // What cannot be joined says that the runtime ends.
        let table = Arc::new(spawn_blocking(read).await.map_err(io::Error::other)??);
        *latest = (number, Arc::clone(&table));
        Ok(table)
    }

    /// Begins to reap orphans, the first time that it is called in a runtime.
    pub(super) fn start_reaping(self: &Arc<Self>) {
        if !self.adopts || self.is_reaping.swap(true, Ordering::Relaxed) {
            return;
        }
        match signal(SignalKind::child()) {
            Ok(signals) => drop(tokio::spawn(reap_on_sigchld(Arc::downgrade(self), signals))),
            Err(error) => tracing::error!(%error, "orphans cannot be reaped"),
        }
    }

    /// Kills the orphans that are left when no child is.
    pub(super) async fn kill_orphans(self: &Arc<Self>) {
        if !self.adopts {
            return;
        }
        let mut left = Ok(Vec::new());
        for _ in 0..KILL_ROUNDS {
            let table = self.table().await;
            left = table.map(|table| table.trees(|process| self.is_orphan(process)));
            match &left {
                Ok(left) if left.is_empty() => return,
                Ok(left) => {
                    for process in left {
                        process.signal(rustix::process::Signal::KILL);
                    }
                }
                Err(_) => {}
            }
            sleep(KILL_INTERVAL).await;
        }
        match left {
            Ok(left) => {
                let pids: Vec<_> = left.iter().map(|process| process.id).collect();
                tracing::error!(?pids, "processes could not be killed, and are left behind");
            }
            Err(error) => {
                tracing::error!(%error, "processes cannot be listed, and some may be left behind");
            }
        }
    }
}

/// Reaps orphans whenever some child of this process has exited.
async fn reap_on_sigchld(supervisor: Weak<Supervisor>, mut signals: Signal) {
    while signals.recv().await.is_some() {
        loop {
            sleep(REAP_DELAY).await;
            let Some(supervisor) = supervisor.upgrade() else { return };
            let table = supervisor.table().await;
            if table.is_ok_and(|table| supervisor.spawned.reap_orphans(&table)) {
                break;
            }
        }
    }
}

/// Has orphaned descendants become children of this process, as they do anyway where it is
/// the first one of a container. Returns whether they do.
#[cfg(target_os = "linux")]
fn adopt() -> bool {
    let adopted = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
    adopted.inspect_err(|error| tracing::warn!(%error, "orphans are not adopted")).is_ok()
}

#[cfg(not(target_os = "linux"))]
fn adopt() -> bool {
    false
}

pub(super) fn own_id() -> i32 {
    std::process::id().cast_signed()
}
