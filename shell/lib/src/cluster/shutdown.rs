//! Shutdown of a process, for the calls that it passes on.

use tokio::sync::watch;

/// How far a process has shut down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Shutdown {
    Running,
    /// Streams that are passed on end as soon as their clients can resume.
    Draining,
    /// Everything that is passed on ends.
    Closing,
}

/// Sets how far a process has shut down.
#[derive(Debug)]
pub(super) struct ShutdownSender(watch::Sender<Shutdown>);

/// Knows how far a process has shut down, and does not keep it running.
#[derive(Clone, Debug)]
pub(crate) struct ShutdownReceiver(watch::Receiver<Shutdown>);

impl ShutdownSender {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(Shutdown::Running))
    }

    /// Shuts down, unless that has happened already.
    pub(super) fn send(&self, to: Shutdown) {
        self.0.send_modify(|shutdown| *shutdown = to.max(*shutdown));
    }

    pub(super) fn subscribe(&self) -> ShutdownReceiver {
        ShutdownReceiver(self.0.subscribe())
    }
}

impl ShutdownReceiver {
    /// Waits for a stage after `stage`. If there is none, forever.
    pub(crate) async fn after(mut self, stage: Shutdown) -> Shutdown {
        if stage == Shutdown::Closing {
            return std::future::pending().await;
        }
        let later = self.0.wait_for(|shutdown| *shutdown > stage).await;
        // An error means that the manager was dropped.
        later.map_or(Shutdown::Closing, |later| *later)
    }
}

#[cfg(test)]
impl ShutdownReceiver {
    /// Returns that of a process that has ended.
    pub(crate) fn closed() -> Self {
        ShutdownSender::new().subscribe()
    }
}
