//! Launcher, client and parser that the tests of several packages share.
//!
//! [`Program`] launches the program under test, [`Client`] is a client of one of its sessions, and
//! [`sse`] parses what it sends.
#![expect(clippy::missing_panics_doc, reason = "a test fails by panicking")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::panic, reason = "a test fails by panicking")]
#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]

mod balancer;
mod build;
#[cfg(target_os = "linux")]
pub mod callers;
pub mod certificates;
mod client;
#[cfg(target_os = "linux")]
pub mod engine;
mod forwarder;
mod http_response;
mod log_lines;
mod port;
#[cfg(target_os = "linux")]
pub mod processes;
mod program;
#[cfg(target_os = "linux")]
pub mod script;
pub mod sse;

pub use self::balancer::Balancer;
pub use self::build::{build_released_program, test_server_path};
pub use self::client::{Client, LATEST_REVISION, initialize};
pub use self::forwarder::Forwarder;
pub use self::http_response::HttpResponse;
pub use self::log_lines::LogLines;
pub use self::port::free_port;
pub use self::program::{Program, program_path};
