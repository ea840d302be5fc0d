//! The test server: everything that the official MCP conformance suite calls, and slow, interactive
//! and chatty tools.
//!
//! `rejoin-test-server` serves one session on stdin and stdout. `rejoin-test-server http` serves
//! sessions through this library, on a free port, and prints the URL.

mod argument;
mod background;
mod client_requests;
mod completion;
mod conformance;
mod http;
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

use std::env;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.as_slice() {
        [] => stdio::serve().await,
        [mode] if mode == "http" => http::serve().await,
        _ => anyhow::bail!("usage: rejoin-test-server [http]"),
    }
}
