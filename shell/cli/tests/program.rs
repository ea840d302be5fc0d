//! Tests of the program: command line, output, shutdown and journals.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::panic, reason = "a test fails by panicking")]
#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "the support serves other tests, too")]

#[path = "../../lib/tests/support/client.rs"]
mod client;
#[path = "program/command_line.rs"]
mod command_line;
#[path = "program/example_file.rs"]
mod example_file;
#[path = "program/journal.rs"]
mod journal;
#[path = "support/program.rs"]
mod program;
#[path = "program/signals.rs"]
mod signals;
