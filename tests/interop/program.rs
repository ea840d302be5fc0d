//! The program under test, with a backend.

use std::{ffi::OsString, process::Command};

use rejoin_test_support::{Program, program_path};

/// No command: the program serves its built-in demo server.
pub(crate) const IN_PROCESS: [OsString; 0] = [];

/// The command of the demo server over stdio.
pub(crate) fn demo() -> [OsString; 2] {
    [program_path().into(), "demo".into()]
}

/// Serves the stdio server of a command, or the built-in one if the command is empty.
pub(crate) fn serve(command: &[OsString]) -> Program {
    let mut serve = Command::new(program_path());
    serve.args(["serve", "--log-level", "warn,rmcp=error"]);
    if !command.is_empty() {
        serve.arg("--").args(command);
    }
    Program::start(&mut serve)
}
