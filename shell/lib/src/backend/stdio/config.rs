//! Configuration of the stdio backend.

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

use thiserror::Error;

use super::{
    SessionSetup, command,
    process::{ChildSupervisor, MARK_VARIABLE, Mark},
    watchdog::WatchdogCommand,
};

/// How the child of each session is started and stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StdioConfig {
    /// Command of each child: a path, or a name that is looked up in `PATH`.
    pub command: OsString,
    /// Arguments of the command. Default: none.
    pub args: Vec<OsString>,
    /// Whether children inherit no environment but `PATH`. Default false.
    pub clear_env: bool,
    /// Changes to the inherited environment: variables to set, or with `None` to unset.
    /// Default: none.
    pub env: BTreeMap<OsString, Option<OsString>>,
    /// Working directory. Default: that of this process.
    pub working_dir: Option<PathBuf>,
    /// Time between closing stdin and SIGKILL. Default 2 s. After a quarter of it, the child
    /// gets SIGTERM. Both signals also go to all processes that the child has started.
    pub stop_timeout: Duration,
    /// Maximum length of a line of stdout, in bytes. Default 16 MiB, the same as
    /// [`Config::message_bytes_max`](rejoin_core::Config::message_bytes_max). A longer line is
    /// dropped, and the requests that it answers fail.
    pub line_bytes_max: usize,
    /// Maximum number of children started per second. Default 10; `None` is unlimited. Further
    /// starts wait up to 5 s; those that would wait longer fail with
    /// [`Overloaded`](crate::Overloaded).
    pub starts_per_second_max: Option<NonZeroU32>,
    /// How long a child that has not written anything yet is kept after its client has left.
    /// Default 60 s. The next client that sends the same `initialize` message gets it. At most
    /// 4 children are kept, in addition to those of sessions.
    pub start_grace: Duration,
    /// Soft limit of open files for children, on Linux. Default: that of this process.
    pub open_files: Option<u64>,
    /// Process that kills all children when this process is killed: see
    /// [`watchdog`](crate::watchdog). Default: none.
    pub watchdog: Option<WatchdogCommand>,
    /// Whether this process adopts and reaps orphaned descendants of its children
    /// (`PR_SET_CHILD_SUBREAPER`). Default false; Linux only.
    ///
    /// This affects the whole process, which must not have other children; several backends need a
    /// common [`supervisor`](Self::supervisor). The first process
    /// of a container adopts orphans anyway.
    pub adopts_orphans: bool,
    /// What this backend shares with others of this process, instead of `watchdog` and
    /// `adopts_orphans`. Default: none.
    pub supervisor: Option<ChildSupervisor>,
}

impl StdioConfig {
    /// Returns the default config for a command.
    pub fn new(command: impl Into<OsString>) -> Self {
        Self {
            command: command.into(),
            args: Vec::new(),
            clear_env: false,
            env: BTreeMap::new(),
            working_dir: None,
            stop_timeout: Duration::from_secs(2),
            line_bytes_max: 16 << 20,
            starts_per_second_max: NonZeroU32::new(10),
            start_grace: Duration::from_secs(60),
            open_files: None,
            watchdog: None,
            adopts_orphans: false,
            supervisor: None,
        }
    }

    /// Builds the command of a child, which leads a process group of its own.
    pub(super) fn command(&self, setup: &SessionSetup, mark: Mark) -> Command {
        let mut command = Command::new(&self.command);
        command
            .args(setup.args.as_ref().unwrap_or(&self.args))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        if self.clear_env {
            command.env_clear().env("PATH", self.path());
        }
        for (name, value) in &self.env {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.envs(setup.env.iter().map(|(name, value)| (name, value)));
        command.env(MARK_VARIABLE, mark.to_string());
        if let Some(directory) = &self.working_dir {
            command.current_dir(directory);
        }
        command
    }

    /// Checks that the command exists and can be executed.
    pub(super) fn check(&self) -> Result<(), StartError> {
        let found = command::find(&self.command, &self.path(), self.working_dir.as_deref());
        found.map_err(|error| self.start_error(error))
    }

    /// Returns the `PATH` in which the command is looked up.
    fn path(&self) -> OsString {
        let own = || env::var_os("PATH");
        let path = self.env.get(OsStr::new("PATH")).cloned().unwrap_or_else(own);
        path.unwrap_or_else(|| command::DEFAULT_PATH.into())
    }

    /// Adds the command to an error, and distinguishes a missing working directory from a missing
    /// command: the system reports the same error for both.
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

/// Why a child could not be started.
#[derive(Debug, Error)]
pub(super) enum StartError {
    #[error("cannot start `{command}`: {error}")]
    Command { command: String, error: io::Error },
    #[error("cannot start `{command}`: `{}` is not a directory", directory.display())]
    Directory { command: String, directory: PathBuf },
}
