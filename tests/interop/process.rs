//! Programs that others made, or that use what others made.
#![expect(clippy::print_stdout, reason = "the facts are shown to whoever wants to see them")]

use std::{process::Stdio, time::Duration};

use tokio::{process::Command, time::timeout};

/// More than a script gives itself.
const LIMIT: Duration = Duration::from_secs(120);

/// Runs a command to its end, and returns what it said; fails the test if it fails.
pub(crate) async fn run(command: &mut Command) -> String {
    let running = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let Ok(output) = timeout(LIMIT, running).await else {
        panic!("{command:?} did not end in {LIMIT:?}");
    };
    let output = output.unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    println!("{said}{errors}");
    assert!(output.status.success(), "{command:?} failed with {}", output.status);
    said
}
