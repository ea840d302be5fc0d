//! The program under test, with its log and its use of resources.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Error, Result, bail, ensure};
use parking_lot::Mutex;
use rejoin_test_support::Program as Launched;
use tokio::runtime::Builder;

use crate::backend::INVALID_MESSAGE;

/// A running server.
#[derive(Debug)]
pub(crate) struct Program {
    process: Launched,
    pub(crate) address: SocketAddr,
    log: Arc<Log>,
    /// Disconnected at the end of the log.
    log_end: Receiver<()>,
}

/// Environment variables that configure the allocator of glibc; other allocators ignore them.
const ALLOCATOR: [(&str, &str); 3] = [
    ("MALLOC_ARENA_MAX", "1"),
    ("MALLOC_TRIM_THRESHOLD_", "0"),
    ("GLIBC_TUNABLES", "glibc.malloc.tcache_count=0"),
];
/// Maximum time to shut down: connections and child processes have 5 s each.
const STOP_TIMEOUT: Duration = Duration::from_secs(60);
/// Maximum time until the log ends after the program has exited.
const LOG_TIMEOUT: Duration = Duration::from_secs(10);

/// What the log of the program has reported.
#[derive(Debug, Default)]
struct Log {
    /// The number of sessions ever opened.
    opened: AtomicUsize,
    /// The sessions that are open.
    open: Mutex<HashSet<String>>,
    /// The first line that reports an error of the program itself.
    error: Mutex<Option<String>>,
}

impl Program {
    /// Starts the program, with `command` as the backend of each session if it is not empty. The
    /// allocator has one heap and caches little, so that memory use can be measured.
    pub(crate) fn start(path: &Path, options: &[String], command: &[String]) -> Result<Self> {
        Self::start_with_copy(path, options, command, None)
    }

    /// Starts the program, and also writes its log to `copy`.
    pub(crate) fn start_with_copy(
        path: &Path,
        options: &[String],
        command: &[String],
        mut copy: Option<File>,
    ) -> Result<Self> {
        let mut serve = Command::new(path);
        serve.envs(ALLOCATOR);
        // Simulations open many sessions at a time, some with a child process each.
        serve.env("REJOIN_MAX_SESSIONS", "10000");
        // No child process may be left soon after the last client has disconnected.
        serve.env("REJOIN_START_GRACE", "1s");
        serve.args(["serve", "--log-level", "error,rejoin=info"]).args(options);
        if !command.is_empty() {
            serve.arg("--").args(command);
        }
        let mut process = Launched::try_start(serve.stderr(Stdio::piped())).map_err(Error::msg)?;
        let address = process.address.parse()?;
        let log = Arc::<Log>::default();
        let (log_open, log_end) = channel();
        let (stderr, follower) = (process.stderr(), Arc::clone(&log));
        thread::spawn(move || {
            follower.follow(stderr, copy.as_mut());
            drop(log_open);
        });
        Ok(Self { process, address, log, log_end })
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Returns the number of open sessions, according to the log.
    pub(crate) fn sessions(&self) -> usize {
        self.log.open.lock().len()
    }

    /// Returns the number of sessions ever opened, according to the log.
    pub(crate) fn opened(&self) -> usize {
        self.log.opened.load(Ordering::Relaxed)
    }

    /// Returns the resident memory, in bytes.
    pub(crate) fn memory_bytes(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = line.and_then(|line| line.split_whitespace().next());
        Ok(kilobytes.context("`VmRSS` is missing in `/proc`")?.parse::<u64>()? * 1_024)
    }

    /// Returns the number of open file descriptors.
    pub(crate) fn descriptors(&self) -> Result<usize> {
        Ok(fs::read_dir(format!("/proc/{}/fd", self.id()))?.count())
    }

    /// Returns the child processes, including the watchdog.
    pub(crate) fn children(&self) -> Result<Vec<u32>> {
        let tasks = format!("/proc/{}/task", self.id());
        let files = fs::read_dir(tasks)?.flatten().map(|thread| thread.path().join("children"));
        // A thread may have exited meanwhile, but not the main thread.
        let texts: Vec<String> = files.filter_map(|file| fs::read_to_string(file).ok()).collect();
        ensure!(!texts.is_empty(), "child processes are missing in `/proc`");
        let ids = texts.iter().flat_map(|text| text.split_whitespace());
        Ok(ids.map(str::parse).collect::<Result<_, _>>()?)
    }

    /// Returns the first error that the program has logged.
    pub(crate) fn reported_error(&self) -> Option<String> {
        let failure = self.log.error.lock();
        failure.as_ref().map(|line| format!("the program logged: {line}"))
    }

    /// Sends a signal, given by its name.
    pub(crate) fn signal(&self, name: &str) {
        self.process.signal(name);
    }

    /// Waits until it has exited, for `longest` at most.
    pub(crate) async fn exited(&mut self, longest: Duration) -> Option<ExitStatus> {
        self.process.exited(longest).await
    }

    /// Stops it with SIGTERM, waits until it has exited, and checks that it logged no error.
    pub(crate) fn stop(mut self) -> Result<()> {
        self.process.signal("TERM");
        let runtime = Builder::new_current_thread().enable_time().build()?;
        let ended = runtime.block_on(self.process.exited(STOP_TIMEOUT));
        let ended =
            ended.with_context(|| format!("the program has not exited in {STOP_TIMEOUT:?}"))?;
        if self.log_end.recv_timeout(LOG_TIMEOUT) == Err(RecvTimeoutError::Timeout) {
            bail!("the program has exited, but a child process has not");
        }
        if let Some(failure) = self.reported_error() {
            bail!(failure);
        }
        ensure!(ended.success(), "the program exited with {ended}");
        Ok(())
    }
}

/// What the log contains if something is wrong with the program itself.
const ERRORS: [&str; 5] = [
    "panicked",
    "session panicked",
    "journal truncated",
    "cannot restart the watchdog",
    INVALID_MESSAGE,
];

impl Log {
    fn follow(&self, err: impl Read, mut copy: Option<&mut File>) {
        for line in BufReader::new(err).lines().map_while(Result::ok) {
            if let Some(copy) = &mut copy {
                // What is checked does not depend on it.
                let _ = writeln!(copy, "{line}");
            }
            if line.contains("session opened") {
                self.opened.fetch_add(1, Ordering::Relaxed);
                self.open.lock().extend(session(&line));
            } else if line.contains("session closed") {
                // Also one that was not opened.
                if let Some(session) = session(&line) {
                    self.open.lock().remove(&session);
                }
            } else if ERRORS.iter().any(|error| line.contains(error)) {
                self.error.lock().get_or_insert(line);
            }
        }
    }
}

/// Returns the session that a line is about.
fn session(line: &str) -> Option<String> {
    let (_, session) = line.split_once("session=")?;
    session.split_whitespace().next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// Returns the failure of a program that is started and stopped.
    fn failure(script: &str) -> String {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("program");
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        let ended = Program::start(&path, &[], &[]).and_then(Program::stop);
        ended.map_or_else(|failure| failure.to_string(), |()| "nothing".to_owned())
    }

    #[test]
    fn reports_errors_until_exit() {
        let serve = |end: &str| {
            format!("trap '{end}' TERM; echo http://127.0.0.1:1/mcp; while :; do sleep 0.02; done")
        };
        assert_eq!(failure(&serve("exit 0")), "nothing");
        assert_eq!(
            failure(&serve("echo it panicked >&2; exit 0")),
            "the program logged: it panicked"
        );
        assert!(failure(&serve("exit 3")).contains("exit status: 3"));
    }
}
