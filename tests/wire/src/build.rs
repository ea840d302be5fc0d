//! Builds the program to be soaked.

use std::env;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

/// Builds the program in release mode, unless it is up to date, and returns its path.
pub(crate) fn build() -> Result<PathBuf> {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--release", "--package", "rejoin-cli", "--bin", "rejoin"]);
    cargo.args(["--message-format", "json-render-diagnostics"]);
    let output = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).stderr(Stdio::inherit()).output()?;
    ensure!(output.status.success(), "cargo build failed");
    let stdout = String::from_utf8(output.stdout)?;
    let path = stdout.lines().find_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        Some(message.get("executable")?.as_str()?.into())
    });
    path.context("cargo did not report the path of the program")
}
