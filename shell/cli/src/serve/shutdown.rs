//! Shutdown in stages, so that no request is lost behind a load balancer that checks readiness.

use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::{listener::Listener, router::Router, servers::Servers, systemd};
use crate::{config::ProgramConfig, readiness::Readiness};

/// Minimum time for clients to read the errors of their failed requests.
const FLUSH_TIMEOUT_MIN: Duration = Duration::from_secs(1);

/// Shuts down: the program is not ready any more, and serves everything for `drain_delay`. Then
/// sessions drain for up to `drain_timeout`. Finally the remaining sessions and connections are
/// closed, and the remaining telemetry is sent.
pub(super) async fn shut_down(
    mut listener: Listener,
    router: &Router,
    servers: &Servers,
    readiness: &Readiness,
    config: &ProgramConfig,
) {
    readiness.end();
    systemd::stopping();
    servers.begin_shutdown();
    tokio::select! {
        () = listener.accept(router) => {}
        () = sleep(config.drain_delay) => {}
    }
    let deadline = Instant::now() + config.drain_timeout;
    tokio::select! {
        () = servers.drain() => {}
        // Clients of the remaining sessions may open new connections.
        () = listener.accept(router) => {}
        () = sleep_until(deadline) => {
            let sessions = servers.sessions();
            tracing::warn!(sessions, "drain timeout: failing the pending requests of the remaining sessions, and those that are passed on");
        }
    }
    servers.close_all();
    let left = deadline.saturating_duration_since(Instant::now()).max(FLUSH_TIMEOUT_MIN);
    tokio::join!(
        drain_listener(listener, left),
        servers.processes_ended(),
        hand_over(servers, left)
    );
    if let Some(telemetry) = servers.telemetry() {
        telemetry.flush().await;
    }
}

/// Waits until the store knows that other processes can continue the remaining sessions, and these have
/// the responses to what they have passed on.
async fn hand_over(servers: &Servers, timeout: Duration) {
    if tokio::time::timeout(timeout, servers.closed()).await.is_err() {
        let sessions = servers.sessions();
        tracing::warn!(
            sessions,
            "some sessions could not be handed over, or responses not be passed on, in time"
        );
    }
}

async fn drain_listener(listener: Listener, timeout: Duration) {
    if !listener.drain(timeout).await {
        tracing::warn!("some responses were not read in time; their connections were cut");
    }
}
