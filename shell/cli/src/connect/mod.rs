//! `rejoin connect`: a stdio server in front of a remote server.
//!
//! The client machine of `rejoin_core::client` decides what happens; this is its driver. Each
//! exchange is a task, and so is each end of stdio a thread. The loop in `run.rs` passes what
//! they report to the machine, one after the other, and carries out its actions.

mod connection;
mod credentials;
mod exchange;
mod http_client;
mod options;
mod render;
mod report;
mod run;
mod sse;
mod stdin;
mod stdout;

use anyhow::Context as _;

pub(crate) use self::options::{Connect, ConnectConfig};
use crate::logging;

/// Maximum size of a message in either direction, in bytes.
const MESSAGE_BYTES_MAX: usize = 16 << 20;

/// Maximum messages of a batch.
const BATCH_MAX: usize = 64;

/// Serves the application at stdin and stdout, until it leaves or a signal ends the program.
///
/// # Errors
///
/// A certificate or the bearer token cannot be read, or the system refuses threads or signals.
pub(crate) fn run(config: ConnectConfig) -> anyhow::Result<()> {
    let _logging = logging::start(config.log_format, config.log_level.directives())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let result = runtime.block_on(run::run(config));
    // A name lookup may still block a thread.
    runtime.shutdown_background();
    result
}
