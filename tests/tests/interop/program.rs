//! The program under test, as a process of its own.

use std::{
    ffi::OsString,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::LazyLock,
};

use serde_json::Value;

use crate::install;

/// The command of no other server: the program serves its own.
pub(crate) const IN_PROCESS: [OsString; 0] = [];

/// The command of the demo server on stdio.
pub(crate) fn demo() -> [OsString; 2] {
    [path().into(), "demo".into()]
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

/// Returns the path of the program, which is built first.
fn path() -> &'static Path {
    static PATH: LazyLock<PathBuf> = LazyLock::new(|| {
        let mut cargo = Command::new(env!("CARGO"));
        cargo
            .args(["build", "--release", "--package", "rejoin", "--bin", "rejoin"])
            .args(["--message-format", "json-render-diagnostics", "--target-dir"])
            .arg(install::build_folder())
            .current_dir(env!("CARGO_MANIFEST_DIR"));
        let messages = install::run(&mut cargo);
        let mut messages = messages.lines().map(|line| serde_json::from_str(line).unwrap());
        let path =
            messages.find_map(|message: Value| Some(message.get("executable")?.as_str()?.into()));
        path.unwrap_or_else(|| panic!("cargo says where the program is"))
    });
    &PATH
}
