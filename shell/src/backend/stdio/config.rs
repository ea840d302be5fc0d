//! How children are started, and ended.

use std::{
    collections::BTreeMap,
    env,
    ffi::{OsStr, OsString},
    io,
    num::NonZeroU32,
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use rustix::process::Pid;
use thiserror::Error;

use super::{
    WatchdogCommand, command,
    table::{MARK_VARIABLE, Mark},
};

/// How the child of each session is started, and ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StdioConfig {
    /// The command: a path, or a name that is looked up in `PATH`.
    pub command: OsString,
    /// Its arguments: none by default.
    pub args: Vec<OsString>,
    /// What differs from this process's environment: variables that are set, and, with
    /// `None`, ones that are taken away. Nothing by default.
    pub env: BTreeMap<OsString, Option<OsString>>,
    /// The working directory: that of this process by default.
    pub working_dir: Option<PathBuf>,
    /// How long a child may take to end: 2 s by default. For a quarter of it the child is
    /// left to see that its stdin has ended, then it gets SIGTERM, and at the end SIGKILL, with
    /// all that it has started.
    pub stop_timeout: Duration,
    /// The longest line that a child writes to its stdout, in bytes: 16 MiB by default, as
    /// [`Config::message_bytes_max`](rejoin_core::Config::message_bytes_max) is. A longer
    /// one is not read, and the call that it answers fails.
    pub line_bytes_max: usize,
    /// How many children are started in a second: 10 by default, all with `None`. Others wait
    /// for a few seconds, and beyond that sessions are refused as [`Overloaded`](crate::Overloaded).
    pub starts_per_second_max: Option<NonZeroU32>,
    /// How long a child goes on starting whose client has left before the child has said
    /// anything: 60 s by default. The next client with the same `initialize` gets it. There
    /// are at most 4 such children, beside those of sessions.
    pub start_grace: Duration,
    /// The soft limit of open files that children get, on Linux: that of this process by
    /// default.
    pub open_files: Option<u64>,
    /// The process that ends all children when this one is killed: none by default.
    pub watchdog: Option<WatchdogCommand>,
    /// Whether processes that children leave behind become children of this process, which
    /// reaps them: false by default. On Linux only.
    ///
    /// It concerns the whole process, which must have no children of its own. The first
    /// process of a container gets such orphans anyway.
    pub adopts_orphans: bool,
}

impl StdioConfig {
    /// Returns the default settings of a command.
    pub fn new(command: impl Into<OsString>) -> Self {
        Self {
            command: command.into(),
            args: Vec::new(),
            env: BTreeMap::new(),
            working_dir: None,
            stop_timeout: Duration::from_secs(2),
            line_bytes_max: 16 << 20,
            starts_per_second_max: NonZeroU32::new(10),
            start_grace: Duration::from_secs(60),
            open_files: None,
            watchdog: None,
            adopts_orphans: false,
        }
    }

    /// Returns what starts a child in a process group, or in a new one that has its id.
    pub(super) fn command(&self, group: Option<Pid>, mark: Mark) -> Command {
        let mut command = Command::new(&self.command);
        command
            .args(&self.args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(group.map_or(0, |group| group.as_raw_nonzero().get()));
        for (name, value) in &self.env {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.env(MARK_VARIABLE, mark.to_string());
        if let Some(directory) = &self.working_dir {
            command.current_dir(directory);
        }
        command
    }

    /// Finds out whether there is such a command.
    pub(super) fn check(&self) -> Result<(), StartError> {
        let found = command::find(&self.command, &self.path(), self.working_dir.as_deref());
        found.map_err(|error| self.start_error(error))
    }

    /// Returns where the command is looked for.
    fn path(&self) -> OsString {
        let own = || env::var_os("PATH");
        let path = self.env.get(OsStr::new("PATH")).cloned().unwrap_or_else(own);
        path.unwrap_or_else(|| command::DEFAULT_PATH.into())
    }

    /// Says why the command could not be started, which the system does not say.
    pub(super) fn start_error(&self, error: io::Error) -> StartError {
        let command = self.command.to_string_lossy().into_owned();
        match &self.working_dir {
            Some(directory) if !directory.is_dir() => {
                StartError::Directory { command, directory: directory.clone() }
            }
            _ => StartError::Command { command, error },
        }
    }
}

/// Why a child could not be started. Whoever configures is at fault.
#[derive(Debug, Error)]
pub(super) enum StartError {
    #[error("cannot start `{command}`: {error}")]
    Command { command: String, error: io::Error },
    #[error("cannot start `{command}`: `{}` is no directory", directory.display())]
    Directory { command: String, directory: PathBuf },
}
