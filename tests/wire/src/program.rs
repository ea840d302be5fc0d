//! The program under test, as a process of its own.

use std::fs;
use std::io::{BufRead as _, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use parking_lot::Mutex;
use tokio::runtime::Builder;
use tokio::time::{sleep, timeout};

use crate::backend::GARBLED;

/// A running server on a free port; killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Program {
    child: Child,
    pub(crate) address: SocketAddr,
    log: Arc<Log>,
    /// Says that there is no more of the log, by being disconnected.
    log_ends: Receiver<()>,
}

/// How the allocator of glibc is told so; others do not read it.
const ALLOCATOR: [(&str, &str); 3] = [
    ("MALLOC_ARENA_MAX", "1"),
    ("MALLOC_TRIM_THRESHOLD_", "0"),
    ("GLIBC_TUNABLES", "glibc.malloc.tcache_count=0"),
];
/// How long it may take until the program says where it listens.
const BEGIN_MAX: Duration = Duration::from_secs(60);
/// How long it may take to end: it gives connections 5 s, and child processes as much.
const END_MAX: Duration = Duration::from_secs(60);
/// How long the rest of its log may take when it has ended.
const LOG_MAX: Duration = Duration::from_secs(10);

/// What the program has said in its log.
#[derive(Debug, Default)]
struct Log {
    opened: AtomicUsize,
    closed: AtomicUsize,
    /// The first line that says that the program itself is wrong.
    wrong: Mutex<Option<String>>,
    /// The first line of all.
    first: Mutex<Option<String>>,
}

impl Program {
    /// Begins to serve, with `command` for each session if there is one. So that it can be
    /// seen what it holds, the allocator has one heap, and keeps little that is free.
    pub(crate) fn begin(path: &Path, options: &[String], command: &[String]) -> Result<Self> {
        let mut serve = Command::new(path);
        // Worlds begin many sessions at a time, some with a process each.
        serve.env("REJOIN_MAX_STARTS_PER_SECOND", "unlimited");
        serve.env("REJOIN_MAX_SESSIONS", "10000");
        // No process may be left soon after the last client has gone.
        serve.env("REJOIN_START_GRACE", "1s");
        serve.args(["serve", "--listen", "127.0.0.1:0", "--log-level", "error,rejoin=info"]);
        serve.args(options);
        if !command.is_empty() {
            serve.arg("--").args(command);
        }
        serve.envs(ALLOCATOR).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = serve.spawn()?;
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let log = Arc::<Log>::default();
        let (log_lasts, log_ends) = channel();
        if let Some(err) = err {
            let log = Arc::clone(&log);
            thread::spawn(move || {
                log.follow(err);
                drop(log_lasts);
            });
        }
        let (say, said) = channel();
        if let Some(out) = out {
            thread::spawn(move || {
                // Nobody may wait for it any more.
                let _ = address(out).map(|address| say.send(address));
            });
        }
        if let Ok(address) = said.recv_timeout(BEGIN_MAX) {
            return Ok(Self { child, address, log, log_ends });
        }
        // It may have ended by itself.
        let _ = child.kill();
        let _ = child.wait();
        let _ = log_ends.recv_timeout(LOG_MAX);
        let why = log.first.lock().clone().unwrap_or_default();
        bail!("the program does not say where it listens: {why}")
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Returns how many sessions there are, by its log.
    pub(crate) fn sessions(&self) -> usize {
        let closed = self.log.closed.load(Ordering::Relaxed);
        self.opened().saturating_sub(closed)
    }

    /// Returns how many sessions there have been, by its log.
    pub(crate) fn opened(&self) -> usize {
        self.log.opened.load(Ordering::Relaxed)
    }

    /// Returns how many bytes of memory it has.
    pub(crate) fn memory_bytes(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = line.and_then(|line| line.split_whitespace().next());
        Ok(kilobytes.context("the system says nothing of its memory")?.parse::<u64>()? * 1_024)
    }

    /// Returns how many files and sockets it has open.
    pub(crate) fn descriptors(&self) -> Result<usize> {
        Ok(fs::read_dir(format!("/proc/{}/fd", self.id()))?.count())
    }

    /// Returns its child processes, among them the guard.
    pub(crate) fn children(&self) -> Result<Vec<u32>> {
        let tasks = format!("/proc/{}/task", self.id());
        let files = fs::read_dir(tasks)?.flatten().map(|thread| thread.path().join("children"));
        // A thread may have ended meanwhile, but not the first one.
        let texts: Vec<String> = files.filter_map(|file| fs::read_to_string(file).ok()).collect();
        ensure!(!texts.is_empty(), "the system does not say which processes there are");
        let ids = texts.iter().flat_map(|text| text.split_whitespace());
        Ok(ids.map(str::parse).collect::<Result<_, _>>()?)
    }

    /// Returns what it says to be wrong with itself.
    pub(crate) fn wrong(&self) -> Option<String> {
        let wrong = self.log.wrong.lock();
        wrong.as_ref().map(|line| format!("the program says: {line}"))
    }

    /// Ends it as an operator does, waits until it has ended, and sees that nothing was wrong
    /// until then.
    pub(crate) fn end(mut self) -> Result<()> {
        let id = self.id().to_string();
        ensure!(Command::new("kill").args(["-s", "TERM", &id]).status()?.success());
        let waits = Builder::new_current_thread().enable_time().build()?;
        let ended = waits.block_on(async { timeout(END_MAX, ended(&mut self.child)).await });
        let ended =
            ended.with_context(|| format!("the program has not ended in {END_MAX:?}"))??;
        if self.log_ends.recv_timeout(LOG_MAX) == Err(RecvTimeoutError::Timeout) {
            bail!("the program has ended, and some child process of it has not");
        }
        if let Some(wrong) = self.wrong() {
            bail!(wrong);
        }
        ensure!(ended.success(), "the program ended with {ended}");
        Ok(())
    }
}

/// Waits until a process has ended.
async fn ended(child: &mut Child) -> Result<ExitStatus> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        sleep(Duration::from_millis(10)).await;
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the log says where something is wrong with the program itself.
const WRONG: [&str; 5] =
    ["panicked", "session panicked", "journal truncated", "there is no guard", GARBLED];

impl Log {
    fn follow(&self, err: impl Read) {
        for line in BufReader::new(err).lines().map_while(Result::ok) {
            if line.contains("session opened") {
                self.opened.fetch_add(1, Ordering::Relaxed);
            } else if line.contains("session closed") {
                self.closed.fetch_add(1, Ordering::Relaxed);
            } else if WRONG.iter().any(|wrong| line.contains(wrong)) {
                self.wrong.lock().get_or_insert_with(|| line.clone());
            }
            self.first.lock().get_or_insert(line);
        }
    }
}

/// Returns where it says that it listens.
fn address(out: impl Read) -> Option<SocketAddr> {
    let mut lines = BufReader::new(out).lines().map_while(Result::ok);
    lines.find_map(|line| {
        let (_, url) = line.split_once("http://")?;
        url.split_once('/')?.0.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// What is wrong with a program from its beginning to its end.
    fn wrong(script: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("program");
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        let ended = Program::begin(&path, &[], &[]).and_then(Program::end);
        ended.map_or_else(|wrong| wrong.to_string(), |()| "nothing".to_owned())
    }

    #[test]
    fn what_is_wrong_until_the_end_is_seen() {
        let serve = |end: &str| {
            format!("trap '{end}' TERM; echo http://127.0.0.1:1/mcp; while :; do sleep 0.02; done")
        };
        assert_eq!(wrong(&serve("exit 0")), "nothing");
        assert_eq!(wrong(&serve("echo it panicked >&2; exit 0")), "the program says: it panicked");
        assert!(wrong(&serve("exit 3")).contains("exit status: 3"));
        let silent = "the program does not say where it listens: no room";
        assert_eq!(wrong("echo no room >&2"), silent);
    }
}
