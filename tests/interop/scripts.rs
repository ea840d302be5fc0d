//! Scripts that run the program behind proxies, in namespaces and over a slow link. They print each
//! check that passes, and exit at the first that fails.

use std::ffi::OsString;

use rejoin_test_support::program_path;
use tokio::process::Command;

use crate::{install, process};

/// Runs a script. Its first argument is the path of the program.
pub(crate) async fn run(script: &str, arguments: &[OsString]) {
    let mut command = Command::new("python3");
    command.arg("-B").arg(install::source("scripts").join(script));
    let output = process::run(command.arg(program_path()).args(arguments)).await;
    assert!(output.lines().any(|line| line.starts_with("ok: ")), "nothing was checked");
}
