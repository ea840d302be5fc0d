//! A child process, with all that it starts: its process group, and what has left that.

use std::{
    io,
    os::unix::process::ExitStatusExt as _,
    process::{Child, ExitStatus},
    sync::Arc,
};

use rustix::{
    io::Errno,
    process::{
        Pid, Signal, WaitId, WaitIdOptions, getpgid, kill_process, kill_process_group, waitid,
    },
};
use tokio::{
    process::{ChildStderr, ChildStdin, ChildStdout},
    signal::unix::{self, SignalKind},
    task::spawn_blocking,
    time::{Instant, sleep},
};

use super::{
    StdioSettings,
    guard::Founder,
    system::{KILL_PAUSE, KILL_TIME, System},
    table::{Mark, Process as Entry},
};
use crate::SessionId;

/// Ends when it is dropped, at the latest.
///
/// The child is reaped last, so that its id, and that of the group that it is in, are not
/// another's as long as they are signalled.
pub(super) struct Process {
    child: Child,
    id: Pid,
    /// The group that it was started in.
    group: Pid,
    mark: Mark,
    system: Arc<System>,
    exits: unix::Signal,
    is_reaped: bool,
}

/// What a process is started with.
pub(super) type Pipes = (ChildStdin, ChildStdout, ChildStderr);

impl Process {
    /// Starts a process in a group that the guard knows already, since rejoin may be killed at
    /// any time; or, where there is no guard, in one of its own. Blocks, and needs a runtime.
    pub(super) fn start(
        settings: &StdioSettings,
        system: &Arc<System>,
    ) -> io::Result<(Self, Pipes)> {
        let mark = system.next_mark();
        // Before the process is there, so that its exit cannot be missed.
        let exits = unix::signal(SignalKind::child())?;
        let (known, guard) = (&system.known, system.guard.as_ref());
        let founder = guard.and_then(|guard| guard.found(known));
        let joined = founder.as_ref().map(Founder::group);
        if let (Some(guard), Some(group)) = (guard, joined) {
            guard.add(mark.child, group, known);
        }
        let spawned = known.spawn(&mut settings.command(joined, mark));
        let mut child = spawned.inspect_err(|_| {
            if let Some(guard) = guard {
                guard.remove(mark.child, known);
            }
        })?;
        let id = Pid::from_child(&child);
        let group = joined.unwrap_or(id);
        if let Some(limit) = settings.open_files {
            limit_files(id, limit);
        }
        if let Some(guard) = guard {
            guard.started(mark.child, group, id, known);
        }
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let system = Arc::clone(system);
        let process = Self { child, id, group, mark, system, exits, is_reaped: false };
        let (Some(stdin), Some(stdout), Some(stderr)) = pipes else {
            return Err(io::Error::other("the process was started without pipes"));
        };
        let stdin = ChildStdin::from_std(stdin)?;
        let stdout = ChildStdout::from_std(stdout)?;
        let stderr = ChildStderr::from_std(stderr)?;
        Ok((process, (stdin, stdout, stderr)))
    }

    pub(super) fn id(&self) -> i32 {
        self.id.as_raw_nonzero().get()
    }

    /// Waits until the process has exited, and leaves it to be reaped. Cancel-safe.
    pub(super) async fn exited(&mut self) -> io::Result<ExitStatus> {
        loop {
            if let Some(exit) = self.exit()? {
                return Ok(exit);
            }
            if self.exits.recv().await.is_none() {
                return Err(io::Error::other("signals are not received any more"));
            }
        }
    }

    fn exit(&self) -> io::Result<Option<ExitStatus>> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let Some(status) = waitid(WaitId::Pid(self.id), options)? else { return Ok(None) };
        let code = status.exit_status().map(|code| (code & 0xff) << 8);
        let exit = code.or(status.terminating_signal()).unwrap_or_default();
        Ok(Some(ExitStatus::from_raw(exit)))
    }

    /// Asks all processes to end.
    pub(super) async fn terminate(&self) {
        let group = self.signal_group(Signal::TERM);
        for process in self.members().await {
            if Some(process.group) != group {
                process.signal(Signal::TERM);
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
        let begun = Instant::now();
        loop {
            self.kill_now();
            let left = self.members().await;
            if left.is_empty() && !matches!(self.exit(), Ok(None)) {
                break;
            }
            if begun.elapsed() > KILL_TIME {
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
            sleep(KILL_PAUSE).await;
        }
        // The guard may have to be started again, which takes a while. An error says that the
        // runtime ends.
        let _ = spawn_blocking(move || self.reap()).await;
    }

    /// Returns the processes that are left, but for those that have exited.
    async fn members(&self) -> Vec<Entry> {
        let (id, group) = (self.id(), self.group.as_raw_nonzero().get());
        self.system.table().await.trees(|process| {
            process.id == id
                || process.mark == Some(self.mark)
                || (process.group == group && self.system.is_orphan(process))
        })
    }

    fn reap(&mut self) {
        if let Err(error) = self.system.known.reap(&mut self.child) {
            tracing::warn!(pid = self.id(), %error, "process was not reaped");
        }
        self.is_reaped = true;
        if let Some(guard) = &self.system.guard {
            guard.remove(self.mark.child, &self.system.known);
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

/// Sets the soft limit of open files of a process, which it has only begun to run.
#[cfg(target_os = "linux")]
fn limit_files(id: Pid, limit: u64) {
    use rustix::process::{Resource, Rlimit, getrlimit, prlimit};
    let limits = Rlimit { current: Some(limit), ..getrlimit(Resource::Nofile) };
    if let Err(error) = prlimit(Some(id), Resource::Nofile, limits) {
        tracing::debug!(pid = id.as_raw_nonzero(), %error, "limit of open files was not set");
    }
}

#[cfg(not(target_os = "linux"))]
fn limit_files(_: Pid, _: u64) {}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.is_reaped {
            // The runtime ends. The guard, if there is one, ends what is left.
            self.kill_now();
        }
    }
}
