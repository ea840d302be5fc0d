//! Tests of the program over loopback sockets, with clients that misbehave.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]

#[path = "served/isolation.rs"]
mod isolation;
#[path = "served/lifetime.rs"]
mod lifetime;
#[cfg(target_os = "linux")]
#[path = "served/memory.rs"]
mod memory;
#[path = "served/resume.rs"]
mod resume;
#[path = "served/rmcp_client.rs"]
mod rmcp_client;
#[path = "served/standalone.rs"]
mod standalone;

use rejoin_test_support::Program;

/// Serves the demo server in the process of the program.
fn serve(options: &[&str]) -> Program {
    Program::serve(options)
}
