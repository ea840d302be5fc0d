//! A panic hook that writes to the log, because stderr itself may block.

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    panic,
};

/// Installs a hook that logs every panic instead of writing it to stderr.
pub(super) fn install_hook() {
    panic::set_hook(Box::new(|panic| {
        let backtrace = Backtrace::capture();
        let thread = std::thread::current();
        let thread = thread.name().unwrap_or("unnamed");
        let is_captured = backtrace.status() == BacktraceStatus::Captured;
        let backtrace = is_captured.then_some(tracing::field::display(backtrace));
        tracing::error!(target: super::TARGET, thread, backtrace, "{panic}");
    }));
}
