//! The log of a program, line by line.

use std::{
    io::{BufRead as _, BufReader},
    sync::mpsc::{Receiver, channel},
    thread,
    time::Duration,
};

use tokio::time::Instant;

use crate::Program;

/// The lines that a program logs, from its start on.
#[derive(Debug)]
pub struct LogLines(Receiver<String>);

/// Maximum time until the line is logged that a test waits for.
const TIMEOUT: Duration = Duration::from_secs(20);

impl LogLines {
    /// Reads the log of a program, whose stderr must be a pipe. What is not UTF-8 is replaced.
    pub fn of(program: &mut Program) -> Self {
        let lines = BufReader::new(program.stderr()).split(b'\n').map_while(Result::ok);
        let (sender, log) = channel();
        // Also when nobody waits for a line any more: otherwise the program would wait for a reader.
        thread::spawn(move || {
            lines.for_each(|line| drop(sender.send(String::from_utf8_lossy(&line).into_owned())));
        });
        Self(log)
    }

    /// Waits for the next line that contains a text.
    #[must_use]
    pub fn next_with(&self, text: &str) -> String {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let line = self.0.recv_timeout(deadline.saturating_duration_since(Instant::now()));
            let line = line.unwrap_or_else(|error| panic!("no line with `{text}`: {error}"));
            if line.contains(text) {
                return line;
            }
        }
    }
}
