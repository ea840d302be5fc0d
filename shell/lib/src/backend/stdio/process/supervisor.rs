//! Supervisor of all children: the watchdog, the process table and the reaper of orphans.

use std::{
    io,
    process::{Child, Command},
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use rustix::process::Pid;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::Mutex,
    task::spawn_blocking,
    time::{Instant, sleep, timeout},
};

use super::{
    mark::Mark,
    spawned::SpawnedProcesses,
    table::{ProcessEntry, ProcessTable},
    watchdog::{Watchdog, WatchdogCommand},
};

/// Delay before orphans are reaped, so that many are reaped at once.
const REAP_DELAY: Duration = Duration::from_millis(100);

/// How long killed processes may take to end.
pub(super) const KILL_TIMEOUT: Duration = Duration::from_secs(1);

/// Interval between checks whether they have ended.
pub(super) const KILL_INTERVAL: Duration = Duration::from_millis(10);

/// How long it may take to list all processes.
const LIST_TIMEOUT: Duration = Duration::from_secs(1);

pub(crate) struct Supervisor {
    spawned: Arc<SpawnedProcesses>,
    watchdog: Option<Watchdog>,
    /// Whether this process adopts orphans.
    adopts: bool,
    is_reaping: AtomicBool,
    instance: u64,
    children: AtomicU64,
    /// Number of children that are being started, served or stopped.
    active: Arc<AtomicUsize>,
    /// Number of tables that were requested.
    tables: AtomicU64,
    /// The number of the latest table, and the table.
    latest: Mutex<(u64, Arc<ProcessTable>)>,
}

/// A child that is being started, served or stopped: orphans may belong to it.
pub(crate) struct ActiveChild(Arc<AtomicUsize>);

impl Drop for ActiveChild {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Supervisor {
    /// Creates a supervisor, and starts the watchdog, if there is a command for it.
    pub(crate) fn new(watchdog: Option<WatchdogCommand>, adopts: bool) -> io::Result<Self> {
        let (instance, spawned) = (rand::random(), Arc::<SpawnedProcesses>::default());
        let start = |command| Watchdog::start(command, instance, Arc::clone(&spawned));
        let watchdog = watchdog.map(start).transpose()?;
        Ok(Self {
            spawned,
            watchdog,
            adopts: adopts && become_subreaper(),
            is_reaping: AtomicBool::new(false),
            instance,
            children: AtomicU64::new(0),
            active: Arc::default(),
            tables: AtomicU64::new(0),
            latest: Mutex::default(),
        })
    }

    /// Counts a child until the result is dropped.
    pub(crate) fn add_active(&self) -> ActiveChild {
        self.active.fetch_add(1, Ordering::AcqRel);
        ActiveChild(Arc::clone(&self.active))
    }

    /// Returns the mark of the next child.
    pub(super) fn next_mark(&self) -> Mark {
        let child = self.children.fetch_add(1, Ordering::Relaxed);
        Mark { instance: self.instance, child }
    }

    /// Spawns a child, after it was reported to the watchdog. Blocks.
    pub(super) fn spawn(&self, command: &mut Command, mark: Mark) -> io::Result<Child> {
        let Some(watchdog) = &self.watchdog else { return self.spawned.spawn(command) };
        watchdog.report_start(mark.child);
        let child = self.spawned.spawn(command).inspect_err(|_| watchdog.report_end(mark.child))?;
        watchdog.report_process(mark.child, Pid::from_child(&child));
        Ok(child)
    }

    /// Reaps a child that has exited or was killed. Blocks.
    pub(super) fn reap(&self, child: &mut Child, mark: Mark) {
        // First, since the watchdog must not kill a process that gets the same id.
        if let Some(watchdog) = &self.watchdog {
            watchdog.report_end(mark.child);
        }
        self.spawned.reap(child);
    }

    /// Makes it impossible to list processes, until the result is dropped.
    #[cfg(test)]
    pub(super) async fn block_listing(&self) -> impl Drop {
        self.latest.lock().await
    }

    /// Returns whether a process was spawned here and is not reaped.
    #[cfg(test)]
    pub(super) fn has_spawned(&self, id: i32) -> bool {
        self.spawned.contains(id)
    }

    /// Returns whether a process is an adopted orphan: a child that was not spawned here.
    fn is_orphan(&self, process: &ProcessEntry) -> bool {
        self.adopts && process.parent == own_id() && !self.spawned.contains(process.id)
    }

    /// Reads the process table, once for all concurrent callers.
    ///
    /// # Errors
    ///
    /// Same as [`ProcessTable::read`], or that takes longer than [`LIST_TIMEOUT`].
    pub(super) async fn table(&self) -> io::Result<Arc<ProcessTable>> {
        timeout(LIST_TIMEOUT, self.read_table()).await?
    }

    async fn read_table(&self) -> io::Result<Arc<ProcessTable>> {
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
    pub(crate) fn start_reaping(self: &Arc<Self>) {
        if !self.adopts || self.is_reaping.swap(true, Ordering::Relaxed) {
            return;
        }
        match signal(SignalKind::child()) {
            Ok(signals) => drop(tokio::spawn(reap_on_sigchld(Arc::downgrade(self), signals))),
            Err(error) => tracing::error!(%error, "cannot reap orphans"),
        }
    }

    /// Kills the orphans that are left, unless a child is active, whose orphans they may be.
    pub(crate) async fn kill_orphans(&self) {
        if !self.adopts {
            return;
        }
        let deadline = Instant::now() + KILL_TIMEOUT;
        let left = loop {
            let table = self.table().await;
            if self.active.load(Ordering::Acquire) > 0 {
                return;
            }
            let left = table.map(|table| table.trees(|process| self.is_orphan(process)));
            for orphan in left.iter().flatten() {
                orphan.signal(rustix::process::Signal::KILL);
            }
            if left.as_ref().is_ok_and(Vec::is_empty) {
                return;
            }
            if Instant::now() >= deadline {
                break left;
            }
            sleep(KILL_INTERVAL).await;
        };
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

fn own_id() -> i32 {
    std::process::id().cast_signed()
}
