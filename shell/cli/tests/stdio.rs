//! The program with children that speak MCP on stdin and stdout, including invalid ones.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::panic, reason = "a test fails by panicking")]
#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]

#[path = "stdio/exit.rs"]
mod exit;
#[path = "stdio/extensions.rs"]
mod extensions;
#[path = "stdio/lines.rs"]
mod lines;
#[path = "stdio/program_exit.rs"]
mod program_exit;
#[path = "stdio/restart.rs"]
mod restart;
#[path = "stdio/start.rs"]
mod start;
