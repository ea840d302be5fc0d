//! What the system says of a process.

use std::{fs, process, time::Duration};

use anyhow::{Context as _, Result};
use nix::{
    time::{clock_getcpuclockid, clock_gettime},
    unistd::Pid,
};

/// A process whose cost is read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Process(u32);

impl Process {
    /// A process by its id.
    pub(crate) fn new(id: u32) -> Self {
        Self(id)
    }

    /// This process.
    pub(crate) fn this() -> Self {
        Self(process::id())
    }

    /// Returns how many seconds of processor time all threads of the process have taken, by
    /// a clock that counts nanoseconds.
    pub(crate) fn cpu_seconds(self) -> Result<f64> {
        let clock = clock_getcpuclockid(Pid::from_raw(i32::try_from(self.0)?))?;
        Ok(Duration::from(clock_gettime(clock)?).as_secs_f64())
    }

    /// Returns how many bytes of memory the process has.
    pub(crate) fn memory_bytes(self) -> Result<f64> {
        self.status("VmRSS:")
    }

    /// Returns how many bytes of memory the process has had at most.
    pub(crate) fn peak_memory_bytes(self) -> Result<f64> {
        self.status("VmHWM:")
    }

    fn status(self, field: &str) -> Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0))?;
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let kilobytes =
            line.and_then(|line| line.split_whitespace().next()).context("no memory")?;
        Ok(kilobytes.parse::<f64>()? * 1024.0)
    }
}
