//! Notifications to systemd, for a service of `Type=notify`. Without `NOTIFY_SOCKET`, none is sent.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::{MissedTickBehavior, interval};

/// The program listens, or a reload has ended.
pub(super) fn ready() {
    notify(&[NotifyState::Ready]);
}

/// The program begins to read its configuration again. [`ready`] follows.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "cannot notify systemd of a reload"),
    }
}

/// The program begins to shut down.
pub(super) fn stopping() {
    notify(&[NotifyState::Stopping]);
}

/// Tells systemd that the program is alive, twice per interval of its watchdog, if it asks for that:
/// tasks run and timers fire. Never returns.
pub(super) async fn keep_alive() {
    match sd_notify::watchdog_enabled().filter(|timeout| !timeout.is_zero()) {
        Some(timeout) => notify_every(timeout / 2).await,
        None => std::future::pending().await,
    }
}

async fn notify_every(period: Duration) {
    let mut ticks = interval(period.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        notify(&[NotifyState::Watchdog]);
    }
}

fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "cannot notify systemd");
    }
}
