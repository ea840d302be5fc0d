//! The watchdog, as rejoin sees it: a process that outlives rejoin and ends its children.

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

/// How the guard is started: a program that calls [`run_watchdog`](super::run_watchdog).
///
/// It is also started with each child, for a moment, to found the child's group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchdogCommand {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
}

/// A watchdog that runs. It is told of every child; when the pipe to it ends, since rejoin did,
/// it ends those that are left.
///
/// A signal at the death of a parent would not do: it reaches the direct child alone,
/// and comes when the thread ends that has started it.
pub(super) struct Watchdog {
    command: WatchdogCommand,
    /// What the processes of all children have in their marks.
    instance: u64,
    state: Mutex<State>,
}

struct State {
    process: Child,
    /// The children that are not known to have ended, by number: at most one for each
    /// session, and for each that is ending.
    children: BTreeMap<u64, WatchedChild>,
}

#[derive(Clone, Copy)]
struct WatchedChild {
    /// The group that it is started in.
    group: i32,
    /// `None` while it is being started.
    id: Option<i32>,
}

/// The first process of a group, which is there until a child has joined it.
///
/// So the guard knows of a group before there is a child in it. It is of the same program
/// as the guard: when rejoin is killed, it ends by itself.
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

    /// Founds a group; `None` where that is not possible, which is logged.
    pub(super) fn spawn_group_leader<'a>(
        &self,
        spawned: &'a SpawnedProcesses,
    ) -> Option<GroupLeader<'a>> {
        let leader = spawn(&self.command, spawned);
        leader
            .inspect_err(|error| tracing::warn!(%error, "a child is guarded only once it runs"))
            .ok()
            .map(|process| GroupLeader { process, spawned })
    }

    /// Hears of a child that is about to start in a group.
    pub(super) fn add(&self, child: u64, group: Pid, spawned: &SpawnedProcesses) {
        self.set(child, WatchedChild { group: raw_id(group), id: None }, spawned);
    }

    /// Hears that a child has started.
    pub(super) fn started(&self, child: u64, group: Pid, id: Pid, spawned: &SpawnedProcesses) {
        self.set(child, WatchedChild { group: raw_id(group), id: Some(raw_id(id)) }, spawned);
    }

    fn set(&self, child: u64, watched: WatchedChild, spawned: &SpawnedProcesses) {
        let mut state = self.state.lock();
        state.children.insert(child, watched);
        let told = state.write_line(&watched.line(child));
        self.restart_on_error(told, &mut state, spawned);
    }

    /// Forgets a child that was reaped and has left no process.
    pub(super) fn remove(&self, child: u64, spawned: &SpawnedProcesses) {
        let mut state = self.state.lock();
        state.children.remove(&child);
        let told = state.write_line(&format!("- {child}"));
        self.restart_on_error(told, &mut state, spawned);
    }

    /// Starts another guard where this one could not be told.
    fn restart_on_error(
        &self,
        told: io::Result<()>,
        state: &mut State,
        spawned: &SpawnedProcesses,
    ) {
        let Err(error) = told else { return };
        tracing::warn!(%error, "the guard is gone, and is started again");
        let started = spawn(&self.command, spawned);
        let replaced = started.and_then(|process| state.replace(process, self.instance, spawned));
        if let Err(error) = replaced {
            tracing::error!(%error, "there is no guard: children will outlive a killed rejoin");
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
    /// Waits only while the pipe is full: when thousands of lines are not read yet.
    fn write_line(&mut self, line: &str) -> io::Result<()> {
        let pipe = self.process.stdin.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        // In one write, so that the guard never reads a part of a line.
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
            // There is nothing left to do for it.
            let _ = state.process.kill();
            let _ = state.process.wait();
        }
        // Otherwise it ends by itself, once it has ended the children that are left.
    }
}

/// Starts a guard out of the reach of what a terminal sends to rejoin's own group.
fn spawn(command: &WatchdogCommand, spawned: &SpawnedProcesses) -> io::Result<Child> {
    spawned.spawn(
        Command::new(&command.program)
            .args(&command.args)
            // It is not part of a child, even where rejoin is the child of another rejoin.
            .env_remove(MARK_VARIABLE)
            .process_group(0)
            // Rejoin's end of the pipe is closed in every child that it starts.
            .stdin(Stdio::piped())
            .stdout(Stdio::null()),
    )
}

/// Ends and reaps a guard; one that has ended already is just reaped.
fn kill_and_reap(process: &mut Child, spawned: &SpawnedProcesses) {
    let _ = process.kill();
    spawned.reap(process);
}

fn raw_id(id: Pid) -> i32 {
    id.as_raw_nonzero().get()
}
