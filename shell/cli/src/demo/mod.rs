//! The demo server: slow, chatty and interactive tools to try resumption with, and everything that
//! the official MCP conformance suite calls.

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

/// Returns a backend with one demo server per session.
pub(crate) fn backend() -> impl Backend {
    RmcpBackend::new(|| Ok(Demo::default()))
}
