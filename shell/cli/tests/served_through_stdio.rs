//! The tests of `served.rs`, through a stdio server.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]

#[path = "served/isolation.rs"]
mod isolation;
#[path = "served/lifetime.rs"]
mod lifetime;
#[path = "served/resume.rs"]
mod resume;
#[path = "served/rmcp_client.rs"]
mod rmcp_client;
#[path = "served/standalone.rs"]
mod standalone;

use rejoin_test_support::{Program, test_server_path};

/// Serves the test server as a child process of each session.
fn serve(options: &[&str]) -> Program {
    // The test server names the request of each related message. Its other messages are
    // unrelated, even while a request is pending.
    let server = ["--route-unrelated", "standalone", "--", test_server_path()];
    Program::serve(&[options, &server].concat())
}
