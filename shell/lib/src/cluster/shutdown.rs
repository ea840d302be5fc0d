//! Shutdown of a process, for the requests that it passes on.

use std::sync::Arc;

use tokio::sync::watch;

/// How far a process has shut down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Shutdown {
    Running,
    /// No more requests are passed on. Streams end as soon as their clients can resume.
    Draining,
    /// Requests without a response fail.
    Closing,
}

/// Sets the stage of the shutdown.
#[derive(Debug)]
pub(super) struct ShutdownSender {
    stage: watch::Sender<Shutdown>,
    requests: Arc<watch::Sender<()>>,
}

/// Receives the stage of the shutdown. Does not keep the manager alive.
#[derive(Clone, Debug)]
pub(crate) struct ShutdownReceiver {
    stage: watch::Receiver<Shutdown>,
    requests: Arc<watch::Sender<()>>,
}

/// A request that is passed on: the process drains until the HTTP server has its response.
#[derive(Debug)]
pub(crate) struct OpenRequest(#[expect(dead_code, reason = "it is counted")] watch::Receiver<()>);

impl ShutdownSender {
    pub(super) fn new() -> Self {
        Self { stage: watch::Sender::new(Shutdown::Running), requests: Arc::default() }
    }

    /// Begins a stage, unless a later one has begun.
    pub(super) fn send(&self, stage: Shutdown) {
        self.stage.send_modify(|current| *current = stage.max(*current));
    }

    pub(super) fn subscribe(&self) -> ShutdownReceiver {
        let requests = Arc::clone(&self.requests);
        ShutdownReceiver { stage: self.stage.subscribe(), requests }
    }

    /// Waits until no request is open.
    pub(super) async fn requests_ended(&self) {
        self.requests.closed().await;
    }
}

impl ShutdownReceiver {
    pub(crate) fn stage(&self) -> Shutdown {
        *self.stage.borrow()
    }

    /// Waits for a stage after `stage`. If there is none, forever.
    pub(crate) async fn after(mut self, stage: Shutdown) -> Shutdown {
        if stage == Shutdown::Closing {
            return std::future::pending().await;
        }
        let later = self.stage.wait_for(|current| *current > stage).await;
        // An error means that the manager was dropped.
        later.map_or(Shutdown::Closing, |later| *later)
    }

    pub(crate) fn open_request(&self) -> OpenRequest {
        OpenRequest(self.requests.subscribe())
    }
}

#[cfg(test)]
impl ShutdownReceiver {
    /// Returns the receiver of a process that has ended.
    pub(crate) fn closed() -> Self {
        ShutdownSender::new().subscribe()
    }
}
