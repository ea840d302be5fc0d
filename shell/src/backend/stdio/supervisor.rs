//! Supervisor of all children: the watchdog, the process table and the reaper of orphans.

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

/// Delay before orphans are reaped, so that many are reaped at once.
const REAP_DELAY: Duration = Duration::from_millis(100);

/// How often to check whether killed processes have ended.
pub(super) const KILL_ROUNDS: u32 = 100;

/// Interval between these checks.
pub(super) const KILL_INTERVAL: Duration = Duration::from_millis(10);

pub(super) struct Supervisor {
    pub(super) spawned: SpawnedProcesses,
    pub(super) watchdog: Option<Watchdog>,
    /// Whether this process adopts orphans.
    adopts: bool,
    is_reaping: AtomicBool,
    instance: u64,
    children: AtomicU64,
    /// Number of tables that were requested.
    tables: AtomicU64,
    /// The number of the latest table, and the table.
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
            adopts: adopts && become_subreaper(),
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

    /// Returns whether a process is an adopted orphan: a child that was not spawned here.
    pub(super) fn is_orphan(&self, process: &ProcessEntry) -> bool {
        self.adopts && process.parent == own_id() && !self.spawned.contains(process.id)
    }

    /// Reads the process table, once for all concurrent callers.
    ///
    /// # Errors
    ///
    /// Same as [`ProcessTable::read`].
    pub(super) async fn table(self: &Arc<Self>) -> io::Result<Arc<ProcessTable>> {
        let requested = self.tables.load(Ordering::Acquire);
        let mut latest = self.latest.lock().await;
        if latest.0 > requested {
            // This table was read after the call began.
            return Ok(Arc::clone(&latest.1));
        }
        let number = self.tables.fetch_add(1, Ordering::AcqRel).saturating_add(1);
        let adopts = self.adopts;
        // Orphans are children of this process if it adopts them; otherwise of any process.
        let read = move || ProcessTable::read(|parent| !adopts || parent == own_id());
        // A join error means that the runtime is shutting down.
        let table = Arc::new(spawn_blocking(read).await.map_err(io::Error::other)??);
        *latest = (number, Arc::clone(&table));
        Ok(table)
    }

    /// Starts the reaper of orphans, on the first call.
    pub(super) fn start_reaping(self: &Arc<Self>) {
        if !self.adopts || self.is_reaping.swap(true, Ordering::Relaxed) {
            return;
        }
        match signal(SignalKind::child()) {
            Ok(signals) => drop(tokio::spawn(reap_on_sigchld(Arc::downgrade(self), signals))),
            Err(error) => tracing::error!(%error, "cannot reap orphans"),
        }
    }

    /// Kills the orphans that are left after the last child has ended.
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
                tracing::error!(?pids, "orphans survived SIGKILL");
            }
            Err(error) => {
                tracing::error!(%error, "cannot list processes; orphans may be left behind");
            }
        }
    }
}

/// Reaps orphans whenever a child of this process has exited.
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

/// Makes this process adopt orphaned descendants, as the first process of a container does
/// anyway. Returns whether it does.
#[cfg(target_os = "linux")]
fn become_subreaper() -> bool {
    let adopted = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
    adopted
        .inspect_err(|error| tracing::warn!(%error, "cannot become the subreaper of orphans"))
        .is_ok()
}

#[cfg(not(target_os = "linux"))]
fn become_subreaper() -> bool {
    false
}

pub(super) fn own_id() -> i32 {
    std::process::id().cast_signed()
}
