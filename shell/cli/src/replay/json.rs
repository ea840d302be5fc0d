//! Replay output as JSON: one object per input.

use std::io::{self, Write};

use serde_json::json;

use super::Step;

/// Writes an input and its result as one line.
pub(super) fn write_step(out: &mut impl Write, step: &Step) -> io::Result<()> {
    let rejection = step.result.as_ref().err().map(ToString::to_string);
    let actions: Vec<_> = step.actions.iter().collect();
    let line = json!({
        "now": step.now,
        "input": step.input,
        "rejection": rejection,
        "actions": actions,
    });
    writeln!(out, "{line}")
}
