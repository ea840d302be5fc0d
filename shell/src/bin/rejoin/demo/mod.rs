//! The demo server: tools that take their time, ask back, go silent and come back, and
//! everything that the official MCP conformance suite calls.

mod argument;
mod background;
mod client_requests;
mod completion;
mod conformance;
mod log;
mod prompts;
mod resources;
mod samples;
mod server;
mod state;
mod stdio;
#[cfg(test)]
mod tests;
mod tool;
mod tools;
mod watch;

use rejoin::{Backend, RmcpBackend};

use self::server::Demo;
pub(crate) use self::stdio::run;

/// Returns the backend that serves each session by a demo server of its own.
pub(crate) fn backend() -> impl Backend {
    RmcpBackend::new(|| Ok(Demo::default()))
}
