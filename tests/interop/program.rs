//! The program under test, as a process of its own.

use std::{
    env,
    ffi::OsString,
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
};

/// The command of no other server: the program serves its own.
pub(crate) const IN_PROCESS: [OsString; 0] = [];

/// The command of the demo server on stdio.
pub(crate) fn demo() -> [OsString; 2] {
    [path(), "demo".into()]
}

/// A running server on a free port; killed when it is dropped.
pub(crate) struct Program {
    child: Child,
    pub(crate) url: String,
}

impl Program {
    /// Serves the stdio server of a command, or the program's own.
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
            panic!("the program says where it listens");
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

/// Returns the path of the program: the one of this build, or the one that
/// `REJOIN_TEST_PROGRAM` names.
pub(crate) fn path() -> OsString {
    env::var_os("REJOIN_TEST_PROGRAM").unwrap_or_else(|| env!("CARGO_BIN_EXE_rejoin").into())
}
