//! C6: no request runs twice.

use std::collections::BTreeSet;

/// The messages that backends have got.
#[derive(Debug, Default)]
pub(in crate::cluster) struct RunsOnce(BTreeSet<u64>);

impl RunsOnce {
    /// Checks a message that a backend gets.
    pub(in crate::cluster) fn check_forwarded(&mut self, body: u64) -> Result<(), String> {
        if self.0.insert(body) {
            return Ok(());
        }
        Err(format!("law C6 (no request runs twice): message {body}"))
    }
}
