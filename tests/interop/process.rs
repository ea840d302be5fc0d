//! Execution of third-party programs and scripts.
#![expect(clippy::print_stdout, reason = "the output is part of the test log")]

use std::{process::Stdio, time::Duration};

use tokio::{process::Command, time::timeout};

/// Longer than the time limits of the scripts.
const LIMIT: Duration = Duration::from_secs(120);

/// Runs a command, and returns its output; panics if it fails.
pub(crate) async fn run(command: &mut Command) -> String {
    let running = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let Ok(output) = timeout(LIMIT, running).await else {
        panic!("{command:?} did not exit within {LIMIT:?}");
    };
    let output = output.unwrap_or_else(|error| panic!("failed to start {command:?}: {error}"));
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    println!("{stdout}{errors}");
    assert!(output.status.success(), "{command:?} failed with {}", output.status);
    stdout
}
