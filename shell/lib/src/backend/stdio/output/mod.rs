//! Output of a child: stdout goes to its client, stderr to the log.
//!
//! A line of stdout is [split](split::split_line) into messages, which are
//! [repaired](repair) if their meaning is unambiguous. `serde_json` reads all that is valid JSON,
//! and leaves the contents of a message as they are (`RawValue`). Of anything else, an
//! [outline] tells which requests wait for it, so that they [fail](affected) instead of waiting
//! forever.

mod affected;
mod extension;
mod lines;
mod outline;
mod pending;
mod printable;
mod repair;
mod scanner;
mod split;
mod stderr;
mod stdout;
#[cfg(test)]
mod tests;
mod uncertain;

use std::time::Duration;

pub(super) use self::{
    lines::Lines,
    stderr::Stderr,
    stdout::{StdoutEnd, StdoutForwarder},
};

/// How long to wait for output that is already on its way, or for the exit of a process whose
/// output has ended.
pub(super) const LINGER_TIMEOUT: Duration = Duration::from_millis(100);

/// Maximum length of a line in the log, in bytes.
const LOGGED_LINE_BYTES_MAX: usize = 4 << 10;
