//! Tests of the program in real time: with sockets and their kernel buffers, child processes, and
//! the limits of the system.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]
#![expect(clippy::print_stderr, reason = "a skipped test says so")]
#![expect(clippy::disallowed_methods, reason = "the tests run in real time")]

mod error_messages;
mod http_edge;
mod logging;
mod long_lines;
mod long_response;
mod memory_limits;
mod open_files;
mod process_life;
mod shutdown;
mod slow_exec;
mod slow_readers;
mod starts;
mod unreadable_responses;
