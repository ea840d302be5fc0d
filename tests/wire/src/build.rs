//! The program that a soak is of.

use std::env;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

/// Builds the program as for its users, unless it is built already, and returns where it is.
pub(crate) fn build() -> Result<PathBuf> {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--release", "--package", "rejoin", "--bin", "rejoin"]);
    cargo.args(["--message-format", "json-render-diagnostics"]);
    let output = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).stderr(Stdio::inherit()).output()?;
    ensure!(output.status.success(), "the program cannot be built");
    let said = String::from_utf8(output.stdout)?;
    let path = said.lines().find_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        Some(message.get("executable")?.as_str()?.into())
    });
    path.context("cargo does not say where the program is")
}
