//! A child process, with all that it starts: its process group, and what has left that.

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

/// How long to wait before processes are listed again that could not be listed for a while.
const LIST_INTERVAL: Duration = Duration::from_secs(1);

/// Killed and reaped when it is dropped, at the latest.
///
/// The child is reaped last, so that its id, and that of the group that it is in, are not
/// another's as long as they are signalled.
pub(super) struct Process {
    /// `None` once it is being reaped.
    child: Option<Child>,
    id: Pid,
    /// The group that it was started in.
    group: Pid,
    mark: Mark,
    supervisor: Arc<Supervisor>,
    /// There once its exit is waited for.
    exit_watch: Option<ExitWatch>,
}

/// What a process is started with.
pub(super) struct Pipes {
    stdin: process::ChildStdin,
    stdout: process::ChildStdout,
    stderr: process::ChildStderr,
}

impl Pipes {
    /// Has the runtime read and write them.
    pub(super) fn register(self) -> io::Result<(ChildStdin, ChildStdout, ChildStderr)> {
        let stdin = ChildStdin::from_std(self.stdin)?;
        let stdout = ChildStdout::from_std(self.stdout)?;
        Ok((stdin, stdout, ChildStderr::from_std(self.stderr)?))
    }
}

impl Process {
    /// Starts a process in a group that the guard knows already, since rejoin may be killed at
    /// any time; or, where there is no guard, in one of its own. Blocks, and needs a runtime.
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

    /// Waits until the process has exited, and leaves it to be reaped. Cancel-safe.
    pub(super) async fn exited(&mut self) -> io::Result<ExitStatus> {
        // Before the first look, so that its exit cannot be missed.
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

    /// Asks all processes to end.
    pub(super) async fn terminate(&self) {
        let group = self.signal_group(Signal::TERM);
        match self.members().await {
            Ok(members) => members
                .iter()
                .filter(|process| Some(process.group) != group)
                .for_each(|process| process.signal(Signal::TERM)),
            Err(error) => {
                tracing::debug!(child = self.id(), %error, "processes cannot be listed");
            }
        }
    }

    /// Kills the group that the process is in.
    pub(super) fn kill_group(&self) {
        self.signal_group(Signal::KILL);
    }

    /// Kills all processes, and reaps the first of them. Those that the system does not end
    /// are logged.
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
                    "processes of the server were killed and have not ended");
                // It is still there, and so is its place.
                let _ = self.exited().await;
                break;
            }
            for process in &left {
                process.signal(Signal::KILL);
            }
            sleep(KILL_INTERVAL).await;
        }
        // The watchdog may have to be started again, which takes a while. An error says that the
        // runtime ends.
        let _ = spawn_blocking(move || self.reap()).await;
    }

    /// Returns the processes that are left, and tries again as long as they cannot be listed:
    /// that says nothing about whether there are any.
    async fn list_members(&self, session: SessionId) -> Vec<ProcessEntry> {
        let mut rounds = 0_u32;
        loop {
            rounds = rounds.saturating_add(1);
            match self.members().await {
                Ok(members) => return members,
                Err(error) if rounds == KILL_ROUNDS => {
                    tracing::error!(session = %session.short(), child = self.id(), %error,
                        "processes of the server cannot be listed, and some may be left");
                }
                Err(_) => {}
            }
            sleep(if rounds < KILL_ROUNDS { KILL_INTERVAL } else { LIST_INTERVAL }).await;
        }
    }

    /// Returns the processes that are left, but for those that have exited.
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
        // It may have left the group meanwhile.
        let _ = kill_process(self.id, Signal::KILL);
    }

    /// Signals the group that the process is in, and returns its id. That need not be the group
    /// that it was started in, which may be gone, so that its id is another's. A group that was
    /// there before the process is not its own, and not signalled.
    fn signal_group(&self, signal: Signal) -> Option<i32> {
        let group = getpgid(Some(self.id)).ok()?;
        if group != self.group && group != self.id {
            return None;
        }
        let id = group.as_raw_nonzero().get();
        match kill_process_group(group, signal) {
            Ok(()) | Err(Errno::SRCH) => {}
            Err(error) => {
                tracing::debug!(group = id, ?signal, %error, "a process group was not signalled");
            }
        }
        Some(id)
    }
}

/// Returns how a process has exited that is not reaped yet; `None` if it has not.
fn poll_exit(id: Pid) -> io::Result<Option<ExitStatus>> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    let Some(status) = waitid(WaitId::Pid(id), options)? else { return Ok(None) };
    let code = status.exit_status().map(|code| (code & 0xff) << 8);
    let exit = code.or(status.terminating_signal()).unwrap_or_default();
    Ok(Some(ExitStatus::from_raw(exit)))
}

/// Sets the soft limit of open files of a process, which it has only begun to run.
#[cfg(target_os = "linux")]
fn set_open_files_limit(id: Pid, limit: u64) {
    use rustix::process::{Resource, Rlimit, getrlimit, prlimit};
    let limits = Rlimit { current: Some(limit), ..getrlimit(Resource::Nofile) };
    if let Err(error) = prlimit(Some(id), Resource::Nofile, limits) {
        tracing::debug!(pid = id.as_raw_nonzero(), %error, "limit of open files was not set");
    }
}

#[cfg(not(target_os = "linux"))]
fn limit_files(_: Pid, _: u64) {}

impl Drop for Process {
    /// Happens where its task panics, and at the end of the runtime. The watchdog, if there is
    /// one, ends what is left of it.
    fn drop(&mut self) {
        let Some(child) = self.child.take() else { return };
        self.kill_now();
        let (pid, supervisor) = (self.id(), Arc::clone(&self.supervisor));
        let reap = move || supervisor.spawned.reap(&mut { child });
        let reaper = thread::Builder::new().name("rejoin-reaper".to_owned()).spawn(reap);
        if let Err(error) = reaper {
            tracing::warn!(pid, %error, "process was not reaped");
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

    /// Counts how often a task is woken.
    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn the_exit_of_a_process_wakes_no_task_of_another() {
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
    async fn a_process_that_is_dropped_is_killed_and_reaped() {
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
