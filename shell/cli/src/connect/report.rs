//! Log lines about what the client machine reports.

use rejoin::rejoin_core::client::Report;

/// Writes a report to the log.
pub(super) fn log(report: &Report) {
    match report {
        Report::Reconnecting { delay, is_standalone } if *is_standalone => {
            tracing::debug!(?delay, "the standalone stream ended; opening it again");
        }
        Report::Reconnecting { delay, .. } => {
            tracing::info!(?delay, "a connection was lost; trying again");
        }
        Report::NoStandalone { status } => {
            tracing::debug!(status, "the server has no standalone stream");
        }
        Report::Refused { status } => {
            tracing::warn!(status, "the server refused a request");
        }
        Report::SessionLost => {
            tracing::warn!(
                "the session was lost: the server does not know it; beginning a new one"
            );
        }
        Report::SessionRenewed { version_changed } => {
            tracing::info!(version_changed, "a new session has begun");
        }
        Report::NotRenewed { delay } => {
            tracing::warn!(?delay, "a new session is begun after a delay");
        }
        Report::DuplicateEvent => {
            tracing::debug!("an event came again, and was dropped");
        }
        Report::DroppedResponse { request } => {
            tracing::debug!(%request, "a response to a request that is not pending was dropped");
        }
        Report::DroppedMessage => {
            tracing::warn!("a notification or response of the application was dropped");
        }
        Report::DroppedServerRequest { request } => {
            tracing::warn!(%request, "a request of the server was dropped");
        }
        Report::EventTooLarge => {
            tracing::warn!("an event was dropped, because it is too large");
        }
        Report::InvalidId => {
            tracing::warn!("an id of the server is not used, because it is invalid or too long");
        }
        _ => tracing::warn!(?report, "unknown report"),
    }
}
