//! The program under test, as a process.

use std::{
    env,
    io::{self, BufRead as _, BufReader},
    process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use tokio::time::{sleep, timeout};

/// Maximum time until the program prints its URL.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// Returns the path of the program: `REJOIN_TEST_PROGRAM`, or the one that Cargo has built for the
/// tests of its package.
#[must_use]
pub fn program_path() -> String {
    let built = |_| env::var("CARGO_BIN_EXE_rejoin");
    env::var("REJOIN_TEST_PROGRAM").or_else(built).unwrap_or_else(|_| {
        panic!("neither `REJOIN_TEST_PROGRAM` nor `CARGO_BIN_EXE_rejoin` is set: use `cargo test`")
    })
}

/// A running server, killed on drop.
#[derive(Debug)]
pub struct Program {
    child: Child,
    /// What it printed when it was ready.
    pub url: String,
    /// The host and the port of the URL.
    pub address: String,
    /// The path of the URL.
    pub path: String,
}

impl Program {
    /// Starts the program on a free port. Its warnings are part of the output of the test.
    #[must_use]
    pub fn serve(options: &[&str]) -> Self {
        Self::serve_with(Command::new(program_path()), options)
    }

    /// The same, with a command that is the program or a wrapper around it.
    #[must_use]
    pub fn serve_with(mut command: Command, options: &[&str]) -> Self {
        command.env("REJOIN_LOG_LEVEL", "warn");
        // Fewer than the default, so that a low limit of open files does not cause a warning.
        command.env("REJOIN_MAX_CONNECTIONS", "500");
        let mut program = Self::start(command.arg("serve").args(options).stderr(Stdio::piped()));
        print_log(program.stderr());
        program
    }

    /// Starts the program on a free port, with its log at `stderr`.
    #[must_use]
    pub fn logging_to(stderr: Stdio, options: &[&str]) -> Self {
        Self::start(Command::new(program_path()).arg("serve").args(options).stderr(stderr))
    }

    /// Starts a command that serves, by default on a free port and with no limit on the processes
    /// started per second. Options of the command take precedence.
    pub fn start(command: &mut Command) -> Self {
        Self::try_start(command).unwrap_or_else(|error| panic!("{error}"))
    }

    /// The same, for callers that report errors.
    ///
    /// # Errors
    ///
    /// The command cannot be started, or does not print its URL. The error has what it wrote to
    /// stderr, if that is a pipe.
    pub fn try_start(command: &mut Command) -> Result<Self, String> {
        command.env("REJOIN_LISTEN", "127.0.0.1:0");
        command.env("REJOIN_MAX_STARTS_PER_SECOND", "unlimited");
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|error| format!("{command:?}: {error}"))?;
        let url = child.stdout.take().and_then(read_url);
        let Some((url, (address, path))) = url.and_then(|url| Some((url.clone(), split(&url)?)))
        else {
            end(&mut child);
            let log = child.stderr.take().map(io::read_to_string);
            let log = log.transpose().map_err(|error| error.to_string())?.unwrap_or_default();
            return Err(format!("the program did not print its URL: {}", log.trim_end()));
        };
        Ok(Self { child, url, address, path })
    }

    /// Takes stderr, which must be a pipe.
    pub fn stderr(&mut self) -> ChildStderr {
        self.child.stderr.take().unwrap()
    }

    /// Returns the id of its process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal, given by its name.
    pub fn signal(&self, name: &str) {
        let id = self.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    }

    /// Waits until it has exited, for `longest` at most.
    pub async fn exited(&mut self, longest: Duration) -> Option<ExitStatus> {
        let exited = async {
            loop {
                if let Some(status) = self.child.try_wait().unwrap() {
                    return status;
                }
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(longest, exited).await.ok()
    }

    /// Waits until it has exited.
    #[must_use]
    pub fn wait(mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// Stops it with SIGTERM, and returns its log. Stderr must be a pipe.
    #[must_use]
    pub fn stop(mut self) -> String {
        let log = self.stderr();
        self.signal("TERM");
        let log = io::read_to_string(log).unwrap();
        assert!(self.wait().success(), "{log}");
        log
    }

    /// Sends a signal, and waits until it has exited.
    #[must_use]
    pub fn stop_with(self, signal: &str) -> ExitStatus {
        self.signal(signal);
        self.wait()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

fn end(child: &mut Child) {
    // It may have exited already.
    let _ = child.kill();
    let _ = child.wait();
}

/// Returns the first line of stdout, without its end.
fn read_url(stdout: ChildStdout) -> Option<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let line = BufReader::new(stdout).lines().next();
        // The receiver may have timed out.
        line.and_then(Result::ok).map(|line| sender.send(line))
    });
    receiver.recv_timeout(START_TIMEOUT).ok()
}

/// Returns the host with the port, and the path, of a URL.
fn split(url: &str) -> Option<(String, String)> {
    let rest = url.strip_prefix("http://").or(url.strip_prefix("https://"))?;
    let (address, path) = rest.split_once('/')?;
    Some((address.to_owned(), format!("/{path}")))
}

/// Prints a log as the output of this test, which is shown if the test fails.
#[expect(clippy::print_stderr, reason = "it is captured by the test runner")]
fn print_log(log: ChildStderr) {
    let lines = BufReader::new(log).lines().map_while(Result::ok);
    thread::spawn(|| lines.for_each(|line| eprintln!("{line}")));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(script: &str) -> Result<Program, String> {
        Program::try_start(Command::new("/bin/sh").args(["-c", script]).stderr(Stdio::piped()))
    }

    #[test]
    fn url_is_the_first_line() {
        let program = start("echo http://127.0.0.1:1/mcp; exec sleep 60").unwrap();
        assert_eq!((&*program.address, &*program.path), ("127.0.0.1:1", "/mcp"));
        assert!(!program.stop_with("TERM").success());
    }

    #[test]
    fn error_has_the_log() {
        let error = "the program did not print its URL: no address";
        assert_eq!(start("echo no address >&2").unwrap_err(), error);
        assert_eq!(start("echo no address >&2; echo listening").unwrap_err(), error);
    }
}
