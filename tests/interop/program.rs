//! The program under test, with a backend.

use std::{ffi::OsString, process::Command};

use rejoin_test_support::{Program, program_path, test_server_path};

/// Starts the program in front of the stdio server of a command.
pub(crate) fn serve(command: &[OsString]) -> Program {
    let mut serve = Command::new(program_path());
    serve.args(["serve", "--log-level", "warn", "--"]).args(command);
    Program::start(&mut serve)
}

/// Starts the program in front of the test server.
pub(crate) fn serve_test_server() -> Program {
    serve(&[test_server_path().into()])
}

/// Starts the test server, which serves through the library in its own process.
pub(crate) fn serve_in_process() -> Program {
    Program::start(Command::new(test_server_path()).arg("http"))
}
