//! The program under test, as a process of its own.

use std::env;
use std::fs;
use std::io::{BufRead as _, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::{Context as _, Result, ensure};
use parking_lot::Mutex;
use serde_json::Value;

use crate::backend::GARBLED;

/// How the program is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Build {
    /// As for tests.
    Dev,
    /// As for its users.
    Release,
}

/// Builds the program, unless it is built already, and returns where it is.
///
/// # Errors
///
/// It cannot be built.
pub fn build(build: Build) -> Result<PathBuf> {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--package", "rejoin", "--bin", "rejoin"]);
    cargo.args(["--message-format", "json-render-diagnostics"]);
    if build == Build::Release {
        cargo.arg("--release");
    }
    let output = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).stderr(Stdio::inherit()).output()?;
    ensure!(output.status.success(), "the program cannot be built");
    let said = String::from_utf8(output.stdout)?;
    let path = said.lines().find_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        Some(message.get("executable")?.as_str()?.into())
    });
    path.context("cargo does not say where the program is")
}

/// A running server on a free port; killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Program {
    child: Child,
    pub(crate) address: SocketAddr,
    log: Arc<Log>,
}

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
    /// Begins to serve, with `command` for each session if there is one.
    pub(crate) fn begin(path: &Path, options: &[String], command: &[String]) -> Result<Self> {
        let mut serve = Command::new(path);
        serve.args(["serve", "--listen", "127.0.0.1:0", "--log-level", "error,rejoin=info"]);
        serve.args(options);
        if !command.is_empty() {
            serve.arg("--").args(command);
        }
        serve.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = serve.spawn()?;
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let log = Arc::<Log>::default();
        if let Some(err) = err {
            let log = Arc::clone(&log);
            thread::spawn(move || log.follow(err));
        }
        if let Some(address) = out.and_then(address) {
            return Ok(Self { child, address, log });
        }
        // It may have ended by itself.
        let _ = child.kill();
        let _ = child.wait();
        let why = log.first.lock().clone().unwrap_or_default();
        anyhow::bail!("the program does not say where it listens: {why}")
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Returns how many sessions there are, by its log.
    pub(crate) fn sessions(&self) -> usize {
        let closed = self.log.closed.load(Ordering::Relaxed);
        self.log.opened.load(Ordering::Relaxed).saturating_sub(closed)
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
    pub(crate) fn children(&self) -> Vec<u32> {
        let id = self.id();
        let Ok(threads) = fs::read_dir(format!("/proc/{id}/task")) else { return Vec::new() };
        let files = threads.flatten().map(|thread| thread.path().join("children"));
        let texts = files.filter_map(|file| fs::read_to_string(file).ok());
        texts
            .flat_map(|text| text.split_whitespace().flat_map(str::parse).collect::<Vec<_>>())
            .collect()
    }

    /// Returns what it says to be wrong with itself.
    pub(crate) fn wrong(&self) -> Option<String> {
        self.log.wrong.lock().clone()
    }

    /// Ends it as an operator does, and waits until it has ended.
    pub(crate) fn end(mut self) -> Result<ExitStatus> {
        let id = self.id().to_string();
        ensure!(Command::new("kill").args(["-s", "TERM", &id]).status()?.success());
        Ok(self.child.wait()?)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Log {
    fn follow(&self, err: impl Read) {
        for line in BufReader::new(err).lines().map_while(Result::ok) {
            if line.contains("session opened") {
                self.opened.fetch_add(1, Ordering::Relaxed);
            } else if line.contains("session closed") {
                self.closed.fetch_add(1, Ordering::Relaxed);
            } else if [GARBLED, "panicked", "session is broken"].iter().any(|it| line.contains(it))
            {
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
