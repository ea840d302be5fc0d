//! Handle of the watchdog, a process that outlives rejoin and kills its children.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    io::{self, Write as _},
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use parking_lot::Mutex;
use rustix::process::Pid;

use super::{spawned::SpawnedProcesses, table::MARK_VARIABLE};

/// Command that starts the watchdog: a program that calls [`run_watchdog`](super::run_watchdog).
///
/// The same command also runs briefly at each start of a child, as the leader of its process
/// group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchdogCommand {
    /// Path of the program.
    pub program: PathBuf,
    /// Arguments of the program.
    pub args: Vec<OsString>,
}

/// A running watchdog. Every child is reported to it through a pipe; when the pipe closes, because
/// rejoin has ended, it kills the children that are left.
///
/// A parent-death signal (`PR_SET_PDEATHSIG`) is not sufficient: it reaches only the direct child,
/// and is sent when the thread that started the child ends.
pub(super) struct Watchdog {
    command: WatchdogCommand,
    /// Instance number in the marks of all children.
    instance: u64,
    state: Mutex<State>,
}

struct State {
    process: Child,
    /// The children that have not been reported as ended, by number: at most one per session, and
    /// those of sessions that have ended.
    children: BTreeMap<u64, WatchedChild>,
}

#[derive(Clone, Copy)]
struct WatchedChild {
    /// Process group in which the child is started.
    group: i32,
    /// Process id, or `None` while the child is being started.
    id: Option<i32>,
}

/// The first process of a group, which runs until a child has joined the group.
///
/// So the watchdog knows the group before there is a child in it. The leader runs the same program
/// as the watchdog: if rejoin is killed, it exits by itself.
pub(super) struct GroupLeader<'a> {
    process: Child,
    spawned: &'a SpawnedProcesses,
}

impl Watchdog {
    pub(super) fn start(
        command: WatchdogCommand,
        instance: u64,
        spawned: &SpawnedProcesses,
    ) -> io::Result<Self> {
        let process = spawn(&command, spawned)?;
        let mut state = State { process, children: BTreeMap::new() };
        state.write_line(&format!("{instance:016x}"))?;
        Ok(Self { command, instance, state: Mutex::new(state) })
    }

    /// Spawns the leader of a new process group. Logs a failure, and returns `None`.
    pub(super) fn spawn_group_leader<'a>(
        &self,
        spawned: &'a SpawnedProcesses,
    ) -> Option<GroupLeader<'a>> {
        let leader = spawn(&self.command, spawned);
        leader
            .inspect_err(|error| {
                tracing::warn!(%error,
                    "cannot prepare a process group; a child that is being started survives if rejoin is killed");
            })
            .ok()
            .map(|process| GroupLeader { process, spawned })
    }

    /// Reports a child that is about to start in a group.
    pub(super) fn add(&self, child: u64, group: Pid, spawned: &SpawnedProcesses) {
        self.set(child, WatchedChild { group: raw_id(group), id: None }, spawned);
    }

    /// Reports that a child has started.
    pub(super) fn started(&self, child: u64, group: Pid, id: Pid, spawned: &SpawnedProcesses) {
        self.set(child, WatchedChild { group: raw_id(group), id: Some(raw_id(id)) }, spawned);
    }

    fn set(&self, child: u64, watched: WatchedChild, spawned: &SpawnedProcesses) {
        let mut state = self.state.lock();
        state.children.insert(child, watched);
        let written = state.write_line(&watched.line(child));
        self.restart_on_error(written, &mut state, spawned);
    }

    /// Reports that a child was reaped, and no process of it is left.
    pub(super) fn remove(&self, child: u64, spawned: &SpawnedProcesses) {
        let mut state = self.state.lock();
        state.children.remove(&child);
        let written = state.write_line(&format!("- {child}"));
        self.restart_on_error(written, &mut state, spawned);
    }

    /// Restarts the watchdog if a report could not be written.
    fn restart_on_error(
        &self,
        written: io::Result<()>,
        state: &mut State,
        spawned: &SpawnedProcesses,
    ) {
        let Err(error) = written else { return };
        tracing::warn!(%error, "watchdog exited; restarting it");
        let restarted = spawn(&self.command, spawned);
        let replaced = restarted.and_then(|process| state.replace(process, self.instance, spawned));
        if let Err(error) = replaced {
            tracing::error!(%error, "cannot restart the watchdog; children survive if rejoin is killed");
        }
    }
}

impl WatchedChild {
    fn line(self, child: u64) -> String {
        match self.id {
            Some(id) => format!("+ {child} {} {id}", self.group),
            None => format!("+ {child} {}", self.group),
        }
    }
}

impl State {
    /// Writes a line. Blocks only while the pipe is full, with thousands of unread lines.
    fn write_line(&mut self, line: &str) -> io::Result<()> {
        let pipe = self.process.stdin.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        // In one write, so that the watchdog never reads a partial line.
        pipe.write_all(format!("{line}\n").as_bytes())
    }

    fn replace(
        &mut self,
        process: Child,
        instance: u64,
        spawned: &SpawnedProcesses,
    ) -> io::Result<()> {
        kill_and_reap(&mut self.process, spawned);
        self.process = process;
        self.write_line(&format!("{instance:016x}"))?;
        for (child, watched) in self.children.clone() {
            self.write_line(&watched.line(child))?;
        }
        Ok(())
    }
}

impl GroupLeader<'_> {
    pub(super) fn group(&self) -> Pid {
        Pid::from_child(&self.process)
    }
}

impl Drop for GroupLeader<'_> {
    fn drop(&mut self) {
        kill_and_reap(&mut self.process, self.spawned);
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        let state = self.state.get_mut();
        if state.children.is_empty() {
            // It has nothing left to do.
            let _ = state.process.kill();
            let _ = state.process.wait();
        }
        // Otherwise it exits by itself, after it has killed the children that are left.
    }
}

/// Spawns a process of the watchdog program in its own group, so that signals of a terminal to
/// rejoin's group do not reach it.
fn spawn(command: &WatchdogCommand, spawned: &SpawnedProcesses) -> io::Result<Child> {
    spawned.spawn(
        Command::new(&command.program)
            .args(&command.args)
            // It does not belong to a child, even if rejoin is the child of another rejoin.
            .env_remove(MARK_VARIABLE)
            .process_group(0)
            // Rejoin's end of the pipe is closed on exec in every child.
            .stdin(Stdio::piped())
            .stdout(Stdio::null()),
    )
}

/// Kills and reaps a process of the watchdog program, which may have exited already.
fn kill_and_reap(process: &mut Child, spawned: &SpawnedProcesses) {
    let _ = process.kill();
    spawned.reap(process);
}

fn raw_id(id: Pid) -> i32 {
    id.as_raw_nonzero().get()
}
