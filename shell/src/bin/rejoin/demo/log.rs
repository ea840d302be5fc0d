//! Log messages to the client.
#![expect(deprecated, reason = "sessions have log messages, which later revisions give up")]

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

use rmcp::model::{
    LoggingLevel, LoggingMessageNotification, LoggingMessageNotificationParam, ServerNotification,
};

/// What the client wants to hear: everything, until it says something else. A clone
/// follows what it says.
#[derive(Clone, Default)]
pub(super) struct Log {
    /// The least level, as its place among the levels.
    min_level: Arc<AtomicU8>,
}

impl Log {
    pub(super) fn set_level(&self, level: LoggingLevel) {
        self.min_level.store(level as u8, Ordering::Relaxed);
    }

    /// Returns a message of level `info`, if the client wants it.
    pub(super) fn info(&self, text: &str) -> Option<ServerNotification> {
        let level = LoggingLevel::Info;
        if (level as u8) < self.min_level.load(Ordering::Relaxed) {
            return None;
        }
        let message =
            LoggingMessageNotificationParam::new(level, text.into()).with_logger("rejoin-demo");
        Some(LoggingMessageNotification::new(message).into())
    }
}
