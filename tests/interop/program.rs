//! Program under test, as a separate process.

use std::{
    env,
    ffi::OsString,
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
};

/// No command: the program serves its built-in demo server.
pub(crate) const IN_PROCESS: [OsString; 0] = [];

/// The command of the demo server over stdio.
pub(crate) fn demo() -> [OsString; 2] {
    [path(), "demo".into()]
}

/// A running server on a free port, killed on drop.
pub(crate) struct Program {
    child: Child,
    pub(crate) url: String,
}

impl Program {
    /// Serves the stdio server of a command, or the built-in one if the command is empty.
    pub(crate) fn serve(command: &[OsString]) -> Self {
        let mut serve = Command::new(path());
        serve.env("REJOIN_MAX_STARTS_PER_SECOND", "unlimited");
        serve.args(["serve", "--listen", "127.0.0.1:0", "--log-level", "warn,rmcp=error"]);
        if !command.is_empty() {
            serve.arg("--").args(command);
        }
        let mut child = serve.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let url = stdout.lines().find_map(|line| {
            let line = line.unwrap();
            let (from, to) = (line.find("http://")?, line.find("/mcp")?);
            Some(format!("{}/mcp", line.get(from..to)?))
        });
        let url = url.unwrap_or_else(|| {
            child.kill().unwrap();
            panic!("the program did not print its URL");
        });
        Self { child, url }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// Returns the path of the program: `REJOIN_TEST_PROGRAM`, or the one of this build.
pub(crate) fn path() -> OsString {
    env::var_os("REJOIN_TEST_PROGRAM").unwrap_or_else(|| env!("CARGO_BIN_EXE_rejoin").into())
}
