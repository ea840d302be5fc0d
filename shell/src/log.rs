//! What happened in a session, as lines of the log: never a body of a message.

use rejoin_core::{CloseReason, Report};

use crate::{SessionId, session::Happened};

pub(crate) fn happened(session: SessionId, happened: &Happened) {
    let session = session.short();
    match happened {
        Happened::Gap { stream, first, last } => {
            tracing::warn!(%session, %stream, first, last, "events were missed");
        }
        Happened::Ended { connection, reason } => {
            tracing::debug!(%session, %connection, ?reason, "connection ended");
        }
        Happened::TimedOut { request } => {
            tracing::warn!(%session, %request, "request was not answered in time");
        }
        Happened::Reported(Report::Undeliverable { id, reason }) => {
            tracing::warn!(%session, ?id, ?reason, "answer goes nowhere");
        }
        Happened::Reported(Report::Evicted { stream, id }) => {
            tracing::warn!(%session, %stream, %id, "response was too large to be kept");
        }
        Happened::Reported(Report::Lost { stream }) => {
            tracing::warn!(%session, %stream, "client left without the JSON answer");
        }
    }
}

/// Returns whether anybody reads of every connection that ends.
pub(crate) fn tells_of_ends() -> bool {
    tracing::enabled!(tracing::Level::DEBUG)
}

pub(crate) fn closed(session: SessionId, reason: CloseReason) {
    tracing::info!(session = %session.short(), ?reason, "session closed");
}

pub(crate) fn opened(session: SessionId) {
    tracing::info!(session = %session.short(), "session opened");
}

pub(crate) fn flooded(session: SessionId) {
    tracing::error!(session = %session.short(), "server asks and does not listen: it is given up");
}

pub(crate) fn broken(session: SessionId) {
    tracing::error!(session = %session.short(), "session is broken, and given up");
}
