//! Readiness: whether new clients should be sent to this program.

use std::{future::Future, sync::Arc};

use tokio::sync::watch;

/// Whether the program serves, and does not shut down. A clone is the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Readiness(Arc<watch::Sender<bool>>);

impl Readiness {
    /// The program listens.
    pub(crate) fn begin(&self) {
        self.0.send_replace(true);
    }

    /// The program begins to shut down.
    pub(crate) fn end(&self) {
        self.0.send_replace(false);
    }

    pub(crate) fn is_ready(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until the program is not ready.
    pub(crate) fn ended(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut is_ready = self.0.subscribe();
        async move {
            // An error means that the program has ended.
            let _ = is_ready.wait_for(|is_ready| !is_ready).await;
        }
    }
}
