//! The log: lines on stderr, written by a thread of their own, so that logging never blocks or
//! fails.

mod panics;
mod queue;
mod rate_limit;

use std::{
    io::{self, IsTerminal as _},
    time::Duration,
};

use tracing_subscriber::{
    EnvFilter, Layer, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

use self::{queue::Queue, rate_limit::RateLimits};
use crate::config::LogFormat;

/// Target of lines about the log itself. They are not rate limited.
const TARGET: &str = "rejoin::logging";

/// Directives for libraries that log each frame of HTTP/2. A directive of the user for the same
/// target takes precedence.
const QUIET: &str = "h2=warn";

/// Maximum time to write the queued lines on shutdown.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// A guard of the running log. Writes the queued lines when it is dropped, up to a timeout.
#[must_use]
pub(crate) struct Logging {
    queue: Queue,
    limits: RateLimits,
}

/// Starts the log.
///
/// # Errors
///
/// The level is not a valid filter, a log is running already, or no thread can be started.
pub(crate) fn start(format: LogFormat, level: &str) -> anyhow::Result<Logging> {
    let filter = EnvFilter::try_new(format!("{QUIET},{level}"))?;
    let queue = Queue::default();
    let limits = RateLimits::new(queue.clone());
    let lines = tracing_subscriber::fmt::layer().with_writer(queue.clone());
    let lines = match format {
        LogFormat::Human => lines.with_ansi(io::stderr().is_terminal()).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry().with(filter).with(limits.clone()).with(lines).try_init()?;
    queue::start_writer(io::stderr(), queue.clone(), limits.clone())?;
    panics::install_hook();
    Ok(Logging { queue, limits })
}

impl Drop for Logging {
    fn drop(&mut self) {
        self.limits.report();
        self.queue.flush(FLUSH_TIMEOUT);
    }
}
