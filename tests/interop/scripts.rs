//! Scripts that put the program behind proxies, into namespaces and on lines: each says what
//! it has found to be so, and fails at the first thing that is not.

use std::ffi::OsString;

use tokio::process::Command;

use crate::{install, process, program};

/// Runs a script, whose first argument is the path of the program.
pub(crate) async fn run(script: &str, arguments: &[OsString]) {
    let mut command = Command::new("python3");
    command.arg("-B").arg(install::source("scripts").join(script));
    let said = process::run(command.arg(program::path()).args(arguments)).await;
    assert!(said.lines().any(|line| line.starts_with("ok: ")), "nothing was checked");
}
