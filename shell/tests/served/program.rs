//! The program under test, as a process of its own.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

/// A running server on a free port; killed when it is dropped.
pub(crate) struct Program {
    child: Child,
    /// `host:port`
    pub(crate) address: String,
}

impl Program {
    pub(crate) fn serve(options: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_rejoin"))
            .args(["serve", "--listen", "127.0.0.1:0", "--log-level", "warn"])
            .args(options)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let address = stdout.lines().find_map(|line| {
            let line = line.unwrap();
            let (_, url) = line.split_once("http://")?;
            Some(url.split_once("/mcp")?.0.to_owned())
        });
        let address = address.unwrap_or_else(|| {
            child.kill().unwrap();
            panic!("the program says where it listens");
        });
        Self { child, address }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}
