//! What the system says of a process.

use std::{fs, process};

use anyhow::{Context as _, Result};

/// How many ticks of processor time a second has: the same on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;

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

    /// Returns how many seconds of processor time the process has taken, and those of its
    /// children that it waited for.
    pub(crate) fn processor_seconds(self) -> Result<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0))?;
        let (_, fields) = stat.rsplit_once(')').context("`stat` names no program")?;
        let ticks: Vec<f64> =
            fields.split_whitespace().skip(11).take(4).flat_map(str::parse).collect();
        Ok(ticks.iter().sum::<f64>() / TICKS_PER_SECOND)
    }

    /// Returns how many bytes of memory the process has.
    pub(crate) fn memory_bytes(self) -> Result<f64> {
        self.status("VmRSS:")
    }

    /// Returns how many bytes of memory the process has had at most.
    pub(crate) fn peak_bytes(self) -> Result<f64> {
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
