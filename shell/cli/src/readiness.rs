//! Readiness: whether new clients should be sent to this program.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// Whether the program serves, and does not shut down. A clone is the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Readiness(Arc<AtomicBool>);

impl Readiness {
    /// The program listens.
    pub(crate) fn begin(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// The program begins to shut down.
    pub(crate) fn end(&self) {
        self.0.store(false, Ordering::Release);
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}
