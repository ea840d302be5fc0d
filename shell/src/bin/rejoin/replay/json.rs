//! Replay output as JSON: one object per input.

use std::io::{self, Write};

use rejoin::rejoin_core::Backpressure;
use serde_json::json;

use super::Step;

/// Writes an input and its result as one line.
pub(super) fn write_step(out: &mut impl Write, step: &Step<'_>) -> io::Result<()> {
    let (hold, rejection) = match &step.result {
        Ok(Backpressure::None) => (None, None),
        Ok(Backpressure::Hold(stream)) => (Some(stream), None),
        Err(rejection) => (None, Some(rejection.to_string())),
    };
    let actions: Vec<_> = step.actions.iter().collect();
    let line = json!({
        "now": step.now,
        "input": step.input,
        "rejection": rejection,
        "hold": hold,
        "actions": actions,
    });
    writeln!(out, "{line}")
}
