//! Panics, as lines of the log: stderr itself may block.

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    panic,
};

/// Logs every panic instead of writing it to stderr.
pub(super) fn log() {
    panic::set_hook(Box::new(|panic| {
        let backtrace = Backtrace::capture();
        let thread = std::thread::current();
        let thread = thread.name().unwrap_or("unnamed");
        match backtrace.status() {
            BacktraceStatus::Captured => {
                tracing::error!(target: super::TARGET, thread, %backtrace, "{panic}");
            }
            _ => tracing::error!(target: super::TARGET, thread, "{panic}"),
        }
    }));
}
