//! The guard, as rejoin sees it: a process that outlives rejoin and ends its children.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    io::{self, Write as _},
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use parking_lot::Mutex;
use rustix::process::Pid;

/// How the guard is started: a program that calls [`run_guard`](super::run_guard).
///
/// It is also started with each child, for a moment, to found the child's group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuardCommand {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
}

/// A guard that runs. It is told of every process group; when the pipe to it ends,
/// since rejoin did, it ends those that are left.
///
/// A signal at the death of a parent would not do: it reaches the direct child alone,
/// and comes when the thread ends that has started it.
pub(super) struct Guard {
    command: GuardCommand,
    state: Mutex<State>,
}

struct State {
    process: Child,
    /// The groups that are not known to have ended: at most one for each session, and
    /// for each that is ending.
    groups: BTreeSet<i32>,
}

/// The first process of a group, which is there until a child has joined it.
///
/// So the guard knows of a group before there is a child in it. It is of the same program
/// as the guard: when rejoin is killed, it ends by itself.
pub(super) struct Founder(Child);

impl Guard {
    pub(super) fn start(command: GuardCommand) -> io::Result<Self> {
        let process = start(&command)?;
        let state = Mutex::new(State { process, groups: BTreeSet::new() });
        Ok(Self { command, state })
    }

    /// Founds a group; `None` where that is not possible, which is logged.
    pub(super) fn found(&self) -> Option<Founder> {
        let founded = start(&self.command);
        founded
            .inspect_err(|error| tracing::warn!(%error, "a child is guarded only once it runs"))
            .ok()
            .map(Founder)
    }

    pub(super) fn add(&self, group: Pid) {
        let id = group.as_raw_nonzero().get();
        let mut state = self.state.lock();
        state.groups.insert(id);
        let told = state.tell('+', id);
        self.restart_unless(told, &mut state);
    }

    /// Forgets a group that was killed and whose first process was reaped.
    pub(super) fn remove(&self, group: Pid) {
        let id = group.as_raw_nonzero().get();
        let mut state = self.state.lock();
        state.groups.remove(&id);
        let told = state.tell('-', id);
        self.restart_unless(told, &mut state);
    }

    /// Starts another guard where this one could not be told.
    fn restart_unless(&self, told: io::Result<()>, state: &mut State) {
        let Err(error) = told else { return };
        tracing::warn!(%error, "the guard is gone, and is started again");
        if let Err(error) = start(&self.command).and_then(|process| state.replace(process)) {
            tracing::error!(%error, "there is no guard: children will outlive a killed rejoin");
        }
    }
}

impl State {
    /// Waits only while the pipe is full: when thousands of lines are not read yet.
    fn tell(&mut self, sign: char, group: i32) -> io::Result<()> {
        let pipe = self.process.stdin.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        // In one write, so that the guard never reads a part of an id.
        pipe.write_all(format!("{sign}{group}\n").as_bytes())
    }

    fn replace(&mut self, process: Child) -> io::Result<()> {
        end(&mut self.process);
        self.process = process;
        for group in self.groups.clone() {
            self.tell('+', group)?;
        }
        Ok(())
    }
}

impl Founder {
    pub(super) fn group(&self) -> Pid {
        Pid::from_child(&self.0)
    }
}

impl Drop for Founder {
    fn drop(&mut self) {
        end(&mut self.0);
    }
}

/// Every group has ended, since each keeps the guard.
impl Drop for Guard {
    fn drop(&mut self) {
        end(&mut self.state.get_mut().process);
    }
}

/// Starts a guard out of the reach of what a terminal sends to rejoin's own group.
fn start(command: &GuardCommand) -> io::Result<Child> {
    Command::new(&command.program)
        .args(&command.args)
        .process_group(0)
        // Rejoin's end of the pipe is closed in every child that it starts.
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
}

/// Ends and reaps a guard; one that has ended already is just reaped.
fn end(process: &mut Child) {
    let _ = process.kill();
    let _ = process.wait();
}
