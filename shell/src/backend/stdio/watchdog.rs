//! The guard, as rejoin sees it: a process that outlives rejoin and ends its children.

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

use super::{known::Known, table::VARIABLE};

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

/// A guard that runs. It is told of every child; when the pipe to it ends, since rejoin did,
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
    children: BTreeMap<u64, Guarded>,
}

#[derive(Clone, Copy)]
struct Guarded {
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
    known: &'a Known,
}

impl Watchdog {
    pub(super) fn start(
        command: WatchdogCommand,
        instance: u64,
        known: &Known,
    ) -> io::Result<Self> {
        let process = start(&command, known)?;
        let mut state = State { process, children: BTreeMap::new() };
        state.tell(&format!("{instance:016x}"))?;
        Ok(Self { command, instance, state: Mutex::new(state) })
    }

    /// Founds a group; `None` where that is not possible, which is logged.
    pub(super) fn found<'a>(&self, known: &'a Known) -> Option<GroupLeader<'a>> {
        let founded = start(&self.command, known);
        founded
            .inspect_err(|error| tracing::warn!(%error, "a child is guarded only once it runs"))
            .ok()
            .map(|process| GroupLeader { process, known })
    }

    /// Hears of a child that is about to start in a group.
    pub(super) fn add(&self, child: u64, group: Pid, known: &Known) {
        self.set(child, Guarded { group: raw(group), id: None }, known);
    }

    /// Hears that a child has started.
    pub(super) fn started(&self, child: u64, group: Pid, id: Pid, known: &Known) {
        self.set(child, Guarded { group: raw(group), id: Some(raw(id)) }, known);
    }

    fn set(&self, child: u64, guarded: Guarded, known: &Known) {
        let mut state = self.state.lock();
        state.children.insert(child, guarded);
        let told = state.tell(&guarded.line(child));
        self.restart_unless(told, &mut state, known);
    }

    /// Forgets a child that was reaped and has left no process.
    pub(super) fn remove(&self, child: u64, known: &Known) {
        let mut state = self.state.lock();
        state.children.remove(&child);
        let told = state.tell(&format!("- {child}"));
        self.restart_unless(told, &mut state, known);
    }

    /// Starts another guard where this one could not be told.
    fn restart_unless(&self, told: io::Result<()>, state: &mut State, known: &Known) {
        let Err(error) = told else { return };
        tracing::warn!(%error, "the guard is gone, and is started again");
        let started = start(&self.command, known);
        let replaced = started.and_then(|process| state.replace(process, self.instance, known));
        if let Err(error) = replaced {
            tracing::error!(%error, "there is no guard: children will outlive a killed rejoin");
        }
    }
}

impl Guarded {
    fn line(self, child: u64) -> String {
        match self.id {
            Some(id) => format!("+ {child} {} {id}", self.group),
            None => format!("+ {child} {}", self.group),
        }
    }
}

impl State {
    /// Waits only while the pipe is full: when thousands of lines are not read yet.
    fn tell(&mut self, line: &str) -> io::Result<()> {
        let pipe = self.process.stdin.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        // In one write, so that the guard never reads a part of a line.
        pipe.write_all(format!("{line}\n").as_bytes())
    }

    fn replace(&mut self, process: Child, instance: u64, known: &Known) -> io::Result<()> {
        end(&mut self.process, known);
        self.process = process;
        self.tell(&format!("{instance:016x}"))?;
        for (child, guarded) in self.children.clone() {
            self.tell(&guarded.line(child))?;
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
        end(&mut self.process, self.known);
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
fn start(command: &WatchdogCommand, known: &Known) -> io::Result<Child> {
    known.spawn(
        Command::new(&command.program)
            .args(&command.args)
            // It is not part of a child, even where rejoin is the child of another rejoin.
            .env_remove(VARIABLE)
            .process_group(0)
            // Rejoin's end of the pipe is closed in every child that it starts.
            .stdin(Stdio::piped())
            .stdout(Stdio::null()),
    )
}

/// Ends and reaps a guard; one that has ended already is just reaped.
fn end(process: &mut Child, known: &Known) {
    let _ = process.kill();
    known.reap(process);
}

fn raw(id: Pid) -> i32 {
    id.as_raw_nonzero().get()
}
