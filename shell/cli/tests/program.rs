//! Tests of the program: command line, output, shutdown and journals.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::panic, reason = "a test fails by panicking")]

#[path = "program/command_line.rs"]
mod command_line;
#[path = "program/example_file.rs"]
mod example_file;
#[path = "program/journal.rs"]
mod journal;
#[path = "program/signals.rs"]
mod signals;
#[path = "program/store_options.rs"]
mod store_options;
