//! Errors of the session manager.

use rejoin_core::{ConfigError, EventIdError};
use thiserror::Error;

use crate::{ManagerError, SessionError};

/// Why an operation of [`LocalSessionManager`](super::LocalSessionManager) failed.
///
/// The HTTP service of rmcp responds to each of them with status 500, except for a resume.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LocalSessionManagerError {
    /// The session was not found, the session limit is reached, or the session rejected the message.
    #[error(transparent)]
    Manager(#[from] ManagerError),
    /// The `session_config` is invalid: the caller is at fault.
    #[error("invalid session_config: {0}")]
    Config(#[from] ConfigError),
    /// The `Last-Event-ID` is not an event id: the client is at fault.
    #[error("invalid Last-Event-ID: {0}")]
    EventId(#[from] EventIdError),
    /// The message is not valid: the client is at fault.
    #[error("invalid message: {0}")]
    Message(String),
    /// The session ended before the response to `initialize`.
    #[error("the session ended before the response to `initialize`")]
    NotInitialized,
}

impl From<SessionError> for LocalSessionManagerError {
    fn from(error: SessionError) -> Self {
        Self::Manager(error.into())
    }
}
