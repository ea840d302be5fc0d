//! A child process and all that it has started, under one contract: **after [`Process::end`],
//! nothing of it is alive, or the log says which pid.**
//!
//! - *Nothing of it*: the child, its process group, its descendants and, wherever they are, all
//!   processes that have inherited its [mark](MARK_VARIABLE). A process that was
//!   found once is followed even if its parent exits. Without `/proc`, only the child and its
//!   group are known.
//! - *Bounded*: `end` returns within a few seconds. What survives SIGKILL, or cannot be listed, is
//!   logged, and is still being killed in the background.
//! - *No innocent process is signalled*: the child is reaped last, so that its id, which is also
//!   that of its group, is not reused before; any other process is signalled only if its start
//!   time is unchanged.
//! - *No worker thread blocks*: starting and reaping, which may block, run on other threads.
//! - *A killed rejoin leaves nothing*: the watchdog is told about the child before it starts.
//!
//! The crate `process-wrap` (10.0.1) is not used: of this, its `ProcessGroup` replaces only the
//! calls of `process_group(0)` and `killpg`. It does not reach what has left the group, and its
//! `wait` reaps the child first and then waits, without a timeout, for the rest of the group.

mod exit;
mod mark;
mod shared_supervisor;
mod spawned;
mod supervisor;
mod table;
#[cfg(test)]
mod tests;
pub mod watchdog;

use std::{
    io, mem,
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
    time::{Instant, sleep},
};

pub use self::shared_supervisor::ChildSupervisor;
use self::{
    exit::ExitWatch,
    supervisor::{KILL_INTERVAL, KILL_TIMEOUT},
    table::ProcessEntry,
};
pub(super) use self::{
    mark::{MARK_VARIABLE, Mark},
    supervisor::Supervisor,
};
use super::{SessionSetup, StdioConfig};
use crate::{SessionId, SessionPermit};

/// Interval between attempts to kill what has survived [`KILL_TIMEOUT`].
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// A child process, which is killed and reaped on drop at the latest.
pub(super) struct Process {
    /// `None` once it is being reaped.
    child: Option<Child>,
    /// The id of the child, and of the process group that it leads.
    id: Pid,
    mark: Mark,
    /// What was left of the child when it was last listed.
    found: Vec<ProcessEntry>,
    supervisor: Arc<Supervisor>,
    /// Created by the first [`exited`](Self::exited).
    exit_watch: Option<ExitWatch>,
    /// The permit of the session that the child serves, returned once the child is reaped.
    permit: SessionPermit,
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
    /// Starts a process that leads a group of its own. Blocks, and needs a runtime.
    pub(super) fn start(
        config: &StdioConfig,
        setup: &SessionSetup,
        supervisor: &Arc<Supervisor>,
        permit: SessionPermit,
    ) -> io::Result<(Self, Pipes)> {
        let mark = supervisor.next_mark();
        let mut child = supervisor.spawn(&mut config.command(setup, mark), mark)?;
        let id = Pid::from_child(&child);
        if let Some(limit) = config.open_files {
            set_open_files_limit(id, limit);
        }
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let supervisor = Arc::clone(supervisor);
        let (child, found) = (Some(child), Vec::new());
        let process = Self { child, id, mark, found, supervisor, exit_watch: None, permit };
        let (Some(stdin), Some(stdout), Some(stderr)) = pipes else {
            return Err(io::Error::other("the process was started without pipes"));
        };
        Ok((process, Pipes { stdin, stdout, stderr }))
    }

    pub(super) fn id(&self) -> i32 {
        self.id.as_raw_nonzero().get()
    }

    /// Replaces the permit, for a child that is not serving a session any more, or another one.
    pub(super) fn set_permit(&mut self, permit: SessionPermit) {
        self.permit = permit;
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

    /// Sends a signal to all processes of the child.
    ///
    /// # Errors
    ///
    /// The processes cannot be listed for now. Those that are known get the signal nevertheless.
    pub(super) async fn signal(&mut self, signal: Signal) -> io::Result<()> {
        // Before the signal: descendants of a process that exits are no longer recognized by it.
        let listed = self.list().await;
        self.signal_child_and_group(signal);
        let (id, group) = (self.id(), self.id());
        let others = self.found.iter().filter(|it| it.id != id && it.group != group);
        others.for_each(|process| process.signal(signal));
        listed
    }

    /// Kills all processes of the child, and then reaps it. This fulfils the contract of the
    /// module.
    pub(super) async fn end(mut self, session: SessionId) {
        let deadline = Instant::now() + KILL_TIMEOUT;
        let left = loop {
            let left = self.kill().await;
            if left.as_ref().is_ok_and(Vec::is_empty) {
                return self.reap().await;
            }
            if Instant::now() >= deadline {
                break left;
            }
            sleep(KILL_INTERVAL).await;
        };
        let (session, child) = (session.short(), self.id());
        match left {
            Ok(pids) => tracing::error!(%session, child, ?pids, "processes survived SIGKILL"),
            Err(error) => tracing::error!(%session, child, %error,
                "cannot list the processes of a stdio process; some may be left, retrying"),
        }
        tokio::spawn(async move {
            while !self.kill().await.is_ok_and(|left| left.is_empty()) {
                sleep(RETRY_INTERVAL).await;
            }
            self.reap().await;
        });
    }

    /// Kills all processes of the child. Returns the ids of those that had not exited before.
    async fn kill(&mut self) -> io::Result<Vec<i32>> {
        self.signal(Signal::KILL).await?;
        let mut left: Vec<_> = self.found.iter().map(|process| process.id).collect();
        // Without `/proc`, nothing is found.
        if left.is_empty() && matches!(poll_exit(self.id), Ok(None)) {
            left.push(self.id());
        }
        Ok(left)
    }

    /// Lists the processes that are left, without those that have exited.
    async fn list(&mut self) -> io::Result<()> {
        let table = self.supervisor.table().await?;
        let id = self.id();
        self.found = table.trees(|process| {
            process.id == id
                || process.group == id
                || process.mark == Some(self.mark)
                || self.found.iter().any(|found| found.is_same(process))
        });
        Ok(())
    }

    /// Reaps the child, which has exited.
    async fn reap(mut self) {
        let reap = move || {
            if let Some(mut child) = self.child.take() {
                self.supervisor.reap(&mut child, self.mark);
            }
        };
        // An error means that the runtime is shutting down.
        let _ = spawn_blocking(reap).await;
    }

    /// Signals the child once, and the other processes of the group that it was started in.
    fn signal_child_and_group(&self, signal: Signal) {
        if getpgid(Some(self.id)) != Ok(self.id) {
            // It has left the group.
            let _ = kill_process(self.id, signal);
        }
        match kill_process_group(self.id, signal) {
            Ok(()) | Err(Errno::SRCH) => {}
            Err(error) => {
                tracing::debug!(group = self.id(), ?signal, %error, "cannot signal process group");
            }
        }
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
    /// Kills the child and its group if its task panics or the runtime shuts down. The watchdog,
    /// if there is one, kills other processes that are left.
    fn drop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        self.signal_child_and_group(Signal::KILL);
        let (pid, mark, supervisor) = (self.id(), self.mark, Arc::clone(&self.supervisor));
        let permit = mem::replace(&mut self.permit, SessionPermit::none());
        let reap = move || {
            supervisor.reap(&mut child, mark);
            drop(permit);
        };
        let reaper = thread::Builder::new().name("rejoin-reaper".to_owned()).spawn(reap);
        if let Err(error) = reaper {
            tracing::warn!(pid, %error, "cannot reap process");
        }
    }
}
