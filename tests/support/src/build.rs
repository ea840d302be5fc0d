//! Programs that are built when a test needs them: Cargo tells their paths only to tests of their
//! own packages.

use std::{
    env,
    process::{Command, Stdio},
    sync::LazyLock,
};

use serde_json::Value;

/// Builds the test server, unless it is up to date, and returns its path.
#[must_use]
pub fn test_server_path() -> &'static str {
    static PATH: LazyLock<String> = LazyLock::new(|| build(&["--package", "rejoin-test-server"]));
    &PATH
}

/// Builds the program in release mode, unless it is up to date, and returns its path.
#[must_use]
pub fn build_released_program() -> String {
    build(&["--release", "--package", "rejoin-cli", "--bin", "rejoin"])
}

fn build(arguments: &[&str]) -> String {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.arg("build").args(arguments).args(["--message-format", "json-render-diagnostics"]);
    cargo.current_dir(env!("CARGO_MANIFEST_DIR")).stderr(Stdio::inherit());
    let output = cargo.output().unwrap();
    assert!(output.status.success(), "cargo build {arguments:?} failed");
    let mut messages = output.stdout.split(|byte| *byte == b'\n');
    let executable = messages.find_map(|message| {
        serde_json::from_slice::<Value>(message).ok()?["executable"].as_str().map(str::to_owned)
    });
    executable.unwrap()
}
