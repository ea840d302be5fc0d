//! Tests of the program in real time: with sockets and their kernel buffers, child processes, and
//! the limits of the system.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::panic, reason = "a test fails by panicking")]
#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]
#![expect(clippy::print_stderr, reason = "a skipped test says so")]
#![expect(clippy::disallowed_methods, reason = "the tests run in real time")]
#![allow(dead_code, reason = "the helpers are shared with other tests")]

#[path = "../../shell/lib/tests/support/client.rs"]
mod client;
mod error_messages;
mod http_edge;
mod logging;
mod long_lines;
mod long_response;
mod memory_limits;
mod open_files;
mod process_life;
#[path = "../../shell/cli/tests/stdio/processes.rs"]
mod processes;
#[path = "../../shell/cli/tests/support/program.rs"]
mod program;
#[path = "../../shell/cli/tests/stdio/script.rs"]
mod script;
mod shutdown;
mod slow_exec;
mod slow_readers;
mod starts;
mod unreadable_responses;
