//! The clients: each a script that holds a conversation with the demo server, says what
//! it has found to be so, and fails at the first thing that is not.

use std::ffi::OsString;

use tokio::process::Command;

use crate::{install, process, program::Program};

/// The least that a conversation finds to be so.
const FACTS_MIN: usize = 50;

pub(crate) async fn typescript(script: &str, backend: &[OsString]) {
    let mut command = Command::new(install::node());
    command.arg(install::npm().join(script));
    converse(&mut command, backend).await;
}

pub(crate) async fn python(sdk: usize, script: &str, backend: &[OsString]) {
    let mut command = Command::new(install::python(sdk));
    command.args(["-B", "-W", "ignore"]).arg(install::source("clients/python").join(script));
    converse(&mut command, backend).await;
}

async fn converse(command: &mut Command, backend: &[OsString]) {
    let program = Program::serve(backend);
    let said = process::run(command.arg(&program.url)).await;
    let facts = said.lines().filter(|line| line.starts_with("ok: ")).count();
    assert!(facts >= FACTS_MIN, "the conversation ended early");
}
