//! The watchdog: a process that outlives this one, and kills the children of a
//! [`StdioBackend`](crate::StdioBackend) that are left.
//!
//! A program that is killed by SIGKILL, or by the out-of-memory killer, cannot stop its children.
//! Most servers exit when their stdin is closed, but not those that hang, and not the processes
//! that a server has started. With a watchdog, nothing of a session survives its program.
//!
//! The watchdog is a program that calls [`run`]. This can be the same one, with an argument:
//!
//! ```no_run
//! use std::{env, io};
//!
//! use rejoin::{
//!     StdioBackend, StdioConfig,
//!     watchdog::{self, WatchdogCommand},
//! };
//!
//! fn main() -> io::Result<()> {
//!     if env::args_os().nth(1).is_some_and(|argument| argument == "watchdog") {
//!         return watchdog::run();
//!     }
//!     let watchdog =
//!         WatchdogCommand { program: env::current_exe()?, args: vec!["watchdog".into()] };
//!     let mut config = StdioConfig::new("my-mcp-server");
//!     config.watchdog = Some(watchdog);
//!     let backend = StdioBackend::new(config)?;
//!     // …
//!     # drop(backend);
//!     Ok(())
//! }
//! ```
//!
//! The backend starts the watchdog, reports every child to it, and restarts it if it exits. When
//! the program ends in any way, the watchdog kills what is left, and exits.

mod main;

use std::{
    collections::BTreeMap,
    ffi::OsString,
    io::{self, Write as _},
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::Arc,
};

use parking_lot::Mutex;
use rustix::process::Pid;

pub use self::main::run;
use super::{mark::MARK_VARIABLE, spawned::SpawnedProcesses};

/// Command that starts the watchdog: a program that calls [`run`].
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
    spawned: Arc<SpawnedProcesses>,
    state: Mutex<State>,
}

struct State {
    process: Child,
    /// The process id of each child that has not been reported as ended, or `None` while it is
    /// being started: at most one per session, and those of sessions that have ended.
    children: BTreeMap<u64, Option<Pid>>,
}

impl Watchdog {
    pub(super) fn start(
        command: WatchdogCommand,
        instance: u64,
        spawned: Arc<SpawnedProcesses>,
    ) -> io::Result<Self> {
        let process = spawn(&command, &spawned)?;
        let mut state = State { process, children: BTreeMap::new() };
        state.write_line(&format!("{instance:016x}"))?;
        Ok(Self { command, instance, spawned, state: Mutex::new(state) })
    }

    /// Reports a child that is about to start.
    pub(super) fn report_start(&self, child: u64) {
        let mut state = self.state.lock();
        state.children.insert(child, None);
        self.write_line(&mut state, &report(child, None));
    }

    /// Reports the process of a child that has started, which leads its own process group.
    pub(super) fn report_process(&self, child: u64, process: Pid) {
        let mut state = self.state.lock();
        state.children.insert(child, Some(process));
        self.write_line(&mut state, &report(child, Some(process)));
    }

    /// Reports that a child has ended, or could not be started. Its process is not reaped before.
    pub(super) fn report_end(&self, child: u64) {
        let mut state = self.state.lock();
        state.children.remove(&child);
        self.write_line(&mut state, &format!("- {child}"));
    }

    /// Writes a line, and restarts the watchdog if that fails.
    fn write_line(&self, state: &mut State, line: &str) {
        let Err(error) = state.write_line(line) else { return };
        tracing::warn!(%error, "watchdog exited; restarting it");
        if let Err(error) = self.restart(state) {
            tracing::error!(%error, "cannot restart the watchdog; children survive if rejoin is killed");
        }
    }

    fn restart(&self, state: &mut State) -> io::Result<()> {
        let process = spawn(&self.command, &self.spawned)?;
        let _ = state.process.kill();
        self.spawned.reap(&mut state.process);
        state.process = process;
        state.write_line(&format!("{:016x}", self.instance))?;
        for (child, process) in state.children.clone() {
            state.write_line(&report(child, process))?;
        }
        Ok(())
    }
}

fn report(child: u64, process: Option<Pid>) -> String {
    match process {
        Some(process) => format!("+ {child} {}", process.as_raw_nonzero()),
        None => format!("+ {child}"),
    }
}

impl State {
    /// Writes a line. Blocks only while the pipe is full, with thousands of unread lines.
    fn write_line(&mut self, line: &str) -> io::Result<()> {
        let pipe = self.process.stdin.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        // In one write, so that the watchdog never reads a partial line.
        pipe.write_all(format!("{line}\n").as_bytes())
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

/// Spawns the watchdog in its own group, so that signals of a terminal to rejoin's group do not
/// reach it.
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
