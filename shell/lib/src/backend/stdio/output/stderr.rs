//! Stderr of a child, which goes to the log.

use bytes::Bytes;
use tokio::process::ChildStderr;

use super::{
    LOGGED_LINE_BYTES_MAX,
    lines::{Line, Lines},
    printable::Printable,
};
use crate::SessionId;

/// Stderr of a child.
pub(crate) struct Stderr {
    lines: Lines<ChildStderr>,
    session: SessionId,
    /// The beginning of the last non-blank line: at most [`LAST_BYTES_MAX`] bytes.
    last: Bytes,
}

/// Maximum length of the last line of stderr in an error for the client, in bytes.
const LAST_BYTES_MAX: usize = 256;

impl Stderr {
    pub(crate) fn new(stderr: ChildStderr, session: SessionId) -> Self {
        Self { lines: Lines::new(stderr, LOGGED_LINE_BYTES_MAX), session, last: Bytes::new() }
    }

    /// Attributes further lines to another session.
    pub(crate) fn set_session(&mut self, session: SessionId) {
        self.session = session;
    }

    /// Logs all lines. Cancel-safe.
    pub(crate) async fn log(&mut self) {
        let session = self.session.short();
        // A read error counts as the end.
        while let Ok(Some(line)) = self.lines.next().await {
            let (line, more) = match &line {
                Line::Complete(line) => (line, ""),
                Line::Truncated(line) => (line, "…"),
            };
            tracing::info!(target: "rejoin::stderr", %session, "{}{more}", Printable(line));
            if !line.trim_ascii().is_empty() {
                self.last = Bytes::copy_from_slice(line.get(..LAST_BYTES_MAX).unwrap_or(line));
            }
        }
    }

    /// Returns the last non-blank line so far.
    pub(crate) fn last(&self) -> Option<Printable<'_>> {
        (!self.last.is_empty()).then_some(Printable(&self.last))
    }
}
