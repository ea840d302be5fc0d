//! An application: it starts `rejoin connect`, and talks to it over stdio.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStderr, ChildStdin, Command, ExitStatus, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::Duration,
};

use rejoin_test_support::{LATEST_REVISION, initialize, program_path};
use serde_json::{Value, json};

/// Maximum time until a message arrives: longer than `rejoin connect` tries to send one.
const TIMEOUT: Duration = Duration::from_secs(60);

/// An application, whose `rejoin connect` is killed on drop.
pub(crate) struct Application {
    child: Child,
    stdin: Option<ChildStdin>,
    messages: Receiver<Value>,
}

impl Application {
    /// Starts `rejoin connect`.
    pub(crate) fn start(url: &str, options: &[&str]) -> Self {
        let mut command = Command::new(program_path());
        command.arg("connect").args(options).arg(url);
        let mut child = Self::spawn(&mut command);
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, messages) = mpsc::channel();
        thread::spawn(move || {
            let lines = stdout.lines().map_while(Result::ok);
            let messages = lines.map(|line| serde_json::from_str(&line).unwrap());
            // The test may have ended.
            messages.map_while(|message| sender.send(message).ok()).for_each(drop);
        });
        let stdin = child.stdin.take();
        Self { child, stdin, messages }
    }

    /// Starts a command with stdin and stdout as pipes. Its warnings are part of the output of the
    /// test.
    pub(crate) fn spawn(command: &mut Command) -> Child {
        command.env("REJOIN_LOG_LEVEL", "warn");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        print_log(child.stderr.take().unwrap());
        child
    }

    /// Starts `rejoin connect`, and begins a session.
    pub(crate) fn initialize(url: &str, options: &[&str]) -> Self {
        let mut application = Self::start(url, options);
        application.send(&initialize(LATEST_REVISION, &json!({ "elicitation": {} })));
        let response = application.next();
        assert_eq!(response["result"]["protocolVersion"], LATEST_REVISION, "{response}");
        application.send(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }));
        application
    }

    pub(crate) fn send(&mut self, message: &Value) {
        let stdin = self.stdin.as_mut().unwrap();
        stdin.write_all(format!("{message}\n").as_bytes()).unwrap();
    }

    /// Calls a tool, with `id` as the progress token.
    pub(crate) fn call(&mut self, id: i64, tool: &str, arguments: &Value) {
        let params = json!({
            "name": tool, "arguments": arguments, "_meta": { "progressToken": id },
        });
        self.send(&json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params }));
    }

    /// Waits for the next message.
    pub(crate) fn next(&self) -> Value {
        self.messages.recv_timeout(TIMEOUT).unwrap()
    }

    /// Waits for the response to a request. Returns it with the messages before it.
    pub(crate) fn response(&self, id: i64) -> (Value, Vec<Value>) {
        let mut before = Vec::new();
        loop {
            let message = self.next();
            if message["id"] == id && message.get("method").is_none() {
                return (message, before);
            }
            before.push(message);
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Closes stdin, and waits until the program has exited. Returns its status, and the
    /// messages that were left.
    pub(crate) fn leave(mut self) -> (ExitStatus, Vec<Value>) {
        self.stdin = None;
        self.wait()
    }

    /// Waits until the program has exited.
    pub(crate) fn wait(mut self) -> (ExitStatus, Vec<Value>) {
        let mut rest = Vec::new();
        while let Ok(message) = self.messages.recv_timeout(TIMEOUT) {
            rest.push(message);
        }
        (self.child.wait().unwrap(), rest)
    }
}

impl Drop for Application {
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
