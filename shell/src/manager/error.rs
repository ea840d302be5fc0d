//! Why the manager did not do what it was asked.

use rejoin_core::{CloseReason, Rejection};
use thiserror::Error;

use super::registry::PermitError;
use crate::{backend::OpenError, session::SessionError};

/// Why the manager did not do what it was asked.
#[derive(Debug, Error)]
pub enum ManagerError {
    /// The session ended, expired, or was never there.
    #[error("there is no such session")]
    NotFound,
    /// There are as many sessions as are allowed.
    #[error("there are {0} sessions already, which is as many as are allowed")]
    TooManySessions(usize),
    /// The clients at one address have as many sessions as are allowed.
    #[error("your address has {0} sessions already, which is as many as are allowed")]
    TooManySessionsPerIp(usize),
    /// The server shuts down, and no session begins.
    #[error("the server is shutting down")]
    Closing,
    /// The session was closed before it could begin.
    #[error("the session was closed before it began: {0:?}")]
    ClosedDuringInitialize(CloseReason),
    /// The backend could not be opened for a new session.
    #[error("the server could not be started: {0}")]
    Open(OpenError),
    /// The session did not do what it was asked.
    #[error(transparent)]
    Session(SessionError),
}

impl From<SessionError> for ManagerError {
    fn from(error: SessionError) -> Self {
        match error {
            SessionError::Rejected(Rejection::Closed(_)) => Self::NotFound,
            SessionError::Closing => Self::Closing,
            SessionError::Rejected(_) | SessionError::NotReserved | SessionError::Busy => {
                Self::Session(error)
            }
        }
    }
}

impl From<PermitError> for ManagerError {
    fn from(none: PermitError) -> Self {
        match none {
            PermitError::Full(sessions) => Self::TooManySessions(sessions),
            PermitError::Closing => Self::Closing,
        }
    }
}
