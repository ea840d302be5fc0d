//! A supervisor that several backends share.

use std::{fmt, io, sync::Arc};

use super::{supervisor::Supervisor, watchdog::WatchdogCommand};

/// What the backends of one process share: the watchdog, and the reaper of orphans. A clone refers
/// to the same.
///
/// A process with several backends that adopt orphans needs one: each would take the children of
/// the others for orphans.
#[derive(Clone)]
pub struct ChildSupervisor(Arc<Supervisor>);

impl ChildSupervisor {
    /// Creates a supervisor, and starts the watchdog, if there is a command for it. For
    /// `adopts_orphans`, see [`StdioConfig`](crate::StdioConfig::adopts_orphans).
    ///
    /// # Errors
    ///
    /// The watchdog cannot be started.
    pub fn start(watchdog: Option<WatchdogCommand>, adopts_orphans: bool) -> io::Result<Self> {
        Ok(Self(Arc::new(Supervisor::new(watchdog, adopts_orphans)?)))
    }

    pub(crate) fn inner(&self) -> Arc<Supervisor> {
        Arc::clone(&self.0)
    }
}

/// Two are equal if they are the same.
impl PartialEq for ChildSupervisor {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for ChildSupervisor {}

impl fmt::Debug for ChildSupervisor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChildSupervisor").finish_non_exhaustive()
    }
}
