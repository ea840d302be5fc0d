//! Errors of the manager.

use rejoin_core::{Rejection, SessionCloseReason};
use thiserror::Error;

use crate::{
    backend::OpenError,
    session::{PermitError, SessionError},
};

/// Why an operation of the manager failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ManagerError {
    /// The session has ended, or never existed.
    #[error("session not found")]
    NotFound,
    /// The limit of sessions is reached.
    #[error("session limit reached ({0})")]
    TooManySessions(usize),
    /// The limit of sessions for one address is reached.
    #[error("session limit for this address reached ({0})")]
    TooManySessionsPerIp(usize),
    /// The limit of sessions for one principal is reached.
    #[error("session limit for this principal reached ({0})")]
    TooManySessionsPerPrincipal(usize),
    /// The server is shutting down, and does not accept new sessions.
    #[error("the server is shutting down")]
    Closing,
    /// The store of sessions is away, or it does not tell who has the session.
    #[error("the session cannot be served now, retry later")]
    StoreAway,
    /// The session is another process's by now, and got nothing for the request before.
    #[error(
        "the session has moved to another process: whether the request was executed is not known"
    )]
    Moved,
    /// The session was closed before it was initialized.
    #[error("{0}")]
    ClosedDuringInitialize(SessionCloseReason),
    /// The backend could not be opened for a new session.
    #[error("the server could not be started: {0}")]
    Open(OpenError),
    /// The operation on the session failed.
    #[error(transparent)]
    Session(SessionError),
}

impl From<SessionError> for ManagerError {
    fn from(error: SessionError) -> Self {
        match error {
            SessionError::Rejected(Rejection::Closed(SessionCloseReason::Moved)) => Self::StoreAway,
            SessionError::Rejected(Rejection::Closed(_)) => Self::NotFound,
            SessionError::Rejected(Rejection::Draining) => Self::Closing,
            SessionError::Rejected(_)
            | SessionError::QueueFull
            | SessionError::NotReserved
            | SessionError::WrongOperation => Self::Session(error),
        }
    }
}

impl From<PermitError> for ManagerError {
    fn from(error: PermitError) -> Self {
        match error {
            PermitError::Full(sessions) => Self::TooManySessions(sessions),
            PermitError::Closing => Self::Closing,
        }
    }
}
