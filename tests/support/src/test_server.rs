//! The test server, a program whose path Cargo tells the tests of its own package only.

use std::{
    env,
    process::{Command, Stdio},
    sync::LazyLock,
};

use serde_json::Value;

/// Builds the test server, unless it is up to date, and returns its path.
#[must_use]
pub fn test_server_path() -> &'static str {
    static PATH: LazyLock<String> = LazyLock::new(build);
    &PATH
}

fn build() -> String {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--package", "rejoin-test-server"]);
    cargo.args(["--message-format", "json-render-diagnostics"]);
    cargo.current_dir(env!("CARGO_MANIFEST_DIR")).stderr(Stdio::inherit());
    let output = cargo.output().unwrap();
    assert!(output.status.success(), "the test server cannot be built");
    let mut messages = output.stdout.split(|byte| *byte == b'\n');
    let executable = messages.find_map(|message| {
        serde_json::from_slice::<Value>(message).ok()?["executable"].as_str().map(str::to_owned)
    });
    executable.unwrap()
}
