//! A child process and all its descendants: its process group, and processes that have left it.

use std::{
    io,
    os::unix::process::ExitStatusExt as _,
    process::{self, Child, ExitStatus},
    sync::Arc,
    thread,
    time::Duration,
};

use rustix::{
    io::Errno,
    process::{
        Pid, Signal, WaitId, WaitIdOptions, getpgid, kill_process, kill_process_group, waitid,
    },
};
use tokio::{
    process::{ChildStderr, ChildStdin, ChildStdout},
    task::spawn_blocking,
    time::sleep,
};

use super::{
    StdioConfig,
    exit::ExitWatch,
    supervisor::{KILL_INTERVAL, KILL_ROUNDS, Supervisor},
    table::{Mark, ProcessEntry},
    watchdog::GroupLeader,
};
use crate::SessionId;

/// Interval between attempts to list processes, after many have failed.
const LIST_INTERVAL: Duration = Duration::from_secs(1);

/// A child process, which is killed and reaped on drop at the latest.
///
/// The child is reaped last, so that its id, and that of its group, cannot be reused while they
/// are signalled.
pub(super) struct Process {
    /// `None` once it is being reaped.
    child: Option<Child>,
    id: Pid,
    /// The group in which the child was started.
    group: Pid,
    mark: Mark,
    supervisor: Arc<Supervisor>,
    /// Created by the first [`exited`](Self::exited).
    exit_watch: Option<ExitWatch>,
}

/// The standard streams of a new process.
pub(super) struct Pipes {
    stdin: process::ChildStdin,
    stdout: process::ChildStdout,
    stderr: process::ChildStderr,
}

impl Pipes {
    /// Registers the pipes with the runtime.
    pub(super) fn register(self) -> io::Result<(ChildStdin, ChildStdout, ChildStderr)> {
        let stdin = ChildStdin::from_std(self.stdin)?;
        let stdout = ChildStdout::from_std(self.stdout)?;
        Ok((stdin, stdout, ChildStderr::from_std(self.stderr)?))
    }
}

impl Process {
    /// Starts a process. With a watchdog, it joins a group that the watchdog already knows, since
    /// rejoin may be killed at any time; otherwise it leads its own group. Blocks, and needs a
    /// runtime.
    pub(super) fn start(
        config: &StdioConfig,
        supervisor: &Arc<Supervisor>,
    ) -> io::Result<(Self, Pipes)> {
        let mark = supervisor.next_mark();
        let (spawned, watchdog) = (&supervisor.spawned, supervisor.watchdog.as_ref());
        let leader = watchdog.and_then(|watchdog| watchdog.spawn_group_leader(spawned));
        let joined = leader.as_ref().map(GroupLeader::group);
        if let (Some(watchdog), Some(group)) = (watchdog, joined) {
            watchdog.add(mark.child, group, spawned);
        }
        let started = spawned.spawn(&mut config.command(joined, mark));
        let mut child = started.inspect_err(|_| {
            if let Some(watchdog) = watchdog {
                watchdog.remove(mark.child, spawned);
            }
        })?;
        let id = Pid::from_child(&child);
        let group = joined.unwrap_or(id);
        if let Some(limit) = config.open_files {
            set_open_files_limit(id, limit);
        }
        if let Some(watchdog) = watchdog {
            watchdog.started(mark.child, group, id, spawned);
        }
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let supervisor = Arc::clone(supervisor);
        let process = Self { child: Some(child), id, group, mark, supervisor, exit_watch: None };
        let (Some(stdin), Some(stdout), Some(stderr)) = pipes else {
            return Err(io::Error::other("the process was started without pipes"));
        };
        Ok((process, Pipes { stdin, stdout, stderr }))
    }

    pub(super) fn id(&self) -> i32 {
        self.id.as_raw_nonzero().get()
    }

    /// Waits until the process has exited, without reaping it. Cancel-safe.
    pub(super) async fn exited(&mut self) -> io::Result<ExitStatus> {
        // Created before the first poll, so that the exit cannot be missed.
        let watch = match &mut self.exit_watch {
            Some(watch) => watch,
            None => self.exit_watch.insert(ExitWatch::new(self.id)?),
        };
        loop {
            if let Some(exit) = poll_exit(self.id)? {
                return Ok(exit);
            }
            watch.changed().await?;
        }
    }

    /// Sends SIGTERM to all processes of the child.
    pub(super) async fn terminate(&self) {
        let group = self.signal_group(Signal::TERM);
        match self.members().await {
            Ok(members) => members
                .iter()
                .filter(|process| Some(process.group) != group)
                .for_each(|process| process.signal(Signal::TERM)),
            Err(error) => {
                tracing::debug!(child = self.id(), %error, "cannot list the processes of a stdio process");
            }
        }
    }

    /// Kills the process group that the child is in.
    pub(super) fn kill_group(&self) {
        self.signal_group(Signal::KILL);
    }

    /// Kills all processes of the child, and then reaps it. Logs processes that survive.
    pub(super) async fn kill(mut self, session: SessionId) {
        for round in 1.. {
            self.kill_now();
            let left = self.list_members(session).await;
            if left.is_empty() && !matches!(poll_exit(self.id), Ok(None)) {
                break;
            }
            if round > KILL_ROUNDS {
                let pids: Vec<_> = left.iter().map(|process| process.id).collect();
                tracing::error!(session = %session.short(), child = self.id(), ?pids,
                    "processes survived SIGKILL");
                // The session permit is held as long as the child is there.
                let _ = self.exited().await;
                break;
            }
            for process in &left {
                process.signal(Signal::KILL);
            }
            sleep(KILL_INTERVAL).await;
        }
        // Blocking, since the watchdog may have to be restarted. An error means that the runtime
        // is shutting down.
        let _ = spawn_blocking(move || self.reap()).await;
    }

    /// Lists the processes that are left. Retries until that succeeds: a failure does not mean
    /// that there are none.
    async fn list_members(&self, session: SessionId) -> Vec<ProcessEntry> {
        let mut rounds = 0_u32;
        loop {
            rounds = rounds.saturating_add(1);
            match self.members().await {
                Ok(members) => return members,
                Err(error) if rounds == KILL_ROUNDS => {
                    tracing::error!(session = %session.short(), child = self.id(), %error,
                        "cannot list the processes of a stdio process; some may be left, retrying");
                }
                Err(_) => {}
            }
            sleep(if rounds < KILL_ROUNDS { KILL_INTERVAL } else { LIST_INTERVAL }).await;
        }
    }

    /// Lists the processes that are left, without those that have exited.
    async fn members(&self) -> io::Result<Vec<ProcessEntry>> {
        let id = self.id();
        let is_root = |process: &ProcessEntry| process.id == id || process.mark == Some(self.mark);
        let is_orphan = |process: &ProcessEntry| self.supervisor.is_orphan(process);
        Ok(self.supervisor.table().await?.trees_and_groups(is_root, is_orphan))
    }

    fn reap(&mut self) {
        if let Some(mut child) = self.child.take() {
            self.supervisor.spawned.reap(&mut child);
        }
        if let Some(watchdog) = &self.supervisor.watchdog {
            watchdog.remove(self.mark.child, &self.supervisor.spawned);
        }
    }

    fn kill_now(&self) {
        self.signal_group(Signal::KILL);
        // The child may have left the group.
        let _ = kill_process(self.id, Signal::KILL);
    }

    /// Signals the group that the process is in, and returns the id of the group.
    ///
    /// That may not be the group in which it was started, whose id may have been reused. A group
    /// that existed before the process does not belong to it, and is not signalled.
    fn signal_group(&self, signal: Signal) -> Option<i32> {
        let group = getpgid(Some(self.id)).ok()?;
        if group != self.group && group != self.id {
            return None;
        }
        let id = group.as_raw_nonzero().get();
        match kill_process_group(group, signal) {
            Ok(()) | Err(Errno::SRCH) => {}
            Err(error) => {
                tracing::debug!(group = id, ?signal, %error, "cannot signal process group");
            }
        }
        Some(id)
    }
}

/// Returns the exit status of a process that has not been reaped, or `None` if it still runs.
fn poll_exit(id: Pid) -> io::Result<Option<ExitStatus>> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    let Some(status) = waitid(WaitId::Pid(id), options)? else { return Ok(None) };
    let code = status.exit_status().map(|code| (code & 0xff) << 8);
    let exit = code.or(status.terminating_signal()).unwrap_or_default();
    Ok(Some(ExitStatus::from_raw(exit)))
}

/// Sets the soft limit of open files of a process that has just been started.
#[cfg(target_os = "linux")]
fn set_open_files_limit(id: Pid, limit: u64) {
    use rustix::process::{Resource, Rlimit, getrlimit, prlimit};
    let limits = Rlimit { current: Some(limit), ..getrlimit(Resource::Nofile) };
    if let Err(error) = prlimit(Some(id), Resource::Nofile, limits) {
        tracing::debug!(pid = id.as_raw_nonzero(), %error, "cannot set the limit of open files");
    }
}

#[cfg(not(target_os = "linux"))]
fn set_open_files_limit(_: Pid, _: u64) {}

impl Drop for Process {
    /// Kills the child if its task panics or the runtime shuts down. The watchdog, if there is
    /// one, kills descendants that are left.
    fn drop(&mut self) {
        let Some(child) = self.child.take() else { return };
        self.kill_now();
        let (pid, supervisor) = (self.id(), Arc::clone(&self.supervisor));
        let reap = move || supervisor.spawned.reap(&mut { child });
        let reaper = thread::Builder::new().name("rejoin-reaper".to_owned()).spawn(reap);
        if let Err(error) = reaper {
            tracing::warn!(pid, %error, "cannot reap process");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        pin::pin,
        sync::atomic::{AtomicUsize, Ordering},
        task::{Context, Wake, Waker},
    };

    use tokio::{
        signal::unix::{SignalKind, signal},
        time::timeout,
    };

    use super::*;
    use crate::backend::stdio::spawned::SpawnedProcesses;

    fn sleeping(supervisor: &Arc<Supervisor>) -> Process {
        let config = StdioConfig { args: vec!["1000".into()], ..StdioConfig::new("sleep") };
        Process::start(&config, supervisor).unwrap().0
    }

    /// Counts the wake-ups of a task.
    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn exit_of_a_process_wakes_only_its_own_task() {
        let supervisor = Arc::new(Supervisor::new(1, None, SpawnedProcesses::default(), false));
        let (mut other, mut ending) = (sleeping(&supervisor), sleeping(&supervisor));
        let count = Arc::new(Wakes::default());
        let waker = Waker::from(Arc::clone(&count));
        let mut other = pin!(other.exited());
        assert!(other.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        let mut signals = signal(SignalKind::child()).unwrap();
        ending.kill_group();
        ending.exited().await.unwrap();
        signals.recv().await;
        assert_eq!(count.0.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn dropped_process_is_killed_and_reaped() {
        let supervisor = Arc::new(Supervisor::new(1, None, SpawnedProcesses::default(), false));
        let process = sleeping(&supervisor);
        let id = process.id();
        assert!(supervisor.spawned.contains(id));
        drop(process);
        let reaped = async {
            while supervisor.spawned.contains(id) {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(Duration::from_secs(20), reaped).await.unwrap();
        let table = supervisor.table().await.unwrap();
        let own = i32::try_from(process::id()).unwrap();
        assert!(!table.iter().any(|entry| entry.id == id && entry.parent == own));
    }
}
