//! MCP log messages, filtered by the level that the client has set.
#![expect(deprecated, reason = "log messages are deprecated in later revisions")]

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

use rmcp::model::{
    LoggingLevel, LoggingMessageNotification, LoggingMessageNotificationParam, ServerNotification,
};

/// The logging level of a session: all levels until the client sets one. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Log {
    /// The lowest level to send, as the discriminant of [`LoggingLevel`].
    min_level: Arc<AtomicU8>,
}

impl Log {
    pub(super) fn set_level(&self, level: LoggingLevel) {
        self.min_level.store(level as u8, Ordering::Relaxed);
    }

    /// Returns a message of level `info`, unless the client has set a higher level.
    pub(super) fn info(&self, text: &str) -> Option<ServerNotification> {
        let level = LoggingLevel::Info;
        if (level as u8) < self.min_level.load(Ordering::Relaxed) {
            return None;
        }
        let message = LoggingMessageNotificationParam::new(level, text.into())
            .with_logger("rejoin-test-server");
        Some(LoggingMessageNotification::new(message).into())
    }
}
