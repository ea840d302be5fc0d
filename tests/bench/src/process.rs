//! CPU time and memory of a process, as reported by the system.

use std::{
    env, fs,
    process::{self, Command},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use nix::{
    time::{clock_getcpuclockid, clock_gettime},
    unistd::Pid,
};

use crate::measure::{Metric, Readings};

/// A process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Process(u32);

impl Process {
    /// Identifies a process by its id.
    pub(crate) fn new(id: u32) -> Self {
        Self(id)
    }

    /// Identifies the current process.
    pub(crate) fn this() -> Self {
        Self(process::id())
    }

    /// Returns the CPU time of all threads of the process in seconds, with a resolution of
    /// nanoseconds.
    pub(crate) fn cpu_seconds(self) -> Result<f64> {
        let clock = clock_getcpuclockid(Pid::from_raw(i32::try_from(self.0)?))?;
        Ok(Duration::from(clock_gettime(clock)?).as_secs_f64())
    }

    /// Returns the resident memory in bytes.
    pub(crate) fn memory_bytes(self) -> Result<f64> {
        self.status("VmRSS:")
    }

    /// Returns the peak resident memory in bytes.
    pub(crate) fn peak_memory_bytes(self) -> Result<f64> {
        self.status("VmHWM:")
    }

    fn status(self, field: &str) -> Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0))?;
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let kilobytes =
            line.and_then(|line| line.split_whitespace().next()).context("no such field")?;
        Ok(kilobytes.parse::<f64>()? * 1024.0)
    }
}

/// Runs this program with `arguments` in a process of its own, and returns what it prints: one
/// value for each metric.
pub(crate) fn measure_in_own_process(arguments: &[String], metrics: &[Metric]) -> Result<Readings> {
    let output = Command::new(env::current_exe()?).args(arguments).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let printed = String::from_utf8(output.stdout)?;
    let values = printed.split_whitespace().map(str::parse).collect::<Result<Vec<f64>, _>>()?;
    ensure!(values.len() == metrics.len(), "unexpected output: {printed}");
    Ok(metrics.iter().copied().zip(values).collect())
}
