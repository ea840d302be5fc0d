//! One JSON object for each input, for machines.

use std::io::{self, Write};

use rejoin::rejoin_core::Pressure;
use serde_json::json;

use super::Step;

/// Prints what a session was told and what it did, in one line.
pub(super) fn write_step(out: &mut impl Write, turn: &Step<'_>) -> io::Result<()> {
    let (hold, rejection) = match &turn.result {
        Ok(Pressure::None) => (None, None),
        Ok(Pressure::Hold(stream)) => (Some(stream), None),
        Err(rejection) => (None, Some(rejection.to_string())),
    };
    let actions: Vec<_> = turn.actions.iter().collect();
    let line = json!({
        "now": turn.now,
        "input": turn.input,
        "rejection": rejection,
        "hold": hold,
        "actions": actions,
    });
    writeln!(out, "{line}")
}
