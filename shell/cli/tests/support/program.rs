//! The program under test, as a process.

use std::{
    io::{self, BufRead, BufReader},
    process::{Child, ChildStderr, Command, ExitStatus, Stdio},
    thread,
};

/// A running server on a free port; killed when it is dropped.
pub(crate) struct Program {
    child: Child,
    /// `host:port`
    pub(crate) address: String,
    /// Path of the endpoint.
    pub(crate) path: String,
}

impl Program {
    pub(crate) fn serve(options: &[&str]) -> Self {
        Self::serve_with(Command::new(env!("CARGO_BIN_EXE_rejoin")), options)
    }

    /// Starts the program with a command that is `rejoin`, or a wrapper around it.
    pub(crate) fn serve_with(mut command: Command, options: &[&str]) -> Self {
        command.args(["serve", "--listen", "127.0.0.1:0", "--log-level", "warn"]).args(options);
        // Fewer than the default, so that a low limit of open files does not cause a warning.
        command.env("REJOIN_MAX_CONNECTIONS", "500");
        let mut program = Self::start(command.stderr(Stdio::piped()));
        print_log(program.stderr());
        program
    }

    /// Serves, and logs to `stderr`.
    pub(crate) fn logging_to(stderr: Stdio, options: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rejoin"));
        command.args(["serve", "--listen", "127.0.0.1:0"]).args(options).stderr(stderr);
        Self::start(&mut command)
    }

    /// Starts a command that serves.
    pub(crate) fn start(command: &mut Command) -> Self {
        command.env("REJOIN_MAX_STARTS_PER_SECOND", "unlimited");
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let url = stdout.lines().find_map(|line| {
            let line = line.unwrap();
            let (_, url) = line.split_once("http://")?;
            let (address, path) = url.split_once(' ')?.0.split_once('/')?;
            Some((address.to_owned(), format!("/{path}")))
        });
        let (address, path) = url.unwrap_or_else(|| {
            child.kill().unwrap();
            let log = child.stderr.take().map(io::read_to_string);
            panic!("the program did not report its address; its log: {log:?}");
        });
        Self { child, address, path }
    }

    /// Takes stderr, which must be a pipe.
    pub(crate) fn stderr(&mut self) -> ChildStderr {
        self.child.stderr.take().unwrap()
    }

    /// Waits until the program has ended.
    pub(crate) fn wait(mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// Sends a signal, given by its name.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    }

    /// Sends a signal, and waits until the program has ended.
    pub(crate) fn stop_with(self, signal: &str) -> ExitStatus {
        self.signal(signal);
        self.wait()
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have exited already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Prints a log as the output of this test, which is shown if the test fails.
#[expect(clippy::print_stderr, reason = "it is captured by the test runner")]
fn print_log(log: ChildStderr) {
    let lines = BufReader::new(log).lines().map_while(Result::ok);
    thread::spawn(|| lines.for_each(|line| eprintln!("{line}")));
}
