//! The tests of `served.rs`, through a stdio server.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::panic, reason = "a test fails by panicking")]
#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "the support serves other tests, too")]

#[path = "../../lib/tests/support/client.rs"]
mod client;
#[path = "served/isolation.rs"]
mod isolation;
#[path = "served/lifetime.rs"]
mod lifetime;
#[path = "support/through_stdio.rs"]
mod program;
#[path = "served/resume.rs"]
mod resume;
#[path = "served/rmcp_client.rs"]
mod rmcp_client;
#[path = "served/standalone.rs"]
mod standalone;
