//! Clients of the SDKs: scripts that use the test server, print each check that passes, and exit at
//! the first that fails.

use std::ffi::OsString;

use rejoin_test_support::Program;
use tokio::process::Command;

use crate::{
    install::{self, Python},
    process, program,
};

/// Minimum number of checks in a conversation.
const CHECKS_MIN: usize = 50;
/// Minimum number of checks of late progress.
const LATE_CHECKS_MIN: usize = 5;

pub(crate) async fn typescript(script: &str, program: Program) {
    converse(&mut node(script), program, CHECKS_MIN).await;
}

/// Runs a client of the TypeScript SDK that cancels calls, with a server that ignores that.
pub(crate) async fn typescript_late_progress(script: &str) {
    converse(&mut node(script), program::serve(&misbehaving_server()), LATE_CHECKS_MIN).await;
}

pub(crate) async fn python(sdk: Python, script: &str, program: Program) {
    converse(&mut interpreter(sdk, script), program, CHECKS_MIN).await;
}

/// Runs a client of the Python SDK that cancels calls, with a server that ignores that.
pub(crate) async fn python_late_progress(sdk: Python, script: &str) {
    converse(&mut interpreter(sdk, script), program::serve(&misbehaving_server()), LATE_CHECKS_MIN)
        .await;
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

async fn converse(command: &mut Command, program: Program, checks_min: usize) {
    let output = process::run(command.arg(&program.url)).await;
    let checks = output.lines().filter(|line| line.starts_with("ok: ")).count();
    assert!(checks >= checks_min, "only {checks} checks passed");
}
