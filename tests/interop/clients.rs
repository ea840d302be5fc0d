//! Clients of the SDKs: scripts that use the demo server, print each check that passes, and exit at
//! the first that fails.

use std::ffi::OsString;

use tokio::process::Command;

use crate::{
    install::{self, Python},
    process, program,
};

/// Minimum number of checks in a conversation.
const CHECKS_MIN: usize = 50;
/// Minimum number of checks of late progress.
const LATE_CHECKS_MIN: usize = 5;

pub(crate) async fn typescript(script: &str, backend: &[OsString]) {
    converse(&mut node(script), backend, CHECKS_MIN).await;
}

/// Runs a client of the TypeScript SDK that cancels calls, with a server that ignores that.
pub(crate) async fn typescript_late_progress(script: &str) {
    converse(&mut node(script), &misbehaving_server(), LATE_CHECKS_MIN).await;
}

pub(crate) async fn python(sdk: Python, script: &str, backend: &[OsString]) {
    converse(&mut interpreter(sdk, script), backend, CHECKS_MIN).await;
}

/// Runs a client of the Python SDK that cancels calls, with a server that ignores that.
pub(crate) async fn python_late_progress(sdk: Python, script: &str) {
    converse(&mut interpreter(sdk, script), &misbehaving_server(), LATE_CHECKS_MIN).await;
}

fn node(script: &str) -> Command {
    let mut command = Command::new(install::node());
    command.arg(install::npm().join(script));
    command
}

fn interpreter(sdk: Python, script: &str) -> Command {
    let mut command = Command::new(install::python(sdk));
    command.args(["-B", "-W", "ignore"]).arg(install::source("clients/python").join(script));
    command
}

fn misbehaving_server() -> [OsString; 2] {
    ["python3".into(), install::source("scripts/server.py").into()]
}

async fn converse(command: &mut Command, backend: &[OsString], checks_min: usize) {
    let running = program::serve(backend);
    let output = process::run(command.arg(&running.url)).await;
    let checks = output.lines().filter(|line| line.starts_with("ok: ")).count();
    assert!(checks >= checks_min, "only {checks} checks passed");
}
