//! The clients: each a script that holds a conversation with the demo server, says what
//! it has found to be so, and fails at the first thing that is not.

use std::ffi::OsString;

use tokio::process::Command;

use crate::{
    install::{self, Python},
    process,
    program::Program,
};

/// The least that a conversation finds to be so.
const FACTS_MIN: usize = 50;
/// The least that is found of late progress.
const LATE_FACTS_MIN: usize = 5;

pub(crate) async fn typescript(script: &str, backend: &[OsString]) {
    converse(&mut node(script), backend, FACTS_MIN).await;
}

/// Has a client of the TypeScript SDK cancel calls of a server that goes on with them.
pub(crate) async fn typescript_late(script: &str) {
    converse(&mut node(script), &late_server(), LATE_FACTS_MIN).await;
}

pub(crate) async fn python(sdk: Python, script: &str, backend: &[OsString]) {
    converse(&mut interpreter(sdk, script), backend, FACTS_MIN).await;
}

/// Has a client of the Python SDK cancel calls of a server that goes on with them.
pub(crate) async fn python_late(sdk: Python, script: &str) {
    converse(&mut interpreter(sdk, script), &late_server(), LATE_FACTS_MIN).await;
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

fn late_server() -> [OsString; 2] {
    ["python3".into(), install::source("scripts/server.py").into()]
}

async fn converse(command: &mut Command, backend: &[OsString], facts_min: usize) {
    let program = Program::serve(backend);
    let said = process::run(command.arg(&program.url)).await;
    let facts = said.lines().filter(|line| line.starts_with("ok: ")).count();
    assert!(facts >= facts_min, "the conversation ended early");
}
